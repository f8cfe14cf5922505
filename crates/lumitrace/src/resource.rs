//! What all spans of a process have in common.

use lumitrace_model::{KeyValue, Resource, Text, Value, names, value};

use crate::distributed::Job;

/// What the program itself says about the process, stronger than the environment.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct ResourceArguments {
    pub(crate) service_name: Option<String>,
    pub(crate) environment: Option<String>,
    pub(crate) attributes: Vec<KeyValue>,
}

/// What the environment says about the process.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct ResourceEnvironment {
    /// `OTEL_SERVICE_NAME`.
    pub(crate) service_name: Option<String>,
    /// `OTEL_RESOURCE_ATTRIBUTES`.
    pub(crate) attributes: Vec<KeyValue>,
}

/// What is known of the process without being told.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ProcessFacts {
    /// The executable's name without extension.
    pub(crate) program: Option<String>,
    pub(crate) host_name: String,
    pub(crate) process_id: u32,
    pub(crate) instance_id: String,
    pub(crate) job: Option<Job>,
}

/// Where nothing names the deployment environment.
const DEFAULT_ENVIRONMENT: &str = "development";
/// Where nothing names the version of the service: the SDK cannot know it, and a made-up number
/// would be taken for one.
const UNKNOWN_VERSION: &str = "unknown";

impl ProcessFacts {
    pub(crate) fn detect() -> Self {
        let executable = std::env::current_exe().ok();
        let program = executable.as_deref().and_then(|path| path.file_stem());
        Self {
            program: program.map(|name| name.to_string_lossy().into_owned()),
            host_name: gethostname::gethostname().to_string_lossy().into_owned(),
            process_id: std::process::id(),
            instance_id: uuid::Uuid::new_v4().to_string(),
            job: Job::detect(),
        }
    }
}

/// The resource of the process: arguments win over the environment, and that over defaults.
///
/// A service always has a name, the program's if nobody gave one, and a version, `unknown` if
/// nobody gave one. The deployment environment is
/// there under its present and its older name, since tools read one or the other. A process of a
/// distributed job says which one it is ([`Job::attributes`]).
pub(crate) fn resolve(
    arguments: ResourceArguments,
    environment: ResourceEnvironment,
    facts: ProcessFacts,
) -> Resource {
    let mut resource = Attributes(Vec::new());
    for attribute in environment.attributes {
        resource.set(attribute.key, attribute.value);
    }
    if let Some(name) = environment.service_name {
        resource.set(names::SERVICE_NAME, name);
    }
    for attribute in arguments.attributes {
        resource.set(attribute.key, attribute.value);
    }
    if let Some(name) = arguments.service_name {
        resource.set(names::SERVICE_NAME, name);
    }
    if let Some(environment) = arguments.environment {
        resource.set(names::DEPLOYMENT_ENVIRONMENT_NAME, environment.clone());
        resource.set(names::DEPLOYMENT_ENVIRONMENT, environment);
    }
    if resource.text(names::SERVICE_NAME).is_none_or(str::is_empty) {
        let program = facts.program.filter(|name| !name.is_empty());
        resource.set(
            names::SERVICE_NAME,
            program.unwrap_or_else(|| "program".to_owned()),
        );
    }
    let known = [
        names::DEPLOYMENT_ENVIRONMENT_NAME,
        names::DEPLOYMENT_ENVIRONMENT,
    ];
    let known = known.into_iter().find_map(|name| resource.text(name));
    let deployment = known.unwrap_or(DEFAULT_ENVIRONMENT).to_owned();
    resource.default(names::DEPLOYMENT_ENVIRONMENT_NAME, deployment.clone());
    resource.default(names::DEPLOYMENT_ENVIRONMENT, deployment);
    resource.default(names::SERVICE_VERSION, UNKNOWN_VERSION);
    resource.default(names::SERVICE_INSTANCE_ID, facts.instance_id);
    resource.default(names::HOST_NAME, facts.host_name);
    resource.default(names::PROCESS_PID, facts.process_id);
    for attribute in facts.job.iter().flat_map(Job::attributes) {
        resource.default(attribute.key, attribute.value);
    }
    resource.default("telemetry.sdk.name", "lumitrace");
    resource.default("telemetry.sdk.language", "rust");
    resource.default("telemetry.sdk.version", env!("CARGO_PKG_VERSION"));
    Resource {
        attributes: resource.0,
        dropped_attributes_count: 0,
    }
}

