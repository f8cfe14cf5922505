//! Samplers by the names and arguments of `OTEL_TRACES_SAMPLER` and `OTEL_TRACES_SAMPLER_ARG`
//! (specification, "General SDK configuration").

use std::num::NonZeroU32;
use std::time::Duration;

use super::{
    AlwaysOff, AlwaysOn, BatchInterval, JaegerRemote, JaegerRemoteSettings, ParentBased,
    RateLimited, Sampler, TraceIdRatio,
};
use crate::notice::NoticeHandler;

/// A sampler by its name, with its argument.
///
/// ```
/// use lumitrace::sampler::NamedSampler;
/// let half = NamedSampler::new("parentbased_traceidratio")?.with_argument("0.5")?;
/// assert!(NamedSampler::new("sometimes").is_err());
/// # let _unused = half;
/// # Ok::<(), lumitrace::sampler::SamplerNameError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct NamedSampler {
    is_parent_based: bool,
    kind: Kind,
}

#[derive(Debug, Clone, PartialEq)]
enum Kind {
    AlwaysOn,
    AlwaysOff,
    TraceIdRatio(f64),
    RateLimited(f64),
    BatchInterval(NonZeroU32),
    JaegerRemote(JaegerRemoteSettings),
}

/// Why a name or an argument means no sampler.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SamplerNameError {
    /// No sampler has this name.
    #[error("no such sampler is built in: use one of {}", NamedSampler::NAMES.join(", "))]
    Unknown,
    /// A sampler of the specification that needs a service of Amazon's.
    #[error(
        "AWS X-Ray's sampling is not built in: jaeger_remote also does what a server says, and rules \
         can be given in the program"
    )]
    XRay,
    /// The argument is not one of this sampler.
    #[error("{0}")]
    Argument(String),
}

const DEFAULT_RATIO: f64 = 1.0;
const DEFAULT_TRACES_PER_SECOND: f64 = 10.0;
const DEFAULT_BATCHES: NonZeroU32 = NonZeroU32::new(100).expect("it is not zero");
const PARENT_BASED: &str = "parentbased_";

impl NamedSampler {
    /// The names: those of the specification, and `rate_limited` and `batch_interval`. All but
    /// `batch_interval`, which does so by itself, respect the parent's decision only with `parentbased_`
    /// before them.
    pub const NAMES: [&'static str; 11] = [
        "always_on",
        "always_off",
        "traceidratio",
        "rate_limited",
        "jaeger_remote",
        "parentbased_always_on",
        "parentbased_always_off",
        "parentbased_traceidratio",
        "parentbased_rate_limited",
        "parentbased_jaeger_remote",
        "batch_interval",
    ];

    /// The sampler with this name, which is one of [`NAMES`](Self::NAMES), and its default argument.
    ///
    /// # Errors
    /// No sampler has this name.
    pub fn new(name: &str) -> Result<Self, SamplerNameError> {
        if name == "xray" {
            return Err(SamplerNameError::XRay);
        }
        if !Self::NAMES.contains(&name) {
            return Err(SamplerNameError::Unknown);
        }
        let below_parent = name.strip_prefix(PARENT_BASED);
        let kind = match below_parent.unwrap_or(name) {
            "always_on" => Kind::AlwaysOn,
            "always_off" => Kind::AlwaysOff,
            "traceidratio" => Kind::TraceIdRatio(DEFAULT_RATIO),
            "rate_limited" => Kind::RateLimited(DEFAULT_TRACES_PER_SECOND),
            "batch_interval" => Kind::BatchInterval(DEFAULT_BATCHES),
            "jaeger_remote" => Kind::JaegerRemote(JaegerRemoteSettings::default()),
            _ => return Err(SamplerNameError::Unknown),
        };
        Ok(Self {
            is_parent_based: below_parent.is_some(),
            kind,
        })
    }

