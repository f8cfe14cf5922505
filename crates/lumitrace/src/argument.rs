//! What `#[trace]` records of a function's arguments and results: bounded, and never the program's
//! trouble.
//!
//! ```
//! use lumitrace::{Value, argument};
//! assert_eq!(argument::debug_value(&[1, 2, 3]), Value::from("[1, 2, 3]"));
//! let long = argument::debug_value(&vec![0; 10_000]);
//! assert_eq!(long.as_str().map(str::len), Some(argument::MAX_BYTES + "…".len()));
//! ```

use std::fmt::{self, Debug, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};

use lumitrace_model::Value;

/// How much of an argument's text is recorded, in bytes.
pub const MAX_BYTES: usize = 1024;

/// Stands where a secret was.
pub const REDACTED: &str = "<redacted>";

/// Stands where printing failed.
const UNPRINTABLE: &str = "<unprintable>";

/// What `Debug` prints of `value`, as far as [`MAX_BYTES`] reach. Nothing beyond is printed in the first
/// place, and a `Debug` that fails or panics is harmless.
pub fn debug_value(value: &dyn Debug) -> Value {
    let mut text = Bounded::default();
    let printed = catch_unwind(AssertUnwindSafe(|| write!(text, "{value:?}")));
    match printed {
        Ok(Ok(())) => text.text.into(),
        Ok(Err(_)) if text.is_full => text.text.into(),
        _ => UNPRINTABLE.into(),
    }
}

/// The beginning of what is written to it.
#[derive(Default)]
struct Bounded {
    text: String,
    is_full: bool,
}

impl Write for Bounded {
    fn write_str(&mut self, added: &str) -> fmt::Result {
        // An error ends the printing, unless whoever prints takes no notice of it.
        if self.is_full {
            return Err(fmt::Error);
        }
        let room = MAX_BYTES - self.text.len();
        if added.len() <= room {
            self.text.push_str(added);
            return Ok(());
        }
        self.text
            .push_str(&added[..added.floor_char_boundary(room)]);
        self.text.push('…');
        self.is_full = true;
        Err(fmt::Error)
    }
}

/// What has a value of its own type.
#[doc(hidden)]
pub trait Typed {
    fn typed(&self) -> Value;
}

macro_rules! typed {
    ($($type:ty),*) => {
        $(impl Typed for $type {
            fn typed(&self) -> Value {
                Value::from(*self)
            }
        })*
    };
}

typed!(bool, i32, i64, u32, u64, usize, f32, f64);

macro_rules! typed_as_i32 {
    ($($type:ty),*) => {
        $(impl Typed for $type {
            fn typed(&self) -> Value {
                Value::from(i32::from(*self))
            }
        })*
    };
}

typed_as_i32!(i8, i16, u8, u16);

impl Typed for isize {
    fn typed(&self) -> Value {
        Value::from(*self as i64)
    }
}

impl Typed for str {
    fn typed(&self) -> Value {
        let mut text = Bounded::default();
        // It fails when it is full, which it shows.
        let _is_full = text.write_str(self);
        text.text.into()
    }
}

impl Typed for String {
    fn typed(&self) -> Value {
        self.as_str().typed()
    }
}

impl Typed for std::borrow::Cow<'_, str> {
    fn typed(&self) -> Value {
        (**self).typed()
    }
}

impl<T: Typed + ?Sized> Typed for &T {
    fn typed(&self) -> Value {
        (**self).typed()
    }
}

impl<T: Typed + ?Sized> Typed for &mut T {
    fn typed(&self) -> Value {
        (**self).typed()
    }
}

/// What `#[trace]` turns into a value: by its type, or else as `Debug` prints it. Of the two methods of the
/// same name, the compiler takes the first that it finds in `(&&Argument(..)).to_value()`.
#[doc(hidden)]
pub struct Argument<'a, T: ?Sized>(pub &'a T);

#[doc(hidden)]
pub trait TypedArgument {
    fn to_value(&self) -> Value;
}

impl<T: Typed + ?Sized> TypedArgument for &Argument<'_, T> {
    fn to_value(&self) -> Value {
        self.0.typed()
    }
}

#[doc(hidden)]
pub trait DebugArgument {
    fn to_value(&self) -> Value;
}

impl<T: Debug + ?Sized> DebugArgument for Argument<'_, T> {
    fn to_value(&self) -> Value {
        debug_value(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    macro_rules! value_of {
        ($value:expr) => {
            (&&Argument(&$value)).to_value()
        };
    }

    #[test]
    fn numbers_truth_values_and_texts_keep_their_types_and_the_rest_is_printed() {
        assert_eq!(value_of!(3_u8), Value::Int(3));
        assert_eq!(value_of!(-3_isize), Value::Int(-3));
        assert_eq!(value_of!(0.5_f32), Value::Double(0.5));
        assert_eq!(value_of!(true), Value::Bool(true));
        let text = String::from("a \"b\"");
        assert_eq!(value_of!(text.as_str()), Value::from("a \"b\""));
        assert_eq!(value_of!(&text), Value::from("a \"b\""));
        assert_eq!(value_of!(Some("a")), Value::from("Some(\"a\")"));
    }

    #[test]
    fn t27_long_texts_are_cut_between_characters_and_not_printed_to_the_end() {
        let text = "ä".repeat(MAX_BYTES);
        let Value::String(cut) = value_of!(text) else {
            panic!("no text");
        };
        assert_eq!(cut.len(), MAX_BYTES + "…".len());
        assert!(cut.ends_with('…'));

        struct Endless;
        impl Debug for Endless {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                loop {
                    f.write_str("again and ")?;
                }
            }
        }
        let printed = value_of!(Endless);
        assert!(printed.as_str().unwrap().starts_with("again and again"));

        struct Careless;
        impl Debug for Careless {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                for _ in 0..MAX_BYTES {
                    let _written = f.write_str("on and on ");
                }
                Ok(())
            }
        }
        let printed = value_of!(Careless);
        assert_eq!(printed.as_str().unwrap().len(), MAX_BYTES + "…".len());
    }

    #[test]
    fn t27_an_argument_whose_printing_fails_or_panics_is_harmless() {
        struct Failing;
        impl Debug for Failing {
            fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
                Err(fmt::Error)
            }
        }
        struct Panicking;
        impl Debug for Panicking {
            fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
                panic!("on purpose")
            }
        }
        assert_eq!(value_of!(Failing), Value::from(UNPRINTABLE));
        assert_eq!(value_of!(Panicking), Value::from(UNPRINTABLE));
    }
}
