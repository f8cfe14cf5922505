//! Reads the parameters of Jaeger's API.

use super::super::error::ApiError;
use super::super::params::Params;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use lumitrace_model::TraceId;
use lumitrace_query::{TagFilter, TraceQuery};
use serde_json::{Map, Value};

const DEFAULT_TRACES: usize = 100;
const MAX_TRACES: usize = 1500;
const NANO_PER_MICRO: u64 = 1_000;
const NANO_PER_MILLI: u64 = 1_000_000;
const DEFAULT_LOOKBACK_MILLI: u64 = 24 * 60 * 60 * 1000;

/// The trace id that `text` spells: up to 32 hexadecimal digits, of which leading zeros may be
/// missing, or base64, as protobuf's JSON writes ids (Jaeger takes both since its issue 8828).
pub(super) fn trace_id(text: &str) -> Result<TraceId, ApiError> {
    let text = text.trim();
    let hexadecimal = format!("{text:0>32}").parse().ok();
    hexadecimal
        .or_else(|| trace_id_in_base64(text))
        .ok_or_else(|| {
            let message = format!("{text:?} is not a trace id in hexadecimal or base64");
            ApiError::bad_request(message)
        })
}

fn trace_id_in_base64(text: &str) -> Option<TraceId> {
    let bytes = [STANDARD.decode(text), URL_SAFE.decode(text)];
    let bytes = bytes.into_iter().find_map(Result::ok)?;
    let trace_id = TraceId::from_bytes(bytes.try_into().ok()?);
    trace_id.is_valid().then_some(trace_id)
}

/// The service, which most of Jaeger's questions cannot do without.
pub(super) fn required_service(params: &Params) -> Result<&str, ApiError> {
    params
        .text("service")
        .ok_or_else(|| ApiError::bad_request("parameter 'service' is required"))
}

/// What a search asks for.
pub(super) fn search(params: &Params, now_unix_nano: u64) -> Result<TraceQuery, ApiError> {
    let service = required_service(params)?.to_owned();
    let time = |name| -> Result<Option<u64>, ApiError> {
        let micros: Option<u64> = params.parsed(name)?;
        Ok(micros.map(|micros| micros.saturating_mul(NANO_PER_MICRO)))
    };
    let min_duration_nano = params.duration_nano("minDuration")?;
    let max_duration_nano = params.duration_nano("maxDuration")?;
    if let (Some(min), Some(max)) = (min_duration_nano, max_duration_nano)
        && max < min
    {
        let message = "'maxDuration' should be greater than 'minDuration'";
        return Err(ApiError::bad_request(message));
    }
    Ok(TraceQuery {
        service: Some(service),
        operation: params.text("operation").map(str::to_owned),
        tags: tags(params)?,
        min_duration_nano,
        max_duration_nano,
        start_unix_nano: time("start")?,
        // Jaeger's end is inclusive, ours is not.
        end_unix_nano: Some(time("end")?.unwrap_or(now_unix_nano).saturating_add(1)),
        limit: params.limit("limit", DEFAULT_TRACES, MAX_TRACES)?,
        ..TraceQuery::default()
    })
}

fn tags(params: &Params) -> Result<Vec<TagFilter>, ApiError> {
    let mut tags = Vec::new();
    for tag in params.all("tag") {
        let (key, value) = tag.split_once(':').ok_or_else(|| {
            ApiError::bad_request(format!(
                "malformed 'tag' parameter, expecting key:value, received: {tag}"
            ))
        })?;
        tags.push(TagFilter {
            key: key.to_owned(),
            value: value.to_owned(),
        });
    }
    for json in params.all("tags").filter(|json| !json.is_empty()) {
        let map: Map<String, Value> = serde_json::from_str(json).map_err(|error| {
            ApiError::bad_request(format!(
                "malformed 'tags' parameter, cannot unmarshal JSON: {error}"
            ))
        })?;
        tags.extend(map.into_iter().map(|(key, value)| {
            let value = match value {
                Value::String(text) => text,
                other => other.to_string(),
            };
            TagFilter { key, value }
        }));
    }
    Ok(tags)
}

/// A stretch of time, in nanoseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) start_unix_nano: u64,
    pub(super) end_unix_nano: u64,
}

/// The time over which dependencies are counted: `lookback` until `endTs`, in milliseconds.
pub(super) fn dependency_window(params: &Params, now_unix_nano: u64) -> Result<Window, ApiError> {
    let end: Option<u64> = params.parsed("endTs")?;
    let end_unix_nano = end.map_or(now_unix_nano, |end| end.saturating_mul(NANO_PER_MILLI));
    let lookback: u64 = params.parsed("lookback")?.unwrap_or(DEFAULT_LOOKBACK_MILLI);
    let start_unix_nano = end_unix_nano.saturating_sub(lookback.saturating_mul(NANO_PER_MILLI));
    Ok(Window {
        start_unix_nano,
        end_unix_nano,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trace_ids_may_be_short_or_upper_case() {
        assert_eq!(
            trace_id("ABC").unwrap().to_string(),
            format!("{:0>32}", "abc")
        );
        for text in ["", "0", "xyz", &"1".repeat(33)] {
            assert!(trace_id(text).is_err(), "{text}");
        }
    }

    #[test]
    fn trace_ids_may_be_in_base64() {
        let id = "fbefbefbefbefbefbefbefbefbefbeff";
        for text in ["++++++++++++++++++++/w==", "--------------------_w=="] {
            assert_eq!(trace_id(text).unwrap().to_string(), id, "{text}");
        }
        for text in ["AAAAAAAAAAAAAAAAAAAAAA==", "++++/w=="] {
            assert!(trace_id(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_search_is_read_as_jaeger_reads_it() {
        let query = "service=s&operation=&start=1000&end=2000&minDuration=1ms&tag=a:b:c\
                     &tags=%7B%22error%22%3A%22true%22%2C%22n%22%3A3%7D";
        let search = search(&Params::new(Some(query)), 0).unwrap();
        assert_eq!(search.operation, None);
        assert_eq!(search.start_unix_nano, Some(1_000_000));
        assert_eq!(search.end_unix_nano, Some(2_000_001));
        assert_eq!(search.limit, 100);
        let tags: Vec<_> = search
            .tags
            .iter()
            .map(|tag| (&*tag.key, &*tag.value))
            .collect();
        assert_eq!(tags, [("a", "b:c"), ("error", "true"), ("n", "3")]);
    }

    #[test]
    fn wrong_searches_get_jaegers_words() {
        for (query, part) in [
            ("limit=1", "parameter 'service' is required"),
            ("service=s&minDuration=2s&maxDuration=1s", "maxDuration"),
            ("service=s&tag=a", "malformed 'tag'"),
            ("service=s&tags=x", "malformed 'tags'"),
            ("service=s&start=x", "start"),
        ] {
            let message = search(&Params::new(Some(query)), 0).unwrap_err().message;
            assert!(message.contains(part), "{query}: {message}");
        }
    }

    #[test]
    fn dependencies_are_asked_for_in_milliseconds() {
        let window = dependency_window(&Params::new(Some("endTs=5000&lookback=2000")), 0).unwrap();
        assert_eq!(
            window,
            Window {
                start_unix_nano: 3_000_000_000,
                end_unix_nano: 5_000_000_000
            }
        );
    }
}
