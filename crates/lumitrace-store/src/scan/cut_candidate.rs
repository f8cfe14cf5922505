//! A record as the columns of a block have it, of which conditions can be asked: what they do not have
//! is read only if nothing else decides.

use std::cell::RefCell;

use lumitrace_model::{KeyValue, Value};

use super::predicate::{Candidate, value_has_text, value_matches};
use crate::block::large_values::{CutRecord, LargeValue, Owner, whole_value};
use crate::block::payload::PayloadReader;
use crate::error::ReadError;
use crate::{QueryBudget, SpanRecord};

/// A record, and the file with what was cut off its large values.
pub(crate) struct CutCandidate<'a, R> {
    cut: &'a CutRecord<R>,
    payload: &'a RefCell<PayloadReader>,
    budget: &'a QueryBudget,
    failure: RefCell<Option<ReadError>>,
}

impl<'a, R> CutCandidate<'a, R> {
    pub(crate) fn new(
        cut: &'a CutRecord<R>,
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
    pub(crate) fn into_failure(self) -> Option<ReadError> {
        self.failure.into_inner()
    }

    /// The record as the columns have it.
    pub(crate) fn record(&self) -> &'a R {
        &self.cut.record
    }

    /// The large value of attribute `index` of these, which are the record's own, if it has one.
    fn large_attribute(&self, attributes: &[KeyValue], index: usize) -> Option<&'a LargeValue> {
        if self.cut.large_values.is_empty() {
            return None;
        }
        let key = &attributes.get(index)?.key;
        let same_key = attributes.iter().take(index).filter(|it| it.key == *key);
        let occurrence = same_key.count();
        let mut large_values = self.cut.large_values.iter();
        large_values.find(|large| large.is_of_record(key, occurrence))
    }

    /// Whether one of these attributes, which are the record's own, is named `key` and has a value that
    /// `text` spells. Of large texts their length and hash decide.
    pub(crate) fn has_own_attribute(&self, attributes: &[KeyValue], key: &str, text: &str) -> bool {
        let mut with_key = (attributes.iter().enumerate()).filter(|(_, it)| it.key == key);
        with_key.any(
            |(index, attribute)| match self.large_attribute(attributes, index) {
                None => value_matches(&attribute.value, text),
                Some(large) => {
                    matches!(attribute.value, Value::String(_)) && large.stored.is(text.as_bytes())
                }
            },
        )
    }

    /// Whether a text in the body, of which `kept` is in the columns, is one for which `is_wanted` says
    /// yes. Of whichever part of a text it says yes, it says so of the whole.
    pub(crate) fn is_in_body(&self, kept: &Value, is_wanted: &dyn Fn(&str) -> bool) -> bool {
        let mut large_values = self.cut.large_values.iter();
        value_has_text(kept, is_wanted)
            || large_values
                .find(|large| large.owner == Owner::Body)
                .is_some_and(|large| self.is_in(large, kept, is_wanted))
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

impl Candidate for CutCandidate<'_, SpanRecord> {
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

    fn has_attribute(&self, key: &str, text: &str) -> bool {
        self.has_own_attribute(&self.cut.record.span.attributes, key, text)
    }

    fn any_text(&self, is_wanted: &dyn Fn(&str) -> bool) -> bool {
        // What is kept of a text is a part of it.
        if self.cut.record.any_text(is_wanted) {
            return true;
        }
        let own = &self.cut.record.span.attributes;
        let mut attributes = own.iter().enumerate();
        attributes.any(|(index, attribute)| {
            let large = self.large_attribute(own, index);
            large.is_some_and(|large| self.is_in(large, &attribute.value, is_wanted))
        })
    }
}
