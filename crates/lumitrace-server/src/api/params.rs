//! Reads the parameters of a query.

use super::duration_text::parse_nano;
use super::error::ApiError;
use std::fmt::Display;
use std::str::FromStr;

/// The pairs of a query string, in order.
#[derive(Debug, Clone, Default)]
pub(super) struct Params {
    pairs: Vec<(String, String)>,
}

impl Params {
    /// The pairs in `query`, percent-decoded.
    pub(super) fn new(query: Option<&str>) -> Self {
        let pairs = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
        Self {
            pairs: pairs.into_owned().collect(),
        }
    }

    /// The pairs in `query`, all of which must have one of these names: a misspelt condition that
    /// is silently left out would give a wrong answer.
    pub(super) fn only(query: Option<&str>, names: &[&str]) -> Result<Self, ApiError> {
        let params = Self::new(query);
        match params
            .pairs
            .iter()
            .find(|(name, _)| !names.contains(&name.as_str()))
        {
            None => Ok(params),
            Some((name, _)) => Err(ApiError::bad_request(format!(
                "there is no parameter {name:?} here; there are: {}",
                names.join(", ")
            ))),
        }
    }

    /// The last value of `name` that is not empty.
    pub(super) fn text<'a>(&'a self, name: &str) -> Option<&'a str> {
        let values = self
            .pairs
            .iter()
            .rev()
            .filter(|(key, value)| key == name && !value.is_empty());
        values.map(|(_, value)| value.as_str()).next()
    }

    /// Every value of `name`.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.pairs
            .iter()
            .filter(move |(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// The value of `name` as the type asked for.
    pub(super) fn parsed<T: FromStr<Err: Display>>(
        &self,
        name: &str,
    ) -> Result<Option<T>, ApiError> {
        self.text(name).map(|text| parse(name, text)).transpose()
    }

    /// The value of `name` as a number of at least 1 and at most `max`.
    pub(super) fn limit(&self, name: &str, default: usize, max: usize) -> Result<usize, ApiError> {
        match self.parsed(name)? {
            None => Ok(default),
            Some(0) => Err(ApiError::bad_request(format!("{name} must be at least 1"))),
            Some(limit) => Ok(max.min(limit)),
        }
    }

    /// The value of `name` as a duration, in nanoseconds.
    pub(super) fn duration_nano(&self, name: &str) -> Result<Option<u64>, ApiError> {
        let Some(text) = self.text(name) else {
            return Ok(None);
        };
        parse_nano(text).map(Some).ok_or_else(|| {
            ApiError::bad_request(format!(
                "{name} cannot be {text:?}; write a duration such as 10ms, 1.5s or 1h30m"
            ))
        })
    }
}

/// Reads a parameter's value, or a part of the path.
pub(super) fn parse<T: FromStr<Err: Display>>(name: &str, text: &str) -> Result<T, ApiError> {
    text.parse()
        .map_err(|error| ApiError::bad_request(format!("{name} cannot be {text:?}: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_decoded_and_may_repeat() {
        let params = Params::new(Some("tag=a%3Db&tag=c+d&limit=5&empty="));
        assert_eq!(params.all("tag").collect::<Vec<_>>(), ["a=b", "c d"]);
        assert_eq!(params.limit("limit", 50, 1000), Ok(5));
        assert_eq!(params.limit("other", 50, 1000), Ok(50));
        assert_eq!(params.text("empty"), None);
    }

    #[test]
    fn a_misspelt_parameter_is_named() {
        let error = Params::only(Some("servise=x"), &["service", "limit"]).unwrap_err();
        assert!(error.message.contains("servise") && error.message.contains("service, limit"));
    }

    #[test]
    fn a_value_of_the_wrong_type_is_named() {
        let params = Params::new(Some("limit=many&min_duration=3&zero=0"));
        assert!(
            params
                .limit("limit", 1, 1)
                .unwrap_err()
                .message
                .contains("\"many\"")
        );
        assert!(
            params
                .duration_nano("min_duration")
                .unwrap_err()
                .message
                .contains("10ms")
        );
        assert!(params.limit("zero", 1, 1).is_err());
    }
}
