//! Where a context is written to and read from.

use std::collections::{BTreeMap, HashMap};
use std::hash::BuildHasher;

/// What a context is written into: headers, or anything with names and values.
pub trait Injector {
    /// Sets `name` to `value`, in place of an earlier value.
    fn set(&mut self, name: &str, value: String);
}

/// What a context is read from. Names are looked up whatever their case, as those of headers are.
pub trait Extractor {
    /// The first value of `name`.
    fn get(&self, name: &str) -> Option<&str>;

    /// All values of `name`: headers may come several times.
    fn get_all(&self, name: &str) -> Vec<&str> {
        self.get(name).into_iter().collect()
    }

    /// All names.
    fn names(&self) -> Vec<&str>;
}

impl<S: BuildHasher> Injector for HashMap<String, String, S> {
    fn set(&mut self, name: &str, value: String) {
        self.insert(name.to_owned(), value);
    }
}

impl<S: BuildHasher> Extractor for HashMap<String, String, S> {
    fn get(&self, name: &str) -> Option<&str> {
        let exact = self.get(name);
        let found = exact.or_else(|| {
            let mut others = self.iter();
            let same = others.find(|(other, _)| other.eq_ignore_ascii_case(name));
            same.map(|(_, value)| value)
        });
        found.map(String::as_str)
    }

    fn names(&self) -> Vec<&str> {
        self.keys().map(String::as_str).collect()
    }
}

impl Injector for BTreeMap<String, String> {
    fn set(&mut self, name: &str, value: String) {
        self.insert(name.to_owned(), value);
    }
}

impl Extractor for BTreeMap<String, String> {
    fn get(&self, name: &str) -> Option<&str> {
        let mut pairs = self.iter();
        let found = pairs.find(|(other, _)| other.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    fn names(&self) -> Vec<&str> {
        self.keys().map(String::as_str).collect()
    }
}

impl Injector for Vec<(String, String)> {
    fn set(&mut self, name: &str, value: String) {
        self.retain(|(other, _)| !other.eq_ignore_ascii_case(name));
        self.push((name.to_owned(), value));
    }
}

impl Extractor for Vec<(String, String)> {
    fn get(&self, name: &str) -> Option<&str> {
        self.get_all(name).into_iter().next()
    }

    fn get_all(&self, name: &str) -> Vec<&str> {
        let pairs = self.iter();
        let same = pairs.filter(|(other, _)| other.eq_ignore_ascii_case(name));
        same.map(|(_, value)| value.as_str()).collect()
    }

    fn names(&self) -> Vec<&str> {
        self.iter().map(|(name, _)| name.as_str()).collect()
    }
}

impl Injector for http::HeaderMap {
    fn set(&mut self, name: &str, value: String) {
        // Neither fails for what propagators write.
        let name = http::HeaderName::from_bytes(name.as_bytes());
        if let (Ok(name), Ok(value)) = (name, http::HeaderValue::try_from(value)) {
            self.insert(name, value);
        }
    }
}

impl Extractor for http::HeaderMap {
    fn get(&self, name: &str) -> Option<&str> {
        http::HeaderMap::get(self, name)?.to_str().ok()
    }

    fn get_all(&self, name: &str) -> Vec<&str> {
        let values = http::HeaderMap::get_all(self, name).iter();
        values.filter_map(|value| value.to_str().ok()).collect()
    }

    fn names(&self) -> Vec<&str> {
        self.keys().map(http::HeaderName::as_str).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same header set twice, and looked up in another case.
    fn check(carrier: &mut (impl Injector + Extractor)) {
        carrier.set("x-b3-traceid", "one".to_owned());
        carrier.set("x-b3-traceid", "two".to_owned());
        assert_eq!(carrier.get("X-B3-TraceId"), Some("two"));
        assert_eq!(carrier.get_all("x-b3-traceid"), ["two"]);
        assert_eq!(carrier.names(), ["x-b3-traceid"]);
        assert_eq!(carrier.get("x-b3-spanid"), None);
    }

    #[test]
    fn headers_are_found_whatever_the_case_of_their_names() {
        check(&mut HashMap::<String, String>::new());
        check(&mut BTreeMap::new());
        check(&mut Vec::new());
        check(&mut http::HeaderMap::new());
    }

    #[test]
    fn headers_that_come_several_times_are_all_read() {
        let mut headers = http::HeaderMap::new();
        headers.append("tracestate", http::HeaderValue::from_static("a=1"));
        headers.append("tracestate", http::HeaderValue::from_static("b=2"));
        assert_eq!(Extractor::get_all(&headers, "tracestate"), ["a=1", "b=2"]);
        let pair = |value: &str| ("Tracestate".to_owned(), value.to_owned());
        let pairs = vec![pair("a=1"), pair("b=2")];
        assert_eq!(Extractor::get_all(&pairs, "tracestate"), ["a=1", "b=2"]);
    }
}
