//! Facts that travel with a request from process to process: a user's id, an experiment's name.

use std::borrow::Cow;

/// Names and values that belong to a piece of work, wherever it goes (W3C Baggage).
///
/// It is part of a [`Context`](crate::Context), and goes into other processes with
/// [`propagation`](crate::propagation). It is no attribute of spans by itself.
///
/// ```
/// use lumitrace::{Baggage, Context};
/// let context = Context::current().with_baggage(Baggage::new().with("user.id", "ada"));
/// let _guard = context.attach();
/// assert_eq!(Context::current().baggage().get("user.id"), Some("ada"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Baggage {
    entries: Vec<BaggageEntry>,
}

/// A name with its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaggageEntry {
    /// Its name: a token, as names of headers are.
    pub name: Cow<'static, str>,
    /// Its value: any text.
    pub value: Cow<'static, str>,
    /// Properties after the value, such as `ttl=30`, as they came; or empty.
    pub properties: Cow<'static, str>,
}

impl Baggage {
    /// None.
    pub const fn new() -> Self {
        Self {
            entries: Vec::new(),
        }
    }

    /// The same with `name` = `value`, which replaces an earlier value.
    #[must_use]
    pub fn with(
        self,
        name: impl Into<Cow<'static, str>>,
        value: impl Into<Cow<'static, str>>,
    ) -> Self {
        self.with_entry(BaggageEntry {
            name: name.into(),
            value: value.into(),
            properties: Cow::Borrowed(""),
        })
    }

    /// The same with this entry, which replaces an earlier one of its name.
    #[must_use]
    pub fn with_entry(mut self, entry: BaggageEntry) -> Self {
        let known = self.entries.iter_mut().find(|it| it.name == entry.name);
        match known {
            Some(known) => *known = entry,
            None => self.entries.push(entry),
        }
        self
    }

    /// The same without `name`.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.entries.retain(|entry| entry.name != name);
        self
    }

    /// The value of `name`.
    pub fn get(&self, name: &str) -> Option<&str> {
        let entry = self.entries.iter().find(|entry| entry.name == name);
        entry.map(|entry| &*entry.value)
    }

    /// All entries, in the order in which they came.
    pub fn iter(&self) -> impl Iterator<Item = &BaggageEntry> {
        self.entries.iter()
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}