    /// The same sampler with another argument: a ratio, a number of traces a second, a number of batches, or
    /// `endpoint=…,pollingIntervalMs=…,initialSamplingRate=…`. Samplers that take none ignore it.
    ///
    /// # Errors
    /// The argument is not one of this sampler.
    pub fn with_argument(self, argument: &str) -> Result<Self, SamplerNameError> {
        let argument = argument.trim();
        let is_not = |what: String| SamplerNameError::Argument(what);
        let kind = match self.kind {
            Kind::AlwaysOn | Kind::AlwaysOff => self.kind,
            Kind::TraceIdRatio(default) => match ratio(argument) {
                Some(ratio) => Kind::TraceIdRatio(ratio),
                None => {
                    return Err(is_not(format!(
                        "a ratio is a number from 0 to 1; {default} is used"
                    )));
                }
            },
            Kind::RateLimited(default) => match argument.parse() {
                Ok(traces) if traces >= 0.0 => Kind::RateLimited(traces),
                _ => {
                    return Err(is_not(format!(
                        "traces a second are a number from 0 on; {default} is used"
                    )));
                }
            },
            Kind::BatchInterval(default) => match argument.parse() {
                Ok(batches) => Kind::BatchInterval(batches),
                Err(_) => {
                    return Err(is_not(format!(
                        "an interval is a number of batches from 1 on; {default} is used"
                    )));
                }
            },
            Kind::JaegerRemote(default) => {
                Kind::JaegerRemote(jaeger_remote(default, argument).map_err(is_not)?)
            }
        };
        Ok(Self { kind, ..self })
    }

    /// The sampler itself, for the service `service_name`.
    pub(crate) fn build(
        &self,
        service_name: &str,
        notice_handler: &NoticeHandler,
    ) -> Box<dyn Sampler> {
        let parent_based = self.is_parent_based;
        match &self.kind {
            Kind::AlwaysOn => boxed(parent_based, AlwaysOn),
            Kind::AlwaysOff => boxed(parent_based, AlwaysOff),
            Kind::TraceIdRatio(ratio) => boxed(parent_based, TraceIdRatio::new(*ratio)),
            Kind::RateLimited(traces) => boxed(parent_based, RateLimited::per_second(*traces)),
            Kind::BatchInterval(batches) => {
                Box::new(BatchInterval::new(*batches, ParentBased::new(AlwaysOn)))
            }
            Kind::JaegerRemote(settings) => {
                let notices = notice_handler.clone();
                let sampler = JaegerRemote::with_notices(service_name, settings.clone(), notices);
                boxed(parent_based, sampler)
            }
        }
    }
}

fn boxed(is_parent_based: bool, sampler: impl Sampler + 'static) -> Box<dyn Sampler> {
    match is_parent_based {
        true => Box::new(ParentBased::new(sampler)),
        false => Box::new(sampler),
    }
}

fn ratio(text: &str) -> Option<f64> {
    let ratio = text.parse().ok()?;
    (0.0..=1.0).contains(&ratio).then_some(ratio)
}

/// `endpoint=…,pollingIntervalMs=…,initialSamplingRate=…` in any order, over the defaults.
fn jaeger_remote(
    mut settings: JaegerRemoteSettings,
    argument: &str,
) -> Result<JaegerRemoteSettings, String> {
    let parts = argument.split(',').map(str::trim);
    for part in parts.filter(|part| !part.is_empty()) {
        match part.split_once('=').unwrap_or((part, "")) {
            ("endpoint", endpoint) if is_http(endpoint) => settings.endpoint = endpoint.to_owned(),
            ("endpoint", _) => {
                return Err(format!("{part:?} is no http:// or https:// address"));
            }
            ("pollingIntervalMs", interval) => match interval.parse() {
                Ok(0) | Err(_) => return Err(format!("{part:?} is no number of milliseconds")),
                Ok(interval) => settings.polling_interval = Duration::from_millis(interval),
            },
            ("initialSamplingRate", rate) => match ratio(rate) {
                Some(rate) => settings.initial_sampling_rate = rate,
                None => return Err(format!("{part:?} is no number from 0 to 1")),
            },
            _ => {
                return Err(format!(
                    "{part:?} is not endpoint=, pollingIntervalMs= or initialSamplingRate="
                ));
            }
        }
    }
    Ok(settings)
}

fn is_http(address: &str) -> bool {
    let uri: Result<http::Uri, _> = address.parse();
    uri.is_ok_and(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https"))
            && uri.host().is_some_and(|h| !h.is_empty())
    })
}

#[cfg(test)]
mod tests {
    use super::super::SamplingParameters;
    use super::super::testing::{parent, root, samples};
    use super::*;

    fn named(name: &str, argument: &str) -> Result<NamedSampler, SamplerNameError> {
        NamedSampler::new(name)?.with_argument(argument)
    }

