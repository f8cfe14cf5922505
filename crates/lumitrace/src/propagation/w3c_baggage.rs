//! W3C Baggage: the header `baggage` (<https://www.w3.org/TR/baggage/>).

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};

use super::{Extractor, Injector, Propagator};
use crate::Context;
use crate::baggage::{Baggage, BaggageEntry};

const BAGGAGE: &str = "baggage";
/// More is neither written nor read (section 3.3.2, "Limits").
const MAX_BYTES: usize = 8192;
const MAX_ENTRIES: usize = 180;
/// What a value must not have as it is (section 3.3.1.3, "value"), and the percent sign.
const ENCODED: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b',')
    .add(b';')
    .add(b'\\')
    .add(b'%');

/// Writes and reads `baggage`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct W3cBaggage;

impl Propagator for W3cBaggage {
    fn inject(&self, context: &Context, carrier: &mut dyn Injector) {
        let header = header(context.baggage());
        if !header.is_empty() {
            carrier.set(BAGGAGE, header);
        }
    }

    fn extract(&self, context: Context, carrier: &dyn Extractor) -> Context {
        let headers = carrier.get_all(BAGGAGE);
        let members = headers.iter().flat_map(|header| header.split(','));
        let mut bytes = 0;
        let within_limits = members.take_while(|member| {
            bytes += member.len() + 1;
            bytes <= MAX_BYTES + 1
        });
        let entries = within_limits.filter_map(entry).take(MAX_ENTRIES);
        let baggage = entries.fold(context.baggage().clone(), Baggage::with_entry);
        if baggage.is_empty() {
            return context;
        }
        context.with_baggage(baggage)
    }

    fn fields(&self) -> Vec<&'static str> {
        vec![BAGGAGE]
    }
}

/// The entries that fit; the first ones.
fn header(baggage: &Baggage) -> String {
    let mut header = String::new();
    for entry in baggage
        .iter()
        .filter(|entry| is_token(&entry.name))
        .take(MAX_ENTRIES)
    {
        let value = utf8_percent_encode(&entry.value, ENCODED);
        let mut member = format!("{}={value}", entry.name);
        if !entry.properties.is_empty() {
            member = format!("{member};{}", entry.properties);
        }
        let comma = usize::from(!header.is_empty());
        if header.len() + comma + member.len() > MAX_BYTES {
            continue;
        }
        if !header.is_empty() {
            header.push(',');
        }
        header.push_str(&member);
    }
    header
}

/// A member of the list; none if it is not one.
fn entry(member: &str) -> Option<BaggageEntry> {
    let (pair, properties) = member.split_once(';').unwrap_or((member, ""));
    let (name, value) = pair.split_once('=')?;
    let name = name.trim_matches([' ', '\t']);
    let value = percent_decode_str(value.trim_matches([' ', '\t'])).decode_utf8_lossy();
    is_token(name).then(|| BaggageEntry {
        name: name.to_owned().into(),
        value: value.into_owned().into(),
        properties: properties.trim_matches([' ', '\t']).to_owned().into(),
    })
}

/// A token of RFC 7230, section 3.2.6.
pub(super) fn is_token(name: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !name.is_empty() && name.bytes().all(is_allowed)
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;

    fn read<const N: usize>(pairs: [(&str, &str); N]) -> Baggage {
        let context = W3cBaggage.extract(Context::default(), &headers(pairs));
        context.baggage().clone()
    }

    #[test]
    fn names_values_and_properties_travel() {
        let baggage = read([("baggage", "user = G%C3%B6 ; ttl=30;p, empty=,a=b=c")]);
        let values = ["user", "empty", "a"].map(|name| baggage.get(name));
        assert_eq!(values, [Some("Gö"), Some(""), Some("b=c")]);
        let context = Context::default().with_baggage(baggage);
        let written = injected(&W3cBaggage, &context);
        assert_eq!(written["baggage"], "user=G%C3%B6;ttl=30;p,empty=,a=b=c");
    }

    #[test]
    fn what_is_no_member_is_left_out() {
        let baggage = read([("baggage", "no, =x, two words=1, ok=1")]);
        assert_eq!(baggage, Baggage::new().with("ok", "1"));
        let unnamed = Baggage::new()
            .with("two words", "1")
            .with("ok", "a,b;c\"d\\");
        let written = injected(&W3cBaggage, &Context::default().with_baggage(unnamed));
        assert_eq!(written["baggage"], "ok=a%2Cb%3Bc%22d%5C");
    }

    #[test]
    fn neither_more_bytes_nor_more_entries_travel_than_the_limits_say() {
        let long = "x".repeat(MAX_BYTES);
        let baggage = Baggage::new().with("long", long).with("short", "1");
        let written = injected(&W3cBaggage, &Context::default().with_baggage(baggage));
        assert_eq!(written["baggage"], "short=1");
        let many: Vec<String> = (0..300).map(|number| format!("n{number}=1")).collect();
        let baggage = read([("baggage", &many.join(","))]);
        assert_eq!(baggage.len(), MAX_ENTRIES);
    }
}
