//! Reading JSON within limits: on what lists take in memory, and on how deep values nest.
//!
//! serde hands no state down to the types it makes, so what is left of a request's limits is kept
//! for the thread that decodes it.

use std::cell::Cell;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};

use crate::{DecodeError, DecodeLimits};

/// What the request that this thread decodes may still take, and whether it wanted more.
#[derive(Clone, Copy)]
struct Left {
    item_bytes: usize,
    depth: usize,
    exceeded: Option<Exceeded>,
}

#[derive(Clone, Copy)]
enum Exceeded {
    Items,
    Depth,
}

thread_local! {
    static LEFT: Cell<Left> = const {
        Cell::new(Left { item_bytes: 0, depth: 0, exceeded: None })
    };
}

/// Reads a request of so many bytes, all of its [`List`]s and values counted against the limits.
/// Gives the reader's own error unless a limit is what it failed at.
pub(super) fn within<T, E>(
    limits: &DecodeLimits,
    request_bytes: usize,
    read: impl FnOnce() -> Result<T, E>,
) -> Result<Result<T, E>, DecodeError> {
    LEFT.set(Left {
        item_bytes: limits.item_bytes(request_bytes),
        depth: limits.max_depth,
        exceeded: None,
    });
    let result = read();
    match LEFT.get().exceeded {
        Some(Exceeded::Items) => Err(DecodeError::TooManyItems {
            ratio: limits.max_expansion,
        }),
        Some(Exceeded::Depth) => Err(DecodeError::TooDeep {
            max_depth: limits.max_depth,
        }),
        None => Ok(result),
    }
}

/// Reads a value, one level below what it stands in.
pub(super) fn deeper<T, E: Error>(read: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
    let left = LEFT.get();
    let depth = left.depth.checked_sub(1);
    let depth = depth.ok_or_else(|| exceed(Exceeded::Depth))?;
    LEFT.set(Left { depth, ..left });
    let result = read();
    LEFT.set(Left {
        depth: left.depth,
        ..LEFT.get()
    });
    result
}

fn take_item<E: Error>(bytes: usize) -> Result<(), E> {
    let left = LEFT.get();
    let item_bytes = left.item_bytes.checked_sub(bytes);
    let item_bytes = item_bytes.ok_or_else(|| exceed(Exceeded::Items))?;
    LEFT.set(Left { item_bytes, ..left });
    Ok(())
}

/// Makes the error that ends the reading; [`within`] puts the true one in its place.
fn exceed<E: Error>(exceeded: Exceeded) -> E {
    LEFT.set(Left {
        exceeded: Some(exceeded),
        ..LEFT.get()
    });
    E::custom("beyond a limit")
}

/// A list whose items are counted against the budget.
pub(super) struct List<T>(Vec<T>);

impl<T> List<T> {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn map<U>(self, decode: impl FnMut(T) -> U) -> Vec<U> {
        self.0.into_iter().map(decode).collect()
    }
}

impl<T> Default for List<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> IntoIterator for List<T> {
    type Item = T;
    type IntoIter = std::vec::IntoIter<T>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Items<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Items<T> {
            type Value = List<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<List<T>, A::Error> {
                let mut list = Vec::new();
                while let Some(item) = items.next_element()? {
                    take_item(size_of::<T>())?;
                    list.push(item);
                }
                Ok(List(list))
            }
        }

        deserializer.deserialize_seq(Items(PhantomData))
    }
}
