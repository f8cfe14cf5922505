//! Which run a span belongs to.
//!
//! Never its trace: many programs make every batch a trace of its own. The first of these that is
//! there decides, on the span or on its resource:
//!
//! 1. the run's id as the program gave it: `run.id`, `wandb.run_id`, `mlflow.run_id`, or
//!    `experiment` together with `run`; ranks of a distributed job share it,
//! 2. `service.instance.id`,
//! 3. service, host and process id (and `process.creation.time` where known),
//! 4. the service alone; then half an hour of silence begins a new run.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use lumitrace_model::value::find;
use lumitrace_model::{KeyValue, Resource, Span, Value, names};
use lumitrace_store::SpanRecord;

use crate::facts::{resource_text, service_name};

/// Identifies a training run: a 64-bit number, printed as 16 hexadecimal digits.
///
/// It is the FNV-1a hash of what identifies the run (see [the module](self)), so the same run has
/// the same id whenever and wherever it is computed. Where nothing but the service is known, the
/// upper half is a hash of the service's name and the lower half the second in which the run
/// started; such a run is found by any second in which it was active.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
pub struct RunId(pub(crate) u64);

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// A text that is no [`RunId`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a run id: expected 16 hexadecimal digits")]
pub struct ParseRunIdError {
    text: String,
}

impl FromStr for RunId {
    type Err = ParseRunIdError;

    fn from_str(text: &str) -> Result<Self, ParseRunIdError> {
        let is_hex = text.len() == 16 && text.bytes().all(|digit| digit.is_ascii_hexdigit());
        let id = is_hex.then(|| u64::from_str_radix(text, 16).ok()).flatten();
        id.map(RunId).ok_or_else(|| ParseRunIdError {
            text: text.to_owned(),
        })
    }
}

/// How long a service must be silent for its next span to begin a new run, where nothing but the
/// service's name tells runs apart: half an hour.
pub const SILENCE_NANO: u64 = 30 * 60 * 1_000_000_000;

/// What is known of a span's run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum Identity {
    /// The run itself.
    Run(RunId),
    /// Only the service (a hash of its name): silence tells its runs apart.
    Service(u32),
}

/// The run of a process, where its spans do not name one.
pub fn identify_process(resource: &Resource, service: &str) -> Identity {
    if let Some(run_id) = given_run_id(&resource.attributes) {
        return Identity::Run(run_id);
    }
    if let Some(instance) = resource_text(resource, names::SERVICE_INSTANCE_ID) {
        return Identity::Run(RunId(stable_hash(&["instance", instance])));
    }
    let text = |key| {
        find(&resource.attributes, key)
            .and_then(value_text)
            .unwrap_or_default()
    };
    let pid = text(names::PROCESS_PID);
    if !pid.is_empty() {
        let (host, started) = (text(names::HOST_NAME), text("process.creation.time"));
        let parts = ["process", service, &host, &pid, &started];
        return Identity::Run(RunId(stable_hash(&parts)));
    }
    let hash = stable_hash(&["service", service]);
    Identity::Service((hash >> 32) as u32 ^ hash as u32)
}

/// Identifies processes, and remembers the last one: spans of one come side by side.
#[derive(Default)]
pub(super) struct Processes {
    last: Option<(Arc<Resource>, Identity)>,
}

impl Processes {
    /// Whose run a span is if neither it nor its trace names one.
    pub(super) fn identify(&mut self, record: &SpanRecord) -> Identity {
        if let Some((resource, identity)) = &self.last
            && Arc::ptr_eq(resource, &record.resource)
        {
            return *identity;
        }
        let service = service_name(&record.resource, &record.span);
        let identity = identify_process(&record.resource, service);
        // Where the resource does not tell the service, each span may tell another one.
        if !record.service_name().starts_with(names::UNKNOWN_SERVICE) {
            self.last = Some((Arc::clone(&record.resource), identity));
        }
        identity
    }
}

/// Whether attributes of this key may name a run; see [`given_run`].
pub fn names_run(key: &str) -> bool {
    matches!(
        key,
        "run.id" | "wandb.run_id" | "mlflow.run_id" | "experiment" | "run"
    )
}

/// The run that the program itself named in these attributes.
pub fn given_run_id(attributes: &[KeyValue]) -> Option<RunId> {
    given_run(attributes).map(|given| RunId(stable_hash(&["run", &given])))
}

