//! How single fields are read from JSON: kindly where clients take liberties.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use lumitrace_model::{Severity, Value};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};

/// A field that may be null, which means its default.
pub(super) fn nullable<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// A message whose fields can be read from a JSON object.
pub(super) trait Message: Sized {
    fn from_fields<'de, D: Deserializer<'de>>(fields: D) -> Result<Self, D::Error>;
}

/// Reads a message from an object, and from nothing else: serde would take an array, too.
pub(super) fn message<'de, D: Deserializer<'de>, M: Message>(
    deserializer: D,
) -> Result<M, D::Error> {
    struct Object<M>(PhantomData<M>);

    impl<'de, M: Message> Visitor<'de> for Object<M> {
        type Value = M;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<M, A::Error> {
            M::from_fields(MapAccessDeserializer::new(fields))
        }
    }

    deserializer.deserialize_map(Object(PhantomData))
}

/// Text.
#[derive(Default)]
pub(super) struct Text(pub(super) lumitrace_model::Text);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(Cow::Owned(text)))
    }
}

/// Bytes, as base64 of either alphabet.
pub(super) struct Base64(pub(super) Vec<u8>);

impl<'de> Deserialize<'de> for Base64 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        let bytes = STANDARD.decode(&*text).or_else(|_| URL_SAFE.decode(&*text));
        bytes
            .map(Self)
            .map_err(|_| D::Error::custom("expected base64"))
    }
}

/// A number, or text that spells one: proto3 JSON writes 64-bit integers and NaN as text.
#[derive(Clone, Copy)]
enum Number {
    Int(i128),
    Double(f64),
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AnyNumber;

        impl Visitor<'_> for AnyNumber {
            type Value = Number;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number")
            }

            fn visit_i64<E>(self, number: i64) -> Result<Number, E> {
                Ok(Number::Int(number.into()))
            }

            fn visit_u64<E>(self, number: u64) -> Result<Number, E> {
                Ok(Number::Int(number.into()))
            }

            fn visit_f64<E>(self, number: f64) -> Result<Number, E> {
                Ok(Number::Double(number))
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Number, E> {
                let int = text.trim().parse().ok().map(Number::Int);
                let double = || Value::from(text.to_owned()).as_f64().map(Number::Double);
                int.or_else(double)
                    .ok_or_else(|| E::custom("expected a number"))
            }
        }

        deserializer.deserialize_any(AnyNumber)
    }
}

impl Number {
    fn integer<N: TryFrom<i128>, E: serde::de::Error>(self) -> Result<N, E> {
        let int = match self {
            Number::Int(int) => Some(int),
            Number::Double(double) if double.fract() == 0.0 => Some(double as i128),
            Number::Double(_) => None,
        };
        let out_of_range = || E::custom("expected an integer in the field's range");
        int.and_then(|int| N::try_from(int).ok())
            .ok_or_else(out_of_range)
    }
}

macro_rules! integer {
    ($($name:ident($type:ty)),*) => {
        $(
            #[derive(Clone, Copy, Default)]
            pub(super) struct $name(pub(super) $type);

            impl<'de> Deserialize<'de> for $name {
                fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                    Number::deserialize(deserializer)?.integer().map(Self)
                }
            }
        )*
    };
}

integer!(Int32(i32), Int64(i64), Uint32(u32), Uint64(u64));

/// A double, NaN and infinities included.
#[derive(Clone, Copy, Default)]
pub(super) struct Double(pub(super) f64);

impl<'de> Deserialize<'de> for Double {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(match Number::deserialize(deserializer)? {
            Number::Int(int) => int as f64,
            Number::Double(double) => double,
        }))
    }
}

/// The names of an enum's numbers, as proto3 JSON spells their ends.
pub(super) trait Names {
    const NAMES: &[&str];
}

pub(super) struct SpanKinds;
pub(super) struct StatusCodes;
pub(super) struct Severities;
pub(super) struct Temporalities;

impl Names for SpanKinds {
    const NAMES: &[&str] = &[
        "UNSPECIFIED",
        "INTERNAL",
        "SERVER",
        "CLIENT",
        "PRODUCER",
        "CONSUMER",
    ];
}

impl Names for StatusCodes {
    const NAMES: &[&str] = &["UNSET", "OK", "ERROR"];
}

impl Names for Severities {
    const NAMES: &[&str] = &Severity::NAMES;
}

impl Names for Temporalities {
    const NAMES: &[&str] = &["UNSPECIFIED", "DELTA", "CUMULATIVE"];
}

/// An enum: its number, or its name (`SPAN_KIND_SERVER`), which is not OTLP but is sent.
pub(super) struct Enumeration<N>(i64, PhantomData<N>);

impl<N> Enumeration<N> {
    pub(super) fn number(&self) -> i64 {
        self.0
    }
}

impl<N> Default for Enumeration<N> {
    fn default() -> Self {
        Self(0, PhantomData)
    }
}

impl<'de, N: Names> Deserialize<'de> for Enumeration<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NumberOrName<N>(PhantomData<N>);

        impl<N: Names> Visitor<'_> for NumberOrName<N> {
            type Value = i64;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number or a known name")
            }

            fn visit_i64<E>(self, number: i64) -> Result<i64, E> {
                Ok(number)
            }

            fn visit_u64<E>(self, number: u64) -> Result<i64, E> {
                // Beyond every enum: unknown, as any other number without a name.
                Ok(i64::try_from(number).unwrap_or(i64::MAX))
            }

            fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<i64, E> {
                let number = N::NAMES.iter().position(|known| name.ends_with(known));
                let number = number.and_then(|number| i64::try_from(number).ok());
                let unknown = || E::custom("expected a number or a known name");
                number
                    .or_else(|| name.trim().parse().ok())
                    .ok_or_else(unknown)
            }
        }

        let number = deserializer.deserialize_any(NumberOrName::<N>(PhantomData))?;
        Ok(Self(number, PhantomData))
    }
}
