//! Log records.

use super::{AttributesView, ValueView, fields, number, text};

/// What a `LogRecord` message holds beside its [`LogHead`](super::super::LogHead).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LogView<'a> {
    /// The level as its source spells it, or empty.
    pub severity_text: &'a str,
    /// What was said.
    pub body: ValueView<'a>,
    /// How many attributes the sender's limits cut off.
    pub dropped_attributes_count: u32,
    /// W3C trace flags, as they were sent.
    pub flags: u32,
    message: &'a [u8],
}

impl<'a> LogView<'a> {
    /// Reads a `LogRecord` message.
    pub fn new(message: &'a [u8]) -> Self {
        let mut view = Self {
            severity_text: "",
            body: ValueView::Null,
            dropped_attributes_count: 0,
            flags: 0,
            message,
        };
        for field in fields(message) {
            match field.number {
                3 => view.severity_text = text(field),
                5 => view.body = ValueView::new(field.bytes().unwrap_or_default()),
                7 => view.dropped_attributes_count = number(field),
                8 => view.flags = field.fixed32().unwrap_or_default(),
                _ => {}
            }
        }
        view
    }

    /// The facts.
    pub fn attributes(&self) -> AttributesView<'a> {
        AttributesView::new(self.message, 6)
    }
}
