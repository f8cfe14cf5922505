//! A span as the columns of a block have it, of which conditions can be asked: what they do not have is
//! read only if nothing else decides.

use std::cell::RefCell;

use lumitrace_model::{KeyValue, Value};

use super::predicate::{Candidate, value_has_text, value_matches};
use crate::QueryBudget;
use crate::block::large_values::{CutRecord, LargeValue, whole_value};
use crate::block::payload::PayloadReader;
use crate::error::ReadError;

/// A span, and the file with what was cut off its large values.
pub(super) struct CutSpan<'a> {
    cut: &'a CutRecord,
    payload: &'a RefCell<PayloadReader>,
    budget: &'a QueryBudget,
    failure: RefCell<Option<ReadError>>,
}

impl<'a> CutSpan<'a> {
    pub(super) fn new(
        cut: &'a CutRecord,
        payload: &'a RefCell<PayloadReader>,
        budget: &'a QueryBudget,
    ) -> Self {
        Self {
            cut,
            payload,
            budget,
            failure: RefCell::new(None),
        }
    }

    /// Why the answers do not count, if so.
    pub(super) fn into_failure(self) -> Option<ReadError> {
        self.failure.into_inner()
    }

    /// The large value of the span's attribute `index`, if it has one.
    fn large_value(&self, index: usize) -> Option<&LargeValue> {
        if self.cut.large_values.is_empty() {
            return None;
        }
        let attributes = &self.cut.record.span.attributes;
        let key = &attributes.get(index)?.key;
        let same_key = attributes.iter().take(index).filter(|it| it.key == *key);
        let occurrence = same_key.count();
        let mut large_values = self.cut.large_values.iter();
        large_values.find(|large| large.is_of_span(key, occurrence))
    }

    /// Whether a text in a large value, of which `kept` is in the columns, is one for which `is_wanted`
    /// says yes.
    fn is_in(&self, large: &LargeValue, kept: &Value, is_wanted: &dyn Fn(&str) -> bool) -> bool {
        // A question that is exhausted ends before anybody sees the answer. Bytes are no texts.
        if self.budget.check().is_err() || matches!(kept, Value::Bytes(_)) {
            return false;
        }
        let mut payload = self.payload.borrow_mut();
        let read = payload.value(&large.stored).and_then(|bytes| {
            whole_value(kept, bytes).ok_or_else(|| {
                payload.malformed("a large value is not of the type that it should be")
            })
        });
        match read {
            Ok(value) => value_has_text(&value, is_wanted),
            Err(error) => {
                self.failure.replace(Some(error));
                false
            }
        }
    }
}

impl Candidate for CutSpan<'_> {
    fn start_unix_nano(&self) -> u64 {
        self.cut.record.start_unix_nano()
    }

    fn end_unix_nano(&self) -> u64 {
        self.cut.record.end_unix_nano()
    }

    fn seq(&self) -> u64 {
        self.cut.record.seq
    }

    fn is_error(&self) -> bool {
        self.cut.record.is_error()
    }

    fn name(&self) -> &str {
        self.cut.record.name()
    }

    fn service_name(&self) -> &str {
        self.cut.record.service_name()
    }

    fn status_message(&self) -> &str {
        self.cut.record.status_message()
    }

    fn resource_attributes(&self) -> &[KeyValue] {
        self.cut.record.resource_attributes()
    }

    /// Of large texts their length and hash decide.
    fn has_attribute(&self, key: &str, text: &str) -> bool {
        let attributes = self.cut.record.span.attributes.iter().enumerate();
        let mut with_key = attributes.filter(|(_, it)| it.key == key);
        with_key.any(|(index, attribute)| match self.large_value(index) {
            None => value_matches(&attribute.value, text),
            Some(large) => {
                matches!(attribute.value, Value::String(_)) && large.stored.is(text.as_bytes())
            }
        })
    }

    fn any_text(&self, is_wanted: &dyn Fn(&str) -> bool) -> bool {
        // What is kept of a text is a part of it.
        if self.cut.record.any_text(is_wanted) {
            return true;
        }
        let mut attributes = self.cut.record.span.attributes.iter().enumerate();
        attributes.any(|(index, attribute)| {
            let large = self.large_value(index);
            large.is_some_and(|large| self.is_in(large, &attribute.value, is_wanted))
        })
    }
}
