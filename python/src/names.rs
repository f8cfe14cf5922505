//! Names of spans and events, and keys of attributes: a program uses few of them again and again, and each is made
//! a text that lives as long as the process, so that a span allocates none.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashSet;
use std::sync::Mutex;

use lumitrace_model::Text;

/// More are made texts of their own each time: they are no constants of a program.
const MAX_NAMES: usize = 4096;
/// Longer ones are none either.
const MAX_NAME_BYTES: usize = 128;
/// Places of names that a thread used last; a power of two.
const PLACES: usize = 256;

thread_local! {
    static LATEST: RefCell<[&'static str; PLACES]> = const { RefCell::new([""; PLACES]) };
}

/// The text of a name that lies at `address`, where the same name mostly lies again.
pub(crate) fn text_of(name: &str, address: usize) -> Text {
    // Objects are 16 bytes apart at least.
    let place = (address >> 4) % PLACES;
    let known = LATEST.try_with(|latest| {
        let mut latest = latest.borrow_mut();
        if latest[place] == name {
            return Some(latest[place]);
        }
        let known = known(name)?;
        latest[place] = known;
        Some(known)
    });
    match known {
        Ok(Some(known)) => Cow::Borrowed(known),
        _ => Cow::Owned(name.to_owned()),
    }
}

/// The one text with this content, unless it is too long or there are too many.
fn known(name: &str) -> Option<&'static str> {
    static KNOWN: Mutex<Option<HashSet<&'static str>>> = Mutex::new(None);
    if name.len() > MAX_NAME_BYTES {
        return None;
    }
    // In a forked child, a thread that is not there may hold it.
    let mut known = KNOWN.try_lock().ok()?;
    let known = known.get_or_insert_default();
    if let Some(known) = known.get(name) {
        return Some(known);
    }
    if known.len() == MAX_NAMES {
        return None;
    }
    let name: &'static str = name.to_owned().leak();
    known.insert(name);
    Some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_name_is_the_same_text_wherever_it_lies() {
        let address = |text: &Text| match text {
            Cow::Borrowed(text) => text.as_ptr() as usize,
            Cow::Owned(_) => 0,
        };
        let first = text_of("batch_index", 16);
        assert_eq!(first, "batch_index");
        assert_ne!(address(&first), 0);
        for place in [16, 32, 16 + 16 * PLACES] {
            assert_eq!(address(&text_of("batch_index", place)), address(&first));
            assert_eq!(text_of("another", place), "another");
        }
        let long = "x".repeat(MAX_NAME_BYTES + 1);
        assert_eq!(address(&text_of(&long, 16)), 0);
        assert_eq!(text_of(&long, 16), long);
    }
}