/// Attributes with each key once.
struct Attributes(Vec<KeyValue>);

impl Attributes {
    fn set(&mut self, key: impl Into<Text>, value: impl Into<Value>) {
        let KeyValue { key, value } = KeyValue::new(key, value);
        match self.0.iter_mut().find(|known| known.key == key) {
            Some(known) => known.value = value,
            None => self.0.push(KeyValue { key, value }),
        }
    }

    fn default(&mut self, key: impl Into<Text>, value: impl Into<Value>) {
        let key = key.into();
        if value::find(&self.0, &key).is_none() {
            self.set(key, value);
        }
    }

    fn text(&self, key: &str) -> Option<&str> {
        value::find(&self.0, key).and_then(Value::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::distributed::Launcher;

    fn resolved(arguments: ResourceArguments, environment: ResourceEnvironment) -> Resource {
        let facts = ProcessFacts {
            program: Some("train".to_owned()),
            host_name: "host".to_owned(),
            process_id: 7,
            instance_id: "instance".to_owned(),
            job: Some(Job {
                launcher: Launcher::Torchrun,
                rank: 3,
                world_size: 4,
                local_rank: None,
                local_world_size: None,
                node_rank: None,
                trace_id: None,
            }),
        };
        resolve(arguments, environment, facts)
    }

    fn text(resource: &Resource, key: &str) -> String {
        value::find(&resource.attributes, key)
            .unwrap()
            .as_str()
            .unwrap()
            .to_owned()
    }

    #[test]
    fn t5_s2_a_service_always_has_a_name_a_version_and_an_environment() {
        let resource = resolved(ResourceArguments::default(), ResourceEnvironment::default());
        assert_eq!(resource.service_name(), "train");
        assert_eq!(text(&resource, names::SERVICE_VERSION), "unknown");
        assert_eq!(
            text(&resource, names::DEPLOYMENT_ENVIRONMENT_NAME),
            "development"
        );
        assert_eq!(
            text(&resource, names::DEPLOYMENT_ENVIRONMENT),
            "development"
        );
        assert_eq!(text(&resource, names::HOST_NAME), "host");
        assert_eq!(
            value::find(&resource.attributes, names::PROCESS_PID),
            Some(&Value::Int(7))
        );
        assert_eq!(text(&resource, names::SERVICE_INSTANCE_ID), "instance");
    }

    #[test]
    fn a_process_of_a_job_says_which_one_unless_the_program_knows_better() {
        let resource = resolved(ResourceArguments::default(), ResourceEnvironment::default());
        let rank = |resource: &Resource| value::find(&resource.attributes, "rank").cloned();
        assert_eq!(rank(&resource), Some(Value::Int(3)));
        let arguments = ResourceArguments {
            attributes: vec![KeyValue::new("rank", 7)],
            ..ResourceArguments::default()
        };
        let resource = resolved(arguments, ResourceEnvironment::default());
        assert_eq!(rank(&resource), Some(Value::Int(7)));
    }

    #[test]
    fn arguments_win_over_the_environment_and_that_over_defaults() {
        let environment = ResourceEnvironment {
            service_name: Some("by-variable".to_owned()),
            attributes: vec![
                KeyValue::new("service.name", "by-attribute"),
                KeyValue::new("deployment.environment.name", "staging"),
                KeyValue::new("host.name", "named-host"),
            ],
        };
        let resource = resolved(ResourceArguments::default(), environment.clone());
        assert_eq!(resource.service_name(), "by-variable");
        assert_eq!(text(&resource, names::DEPLOYMENT_ENVIRONMENT), "staging");
        assert_eq!(text(&resource, names::HOST_NAME), "named-host");
        let arguments = ResourceArguments {
            service_name: Some("by-argument".to_owned()),
            environment: Some("production".to_owned()),
            attributes: vec![KeyValue::new("run.id", "7")],
        };
        let resource = resolved(arguments, environment);
        assert_eq!(resource.service_name(), "by-argument");
        assert_eq!(
            text(&resource, names::DEPLOYMENT_ENVIRONMENT_NAME),
            "production"
        );
        assert_eq!(text(&resource, "run.id"), "7");
    }
}
