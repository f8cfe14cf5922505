//! Sizes, periods and addresses as people write them.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A number of bytes, written as `64MiB`, `512 KiB`, `10MB` or a plain number.
///
/// ```
/// use lumitrace_server::config::Size;
/// assert_eq!("64 MiB".parse(), Ok(Size(64 << 20)));
/// assert_eq!(Size(1 << 20).to_string(), "1MiB");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, JsonSchema)]
#[schemars(with = "String")]
pub struct Size(pub u64);

/// Units by falling size, so that printing finds the largest that divides without rest.
const UNITS: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("TB", 1_000_000_000_000),
    ("GiB", 1 << 30),
    ("GB", 1_000_000_000),
    ("MiB", 1 << 20),
    ("MB", 1_000_000),
    ("KiB", 1 << 10),
    ("KB", 1_000),
    ("B", 1),
];

impl Size {
    /// The size as a length in memory; larger than the address space counts as all of it.
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let digits = text
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let unit = match unit.trim() {
            "" => "B",
            unit => unit,
        };
        let bytes = UNITS
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(unit));
        number
            .parse::<u64>()
            .ok()
            .zip(bytes)
            .and_then(|(number, (_, bytes))| number.checked_mul(*bytes))
            .map(Size)
            .ok_or_else(|| format!("{text:?} is not a size; write it as 64MiB, 10MB or 1048576"))
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let binary = UNITS.iter().filter(|(name, _)| name.len() != 2);
        for (name, bytes) in binary {
            if self.0 != 0 && self.0.is_multiple_of(*bytes) && *bytes > 1 {
                return write!(f, "{}{name}", self.0 / bytes);
            }
        }
        write!(f, "{}", self.0)
    }
}

/// A length of time, written as `10s`, `250ms` or `1h 30m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, JsonSchema)]
#[schemars(with = "String")]
pub struct Period(pub Duration);

impl Period {
    /// That many seconds.
    pub const fn from_secs(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }
}

impl FromStr for Period {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        humantime::parse_duration(text.trim())
            .map(Period)
            .map_err(|_| format!("{text:?} is not a length of time; write it as 10s, 250ms or 1h"))
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_duration(self.0).fmt(f)
    }
}

/// A value of its own, or `same`: that of another setting.
///
/// ```
/// use lumitrace_server::config::{OrSame, Period};
/// assert_eq!("1h".parse(), Ok(OrSame::Own(Period::from_secs(3600))));
/// assert_eq!("same".parse(), Ok(OrSame::<Period>::Same));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, JsonSchema)]
#[schemars(with = "String")]
pub enum OrSame<T> {
    /// That of the other setting.
    Same,
    /// This one.
    Own(T),
}

impl<T: FromStr<Err = String>> FromStr for OrSame<T> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.trim() {
            "same" => Ok(Self::Same),
            own => own
                .parse()
                .map(Self::Own)
                .map_err(|error| format!("{error}; or as same")),
        }
    }
}

impl<T: fmt::Display> fmt::Display for OrSame<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Same => f.write_str("same"),
            Self::Own(own) => own.fmt(f),
        }
    }
}

/// A place to listen at: `host:port`, where the host is a name or an IP address.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema)]
#[schemars(with = "String")]
pub struct Address {
    /// Name or address of the interface; IPv6 addresses without brackets.
    pub host: String,
    /// Port; 0 for any free one.
    pub port: u16,
}

impl Address {
    /// A port that only programs of this machine reach.
    pub fn loopback(port: u16) -> Self {
        Self {
            host: "127.0.0.1".to_owned(),
            port,
        }
    }
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let address = || {
            let (host, port) = text.trim().rsplit_once(':')?;
            let port = port.parse().ok()?;
            let host = match host.strip_prefix('[') {
                Some(host) => host.strip_suffix(']')?,
                None if host.contains(':') => return None,
                None => host,
            };
            let plain = |c: char| !c.is_whitespace() && !matches!(c, '/' | '@');
            (!host.is_empty() && host.chars().all(plain)).then(|| Address {
                host: host.to_owned(),
                port,
            })
        };
        address().ok_or_else(|| {
            format!("{text:?} is not an address; write it as 127.0.0.1:4317 or [::1]:4317")
        })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

macro_rules! serde_as_text {
    ($($type:ty),*) => {$(
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                /// YAML reads `1048576` as a number: both spellings are the same text.
                #[derive(Deserialize)]
                #[serde(untagged)]
                enum Scalar {
                    Number(u64),
                    Text(String),
                }
                let text = match Scalar::deserialize(deserializer) {
                    Ok(Scalar::Number(number)) => number.to_string(),
                    Ok(Scalar::Text(text)) => text,
                    Err(_) => return Err(de::Error::custom("expected one plain value")),
                };
                text.parse().map_err(de::Error::custom)
            }
        }
    )*};
}

serde_as_text!(Size, Period, Address, OrSame<Size>, OrSame<Period>);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sizes_are_read_in_every_usual_spelling() {
        for (text, bytes) in [
            ("0", 0),
            ("17", 17),
            ("1KiB", 1024),
            ("1 kb", 1000),
            ("64MiB", 64 << 20),
            ("2gib", 2 << 30),
        ] {
            assert_eq!(text.parse(), Ok(Size(bytes)), "{text}");
        }
        for text in ["", "MiB", "-1", "1.5MiB", "1 parsec", "99999999999GiB"] {
            assert!(text.parse::<Size>().is_err(), "{text}");
        }
    }

    #[test]
    fn addresses_need_a_host_and_a_port() {
        for text in ["127.0.0.1:4317", "localhost:0", "[::1]:16686", "0.0.0.0:1"] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "4317",
            ":4317",
            "localhost",
            "localhost:x",
            "http://h:1",
            "::1:80",
            "h:70000",
        ] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn printed_sizes_and_periods_read_back_the_same(bytes: u64, nanos in 0..u64::MAX / 2) {
            prop_assert_eq!(Size(bytes).to_string().parse(), Ok(Size(bytes)));
            let period = Period(Duration::from_nanos(nanos));
            prop_assert_eq!(period.to_string().parse(), Ok(period));
        }
    }
}
