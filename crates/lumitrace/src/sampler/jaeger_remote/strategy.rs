//! What a server can say, and what it means for a span.
//!
//! The model is Jaeger's (`proto/api_v2/sampling.proto` in <https://github.com/jaegertracing/jaeger-idl>),
//! written as JSON. Its field `strategyType` is not read, as its authors advise: what is there counts, that
//! by operation first. Upper bounds are not acted upon, as in Jaeger's own clients.

use std::collections::HashMap;
use std::hash::BuildHasher;

use serde::Deserialize;

use super::super::rate_limited::TokenBucket;
use super::super::trace_id_ratio::TraceIdRatio;
use super::super::{SamplingDecision, SamplingParameters, SamplingResult};

/// Operations that get a strategy of their own, at most; Jaeger's clients keep as many.
const MAX_OPERATIONS: usize = 2000;
/// Buckets for operations that the server does not name. Operations whose names fall into the same one share
/// their lower bound.
const OTHER_OPERATIONS: usize = 64;

/// Why an answer is no strategy.
#[derive(Debug, thiserror::Error)]
pub(super) enum StrategyError {
    #[error("its answer is not the JSON of a sampling strategy: {0}")]
    Json(#[from] serde_json::Error),
    #[error("its answer names no sampling strategy")]
    Empty,
}

/// Which traces of a service are recorded.
#[derive(Debug)]
pub(super) enum Strategy {
    Probabilistic(Share),
    RateLimiting {
        traces_per_second: f64,
        bucket: TokenBucket,
    },
    PerOperation(Box<PerOperation>),
}

/// A share of the traces.
#[derive(Debug, Clone, Copy)]
pub(super) struct Share {
    rate: f64,
    ratio: TraceIdRatio,
}

/// For each operation a share, and a number of traces that are recorded at least.
#[derive(Debug)]
pub(super) struct PerOperation {
    named: HashMap<String, Operation>,
    default_share: Share,
    other_lower_bounds: [TokenBucket; OTHER_OPERATIONS],
}

#[derive(Debug)]
struct Operation {
    share: Share,
    lower_bound: TokenBucket,
}

impl Strategy {
    /// A share of the traces, from 0 to 1.
    pub(super) fn probabilistic(rate: f64) -> Self {
        Self::Probabilistic(Share::new(rate))
    }

    /// The strategy in a server's answer.
    pub(super) fn from_json(answer: &[u8]) -> Result<Self, StrategyError> {
        let answer: Answer = serde_json::from_slice(answer)?;
        if let Some(operations) = answer.operation_sampling {
            return Ok(Self::PerOperation(Box::new(operations.into())));
        }
        if let Some(limit) = answer.rate_limiting_sampling {
            return Ok(Self::RateLimiting {
                traces_per_second: limit.max_traces_per_second,
                bucket: TokenBucket::per_second(limit.max_traces_per_second),
            });
        }
        let share = answer.probabilistic_sampling.ok_or(StrategyError::Empty)?;
        Ok(Self::probabilistic(share.sampling_rate))
    }

    pub(super) fn decide(&self, parameters: &SamplingParameters<'_>) -> SamplingResult {
        match self {
            Strategy::Probabilistic(share) => share.decide(parameters),
            Strategy::RateLimiting {
                traces_per_second,
                bucket,
            } => match bucket.take() {
                true => sampled("ratelimiting", *traces_per_second),
                false => SamplingDecision::Drop.into(),
            },
            Strategy::PerOperation(operations) => operations.decide(parameters),
        }
    }
}

impl Share {
    fn new(rate: f64) -> Self {
        Self {
            rate,
            ratio: TraceIdRatio::new(rate),
        }
    }