/// The text by which the program itself named its run: an id, or `experiment/run`.
pub fn given_run(attributes: &[KeyValue]) -> Option<String> {
    let (mut id, mut experiment, mut run) = (None, None, None);
    for attribute in attributes {
        match attribute.key.as_ref() {
            "run.id" => id = Some((0, &attribute.value)),
            "wandb.run_id" if id.is_none_or(|(rank, _)| rank > 1) => {
                id = Some((1, &attribute.value))
            }
            "mlflow.run_id" if id.is_none() => id = Some((2, &attribute.value)),
            "experiment" => experiment = Some(&attribute.value),
            "run" => run = Some(&attribute.value),
            _ => {}
        }
    }
    if let Some(given) = id.and_then(|(_, value)| value_text(value)) {
        return Some(given);
    }
    Some(format!(
        "{}/{}",
        value_text(experiment?)?,
        value_text(run?)?
    ))
}

/// The id of a run of which only the service is known, and which started at this time.
pub fn silence_run_id(service_hash: u32, start_unix_nano: u64) -> RunId {
    let seconds = u32::try_from(start_unix_nano / 1_000_000_000).unwrap_or(u32::MAX);
    RunId(u64::from(service_hash) << 32 | u64::from(seconds))
}

/// The service and the time that [`silence_run_id`] put into an id.
pub fn split_silence_run_id(run_id: RunId) -> (u32, u64) {
    (
        (run_id.0 >> 32) as u32,
        (run_id.0 & u64::from(u32::MAX)) * 1_000_000_000,
    )
}

/// A number for the process within its run: ranks differ by host, process or rank.
pub fn process_hash(resource: &Resource, span: &Span) -> u64 {
    let text = |value: Option<&Value>| value.and_then(value_text).unwrap_or_default();
    let resource_value = |key: &str| text(find(&resource.attributes, key));
    let rank = ["rank", "global_rank", "process.rank"]
        .into_iter()
        .find_map(|key| {
            span.attribute(key)
                .or_else(|| find(&resource.attributes, key))
        });
    let (host, pid) = (
        resource_value(names::HOST_NAME),
        resource_value(names::PROCESS_PID),
    );
    let instance = resource_value(names::SERVICE_INSTANCE_ID);
    stable_hash(&[&host, &pid, &instance, &text(rank)])
}

/// FNV-1a over the parts, each ended by a byte that no UTF-8 text contains.
pub(super) fn stable_hash(parts: &[&str]) -> u64 {
    let bytes = parts.iter().flat_map(|part| part.bytes().chain([0xff]));
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

fn value_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.is_empty() => Some(text.to_string()),
        Value::Int(int) => Some(int.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resource(attributes: &[(&'static str, &'static str)]) -> Resource {
        let attributes = attributes
            .iter()
            .map(|&(key, value)| KeyValue::new(key, value))
            .collect();
        Resource {
            attributes,
            ..Resource::default()
        }
    }

    #[test]
    fn ids_survive_printing_and_parsing_and_nothing_else_parses() {
        let id = RunId(0x00ab_cdef_0123_4567);
        assert_eq!(id.to_string(), "00abcdef01234567");
        assert_eq!(id.to_string().parse(), Ok(id));
        for text in [
            "",
            "123",
            "+0abcdef01234567",
            "00abcdef0123456g",
            "00abcdef012345678",
        ] {
            assert!(text.parse::<RunId>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_id_of_a_run_never_changes_between_releases() {
        let run = identify_process(&resource(&[("run.id", "alpha")]), "trainer");
        assert_eq!(run, Identity::Run(RunId(stable_hash(&["run", "alpha"]))));
        let Identity::Run(run_id) = run else {
            panic!("a given id identifies")
        };
        assert_eq!(run_id.to_string(), "85241dda37d357aa");
    }

    #[test]
    fn what_the_program_says_wins_over_what_the_process_is() {
        let process = [("host.name", "h"), ("process.pid", "7")];
        let by = |extra: &[(&'static str, &'static str)]| {
            identify_process(&resource(&[extra, &process[..]].concat()), "trainer")
        };
        let instance = ("service.instance.id", "i");
        assert_eq!(by(&[("run.id", "a"), instance]), by(&[("run.id", "a")]));
        assert_ne!(by(&[("run.id", "a")]), by(&[("run.id", "b")]));
        assert_ne!(by(&[instance]), by(&[]));
        assert_ne!(by(&[]), identify_process(&resource(&process), "other"));
        assert!(matches!(
            identify_process(&resource(&[]), "trainer"),
            Identity::Service(_)
        ));
        let pair = [("experiment", "e"), ("run", "1")];
        assert_eq!(by(&pair), by(&[pair[0], pair[1], instance]));
    }

    #[test]
    fn the_id_of_a_run_told_by_silence_gives_its_service_and_second_back() {
        let id = silence_run_id(0xdead_beef, 1_700_000_000_900_000_000);
        assert_eq!(
            split_silence_run_id(id),
            (0xdead_beef, 1_700_000_000_000_000_000)
        );
    }
}