    fn build(named: &NamedSampler) -> Box<dyn Sampler> {
        named.build("test", &NoticeHandler::new(|_| {}))
    }

    #[test]
    fn s19_every_name_is_known_and_respects_the_parent_only_where_it_says_so() {
        for (name, argument, without_parent, below_sampled, below_dropped) in [
            ("always_on", "", true, true, true),
            ("always_off", "", false, false, false),
            ("traceidratio", "0.75", true, true, true),
            ("traceidratio", "0.25", false, false, false),
            ("rate_limited", "inf", true, true, true),
            ("rate_limited", "0", false, false, false),
            ("parentbased_always_on", "", true, true, false),
            ("parentbased_always_off", "", false, true, false),
            ("parentbased_traceidratio", "0.25", false, true, false),
            ("parentbased_rate_limited", "0", false, true, false),
            ("batch_interval", "7", true, true, false),
        ] {
            let named = NamedSampler::new(name).unwrap();
            let named = match argument {
                "" => named,
                argument => named.with_argument(argument).unwrap(),
            };
            let sampler = build(&named);
            let below = |flags| {
                let parent = parent(flags);
                let parameters = SamplingParameters {
                    parent: Some(&parent),
                    ..root("work")
                };
                samples(&sampler, parameters)
            };
            assert_eq!(samples(&sampler, root("work")), without_parent, "{name}");
            assert_eq!(below(1), below_sampled, "{name}");
            assert_eq!(below(0), below_dropped, "{name}");
        }
        for name in NamedSampler::NAMES {
            assert!(NamedSampler::new(name).is_ok(), "{name}");
        }
    }

    #[test]
    fn a_name_that_is_none_is_refused_and_xray_with_its_reason() {
        for unknown in [
            "sometimes",
            "",
            "ALWAYS_ON",
            "parentbased_",
            "parentbased_batch_interval",
        ] {
            assert_eq!(NamedSampler::new(unknown), Err(SamplerNameError::Unknown));
        }
        let error = NamedSampler::new("xray").unwrap_err();
        assert!(error.to_string().contains("jaeger_remote"), "{error}");
    }

    #[test]
    fn an_argument_that_is_none_is_refused_with_what_is_used_instead() {
        for (name, argument, reason) in [
            ("traceidratio", "half", "1 is used"),
            ("traceidratio", "2", "1 is used"),
            ("traceidratio", "-0.5", "1 is used"),
            ("traceidratio", "NaN", "1 is used"),
            ("rate_limited", "many", "10 is used"),
            ("rate_limited", "-1", "10 is used"),
            ("rate_limited", "NaN", "10 is used"),
            ("batch_interval", "0", "100 is used"),
            ("batch_interval", "2.5", "100 is used"),
            ("jaeger_remote", "http://host", "is not endpoint="),
            (
                "jaeger_remote",
                "endpoint=host:5778",
                "\"endpoint=host:5778\"",
            ),
            ("jaeger_remote", "endpoint=", "address"),
            ("jaeger_remote", "pollingIntervalMs=0", "milliseconds"),
            ("jaeger_remote", "pollingIntervalMs=soon", "milliseconds"),
            ("jaeger_remote", "initialSamplingRate=2", "from 0 to 1"),
            ("jaeger_remote", "initialSamplingRate", "from 0 to 1"),
        ] {
            let error = named(name, argument).unwrap_err().to_string();
            assert!(error.contains(reason), "{name} {argument}: {error}");
        }
        assert!(named("always_on", "whatever").is_ok());
    }

    #[test]
    fn the_argument_of_jaeger_remote_is_a_list_over_the_defaults() {
        let settings = |argument| match named("parentbased_jaeger_remote", argument).unwrap().kind {
            Kind::JaegerRemote(settings) => settings,
            other => panic!("{other:?}"),
        };
        let all =
            settings("pollingIntervalMs=5000, endpoint=http://host:5778,initialSamplingRate=0.25");
        assert_eq!(all.endpoint, "http://host:5778");
        assert_eq!(all.polling_interval, Duration::from_secs(5));
        assert_eq!(all.initial_sampling_rate, 0.25);
        let default = JaegerRemoteSettings::default();
        assert_eq!(settings(" , "), default);
        let one = settings("endpoint=https://host/api/sampling");
        assert_eq!(one.endpoint, "https://host/api/sampling");
        assert_eq!(one.polling_interval, default.polling_interval);
    }
}