    fn decide(&self, parameters: &SamplingParameters<'_>) -> SamplingResult {
        match self.ratio.records(parameters.trace_id) {
            true => sampled("probabilistic", self.rate),
            false => SamplingDecision::Drop.into(),
        }
    }
}

impl PerOperation {
    fn decide(&self, parameters: &SamplingParameters<'_>) -> SamplingResult {
        let (share, lower_bound) = match self.named.get(parameters.name) {
            Some(operation) => (&operation.share, &operation.lower_bound),
            None => {
                let hash = self.named.hasher().hash_one(parameters.name);
                let number = hash % OTHER_OPERATIONS as u64;
                let bucket = &self.other_lower_bounds[number as usize];
                (&self.default_share, bucket)
            }
        };
        let by_share = share.decide(parameters);
        // A trace that is recorded for its share counts for the lower bound too.
        let is_below_bound = lower_bound.take();
        match by_share.decision() {
            SamplingDecision::Drop if is_below_bound => sampled("lowerbound", share.rate),
            _ => by_share,
        }
    }
}

/// Tells Jaeger's adaptive sampling what has decided.
fn sampled(sampler_type: &'static str, param: f64) -> SamplingResult {
    SamplingResult::from(SamplingDecision::RecordAndSample)
        .with_attribute("sampler.type", sampler_type)
        .with_attribute("sampler.param", param)
}

/// Fields that are absent or null have protobuf's defaults.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Answer {
    probabilistic_sampling: Option<ProbabilisticSampling>,
    rate_limiting_sampling: Option<RateLimitingSampling>,
    operation_sampling: Option<OperationSampling>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct ProbabilisticSampling {
    sampling_rate: f64,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct RateLimitingSampling {
    max_traces_per_second: f64,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct OperationSampling {
    default_sampling_probability: f64,
    default_lower_bound_traces_per_second: f64,
    per_operation_strategies: Option<Vec<OperationStrategy>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct OperationStrategy {
    operation: String,
    probabilistic_sampling: Option<ProbabilisticSampling>,
}

impl From<OperationSampling> for PerOperation {
    fn from(sampling: OperationSampling) -> Self {
        let lower_bound =
            || TokenBucket::per_second(sampling.default_lower_bound_traces_per_second);
        let default_share = Share::new(sampling.default_sampling_probability);
        let strategies = sampling.per_operation_strategies.unwrap_or_default();
        let named = strategies.into_iter().take(MAX_OPERATIONS).map(|strategy| {
            let own = strategy.probabilistic_sampling;
            let operation = Operation {
                share: own.map_or(default_share, |own| Share::new(own.sampling_rate)),
                lower_bound: lower_bound(),
            };
            (strategy.operation, operation)
        });
        Self {
            named: named.collect(),
            default_share,
            other_lower_bounds: std::array::from_fn(|_| lower_bound()),
        }
    }
}

#[cfg(test)]
mod tests {
    use lumitrace_model::TraceId;

    use super::super::super::testing::root;
    use super::*;

    /// The attributes of a span named `name` that is sampled; `None` of one that is not.
    fn decide(strategy: &Strategy, name: &str, trace_byte: u8) -> Option<(String, f64)> {
        let result = strategy.decide(&SamplingParameters {
            trace_id: TraceId::from_bytes([trace_byte; 16]),
            ..root(name)
        });
        let [sampler_type, param] = result.attributes() else {
            assert_eq!(result, SamplingDecision::Drop.into());
            return None;
        };
        assert_eq!(result.decision(), SamplingDecision::RecordAndSample);
        assert_eq!(
            (&*sampler_type.key, &*param.key),
            ("sampler.type", "sampler.param")
        );
        let name = sampler_type.value.as_str().unwrap().to_owned();
        Some((name, param.value.as_f64().unwrap()))
    }

    fn strategy(json: &str) -> Strategy {
        Strategy::from_json(json.as_bytes()).unwrap()
    }

    fn by(name: &str, param: f64) -> Option<(String, f64)> {
        Some((name.to_owned(), param))
    }

    #[test]
    fn a_share_is_read_in_each_way_that_servers_write_it() {
        for json in [
            r#"{"strategyType":"PROBABILISTIC","probabilisticSampling":{"samplingRate":0.5}}"#,
            r#"{"strategyType":0,"probabilisticSampling":{"samplingRate":0.5},
                "rateLimitingSampling":null,"operationSampling":null,"new":[{}]}"#,
        ] {
            let half = strategy(json);
            assert_eq!(
                decide(&half, "work", 0xff),
                by("probabilistic", 0.5),
                "{json}"
            );
            assert_eq!(decide(&half, "work", 0x01), None, "{json}");
        }
        // A zero is left out in protobuf's JSON.
        let none = strategy(r#"{"probabilisticSampling":{}}"#);
        assert_eq!(decide(&none, "work", 0xff), None);
    }

    #[test]
    fn a_limit_is_so_many_traces_whatever_their_ids() {
        let two = strategy(
            r#"{"strategyType":"RATE_LIMITING","rateLimitingSampling":{"maxTracesPerSecond":2}}"#,
        );
        for _ in 0..2 {
            assert_eq!(decide(&two, "work", 0x01), by("ratelimiting", 2.0));
        }
        let none = strategy(r#"{"rateLimitingSampling":{"maxTracesPerSecond":-1}}"#);
        assert_eq!(decide(&none, "work", 0xff), None);
    }

    #[test]
    fn each_operation_has_its_share_and_its_lower_bound() {
        // A bound of a trace in a year: each bucket has one, and no second one during the test.
        let strategy = strategy(
            r#"{"probabilisticSampling":{"samplingRate":1},
                "operationSampling":{
                    "defaultSamplingProbability":0.5,
                    "defaultLowerBoundTracesPerSecond":3e-8,
                    "defaultUpperBoundTracesPerSecond":0,
                    "perOperationStrategies":[
                        {"operation":"all","probabilisticSampling":{"samplingRate":1}},
                        {"operation":"none","probabilisticSampling":{"samplingRate":0}},
                        {"operation":"default"}]}}"#,
        );
        // The share comes first, and takes what the lower bound would have given.
        assert_eq!(decide(&strategy, "all", 0x01), by("probabilistic", 1.0));
        assert_eq!(decide(&strategy, "all", 0x01), by("probabilistic", 1.0));
        assert_eq!(decide(&strategy, "default", 0xff), by("probabilistic", 0.5));
        assert_eq!(decide(&strategy, "default", 0x01), None);
        // Below it, the lower bound gives one.
        assert_eq!(decide(&strategy, "none", 0xff), by("lowerbound", 0.0));
        assert_eq!(decide(&strategy, "none", 0xff), None);
        assert_eq!(decide(&strategy, "unheard of", 0x01), by("lowerbound", 0.5));
        assert_eq!(decide(&strategy, "unheard of", 0x01), None);
        assert_eq!(
            decide(&strategy, "unheard of", 0xff),
            by("probabilistic", 0.5)
        );
    }

    #[test]
    fn operations_without_a_bound_get_their_share_only_and_their_number_is_bounded() {
        let operations: Vec<_> = (0..MAX_OPERATIONS + 1)
            .map(|number| {
                format!(
                    r#"{{"operation":"{number}","probabilisticSampling":{{"samplingRate":1}}}}"#
                )
            })
            .collect();
        let strategy = strategy(&format!(
            r#"{{"operationSampling":{{"perOperationStrategies":[{}]}}}}"#,
            operations.join(",")
        ));
        let last = MAX_OPERATIONS - 1;
        assert_eq!(
            decide(&strategy, &last.to_string(), 1),
            by("probabilistic", 1.0)
        );
        assert_eq!(decide(&strategy, &MAX_OPERATIONS.to_string(), 1), None);
        assert_eq!(decide(&strategy, "unheard of", 0xff), None);
    }

    #[test]
    fn what_is_no_strategy_is_refused_with_a_reason() {
        for (answer, reason) in [
            ("", "not the JSON"),
            ("<html>", "not the JSON"),
            ("7", "not the JSON"),
            (
                r#"{"probabilisticSampling":{"samplingRate":"much"}}"#,
                "not the JSON",
            ),
            ("{}", "names no sampling strategy"),
            (
                r#"{"strategyType":"PROBABILISTIC"}"#,
                "names no sampling strategy",
            ),
        ] {
            let error = Strategy::from_json(answer.as_bytes()).unwrap_err();
            assert!(error.to_string().contains(reason), "{answer}: {error}");
        }
    }
}
