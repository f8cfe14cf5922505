//! Identifiers of traces and spans (W3C Trace Context, section 3.2.2).

use std::fmt;
use std::str::FromStr;

/// Why a text is no trace or span id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a {kind} id: expected {digits} hexadecimal digits, not all zero")]
pub struct ParseIdError {
    text: String,
    kind: &'static str,
    digits: usize,
}

macro_rules! id_type {
    ($name:ident, $bytes:literal, $kind:literal, $doc:literal) => {
        #[doc = $doc]
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name([u8; $bytes]);

        impl $name {
            /// The all-zero id, which stands for "no id" and is never valid on a span.
            pub const INVALID: Self = Self([0; $bytes]);

            /// The id made of these bytes, in network order.
            pub const fn from_bytes(bytes: [u8; $bytes]) -> Self {
                Self(bytes)
            }

            /// The id in `bytes`, if it has the right length and is not all zero.
            pub fn from_slice(bytes: &[u8]) -> Option<Self> {
                let id = Self(bytes.try_into().ok()?);
                id.is_valid().then_some(id)
            }

            /// The bytes of the id, in network order.
            pub const fn as_bytes(&self) -> &[u8; $bytes] {
                &self.0
            }

            /// The bytes of the id, in network order.
            pub const fn to_bytes(self) -> [u8; $bytes] {
                self.0
            }

            /// Whether any bit is set: the all-zero id means "none".
            pub fn is_valid(&self) -> bool {
                self.0 != [0; $bytes]
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                const DIGITS: &[u8; 16] = b"0123456789abcdef";
                let mut text = [0_u8; $bytes * 2];
                for (pair, byte) in text.chunks_exact_mut(2).zip(self.0) {
                    pair[0] = DIGITS[usize::from(byte >> 4)];
                    pair[1] = DIGITS[usize::from(byte & 15)];
                }
                f.write_str(std::str::from_utf8(&text).map_err(|_| fmt::Error)?)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                let error = || ParseIdError {
                    text: text.to_owned(),
                    kind: $kind,
                    digits: $bytes * 2,
                };
                let digits = text.as_bytes();
                if digits.len() != $bytes * 2 {
                    return Err(error());
                }
                let mut bytes = [0_u8; $bytes];
                for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
                    let high = hex_digit(pair[0]).ok_or_else(error)?;
                    let low = hex_digit(pair[1]).ok_or_else(error)?;
                    *byte = high << 4 | low;
                }
                Self::from_slice(&bytes).ok_or_else(error)
            }
        }

        /// As its bytes, or where people read it as its digits.
        #[cfg(feature = "serde")]
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() {
                    return serializer.collect_str(self);
                }
                self.0.serialize(serializer)
            }
        }

        #[cfg(feature = "serde")]
        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                if deserializer.is_human_readable() {
                    let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                    return text.parse().map_err(serde::de::Error::custom);
                }
                <[u8; $bytes]>::deserialize(deserializer).map(Self)
            }
        }
    };
}

id_type!(
    TraceId,
    16,
    "trace",
    "Identifies a trace: 16 bytes, not all zero, printed as 32 lower-case hexadecimal digits.\n\n\
     ```\n\
     use lumitrace_model::TraceId;\n\
     let id: TraceId = \"4BF92F3577b34da6a3ce929d0e0e4736\".parse()?;\n\
     assert_eq!(id.to_string(), \"4bf92f3577b34da6a3ce929d0e0e4736\");\n\
     # Ok::<(), lumitrace_model::ParseIdError>(())\n\
     ```"
);
id_type!(
    SpanId,
    8,
    "span",
    "Identifies a span within its trace: 8 bytes, not all zero, printed as 16 lower-case \
     hexadecimal digits.\n\n\
     ```\n\
     use lumitrace_model::SpanId;\n\
     assert!(SpanId::from_slice(&[0; 8]).is_none(), \"all zero means none\");\n\
     ```"
);

fn hex_digit(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ids_of_wrong_length_or_digits_are_refused() {
        for text in [
            "",
            "12",
            "zz00000000000001",
            "0000000000000000",
            "00000000000000011",
        ] {
            assert!(text.parse::<SpanId>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_valid_id_survives_printing_and_parsing(bytes: [u8; 16]) {
            prop_assume!(bytes != [0; 16]);
            let id = TraceId::from_bytes(bytes);
            prop_assert_eq!(id.to_string().parse::<TraceId>().unwrap(), id);
        }
    }
}
