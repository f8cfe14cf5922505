//! How single fields are read from JSON: kindly where clients take liberties, and with a budget for
//! what lists may take in memory.

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;
use std::marker::PhantomData;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use lumitrace_model::{KeyValue, ResourceSpans, Value};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

thread_local! {
    /// What the lists of the request that this thread decodes may still take, in bytes. serde hands
    /// no state down to the types it makes.
    static BUDGET_BYTES: Cell<usize> = const { Cell::new(0) };
}

/// Why a request was not decoded.
pub(super) enum Error {
    /// Its lists would take more memory than allowed.
    OverBudget,
    /// It is not of the right form.
    Malformed(String),
}

/// Decodes with a budget, in bytes, for the items of all lists together.
pub(super) fn with_budget<T>(
    bytes: usize,
    decode: impl FnOnce() -> Result<T, String>,
) -> Result<T, Error> {
    BUDGET_BYTES.set(bytes);
    decode().map_err(|reason| {
        // A budget that ran out stays at zero with the item that did not fit still to come.
        if reason.contains(OVER_BUDGET) {
            Error::OverBudget
        } else {
            Error::Malformed(reason)
        }
    })
}

const OVER_BUDGET: &str = "the items would take too much memory";

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

/// A list whose items are counted against the budget.
pub(super) struct List<T>(Vec<T>);

impl<T> List<T> {
    pub(super) fn len(&self) -> usize {
        self.0.len()
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
                    let left = BUDGET_BYTES.get().checked_sub(size_of::<T>());
                    BUDGET_BYTES.set(left.ok_or_else(|| A::Error::custom(OVER_BUDGET))?);
                    list.push(item);
                }
                Ok(List(list))
            }
        }

        deserializer.deserialize_seq(Items(PhantomData))
    }
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

integer!(Int64(i64), Uint32(u32), Uint64(u64));

/// A double, NaN and infinities included.
#[derive(Clone, Copy)]
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

/// How deep the deepest value of any attribute nests.
pub(super) fn deepest(groups: &[ResourceSpans]) -> usize {
    let scopes = groups.iter().flat_map(|group| &group.scope_spans);
    let spans = scopes.clone().flat_map(|scope| &scope.spans);
    let of_spans = spans.flat_map(|span| {
        let events = span.events.iter().map(|event| &event.attributes);
        let links = span.links.iter().map(|link| &link.attributes);
        events.chain(links).chain([&span.attributes])
    });
    let of_resources = groups.iter().map(|group| &group.resource.attributes);
    let of_scopes = scopes.map(|scope| &scope.scope.attributes);
    let lists = of_spans.chain(of_resources).chain(of_scopes);
    lists
        .map(|list| depth_of_attributes(list))
        .max()
        .unwrap_or(0)
}

fn depth_of_attributes(attributes: &[KeyValue]) -> usize {
    attributes
        .iter()
        .map(|attribute| depth(&attribute.value))
        .max()
        .unwrap_or(0)
}

fn depth(value: &Value) -> usize {
    1 + match value {
        Value::Array(array) => array.iter().map(depth).max().unwrap_or(0),
        Value::Map(map) => depth_of_attributes(map),
        _ => 0,
    }
}
