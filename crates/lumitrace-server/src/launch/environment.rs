//! The environment in which a program is traced as it is.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const TRACES_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
const SERVICE_NAME: &str = "OTEL_SERVICE_NAME";
const DEFAULT_ENDPOINT: &str = "http://localhost:4318";

/// A program that is about to be started.
pub(super) struct Program {
    /// Where its traces go, if that was said.
    pub(super) endpoint: Option<String>,
    /// The name of the service, if that was said.
    pub(super) service_name: Option<String>,
    /// The integrations that are wanted, if that was said.
    pub(super) integrations: Option<String>,
    /// The folder with our `sitecustomize`.
    pub(super) bootstrap: PathBuf,
    /// The program and its arguments; never empty.
    pub(super) command: Vec<OsString>,
}

/// The variables that the program gets beside those that it inherits.
pub(super) struct Variables(pub(super) BTreeMap<&'static str, OsString>);

impl Program {
    /// The variables for it. What was said in arguments stands above what `inherited` has, and that above
    /// the defaults.
    pub(super) fn variables(&self, inherited: impl Fn(&str) -> Option<OsString>) -> Variables {
        let set = |name: &str| inherited(name).filter(|value| !value.is_empty());
        let mut variables = BTreeMap::new();
        variables.insert("PYTHONPATH", with_first(&self.bootstrap, set("PYTHONPATH")));
        match (&self.endpoint, set(TRACES_ENDPOINT), set(ENDPOINT)) {
            (Some(given), traces, _) => {
                variables.insert(ENDPOINT, given.into());
                // It would stand above the argument; empty is as good as not set.
                if traces.is_some() {
                    variables.insert(TRACES_ENDPOINT, OsString::new());
                }
            }
            (None, Some(traces), _) => {
                variables.insert(TRACES_ENDPOINT, traces);
            }
            (None, None, endpoint) => {
                let endpoint = endpoint.unwrap_or_else(|| DEFAULT_ENDPOINT.into());
                variables.insert(ENDPOINT, endpoint);
            }
        }
        let is_named = set("OTEL_RESOURCE_ATTRIBUTES")
            .is_some_and(|listed| listed.to_string_lossy().contains("service.name="));
        let name = match (&self.service_name, set(SERVICE_NAME)) {
            (Some(given), _) => Some(given.into()),
            (None, Some(named)) => Some(named),
            (None, None) if is_named => None,
            (None, None) => Some(service_name(&self.command).into()),
        };
        variables.extend(name.map(|name| (SERVICE_NAME, name)));
        let integrations = self.integrations.as_ref();
        variables.extend(integrations.map(|names| ("LUMITRACE_AUTO", names.into())));
        Variables(variables)
    }
}

impl Variables {
    /// Where traces go.
    pub(super) fn endpoint(&self) -> String {
        let named = [TRACES_ENDPOINT, ENDPOINT]
            .iter()
            .filter_map(|name| self.0.get(name))
            .find(|value| !value.is_empty());
        named.map_or_else(String::new, |value| value.to_string_lossy().into_owned())
    }

    /// What the service is called, or what to say where its attributes name it.
    pub(super) fn service_name(&self) -> String {
        let name = self.0.get(SERVICE_NAME);
        name.map_or_else(
            || "the program".to_owned(),
            |name| name.to_string_lossy().into_owned(),
        )
    }
}

/// `folder` in front of the folders of a search path.
fn with_first(folder: &Path, path: Option<OsString>) -> OsString {
    let mut joined = folder.as_os_str().to_owned();
    let rest = path.iter().flat_map(std::env::split_paths);
    for further in rest.filter(|entry| entry != folder) {
        joined.push(":");
        joined.push(further);
    }
    joined
}

/// What a command is called: by its Python script without the ending, by the module that is run, or by the
/// program.
fn service_name(command: &[OsString]) -> String {
    let stem = |path: &OsStr| {
        let stem = Path::new(path).file_stem();
        stem.map(|stem| stem.to_string_lossy().into_owned())
    };
    let is_script = |argument: &&OsString| Path::new(argument).extension() == Some("py".as_ref());
    let module = || {
        let at = command.iter().position(|argument| argument == "-m")?;
        let name = command.get(at + 1)?;
        Some(name.to_string_lossy().into_owned())
    };
    command
        .iter()
        .find(is_script)
        .and_then(|script| stem(script))
        .or_else(module)
        .or_else(|| stem(command.first()?))
        .unwrap_or_else(|| "program".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program(command: &[&str]) -> Program {
        Program {
            endpoint: None,
            service_name: None,
            integrations: None,
            bootstrap: PathBuf::from("/bootstrap"),
            command: command.iter().map(OsString::from).collect(),
        }
    }

    fn variables(program: &Program, inherited: &[(&str, &str)]) -> BTreeMap<String, String> {
        let lookup = |name: &str| {
            let found = inherited.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| OsString::from(value))
        };
        let variables = program.variables(lookup).0;
        let text = |value: OsString| value.into_string().unwrap();
        variables
            .into_iter()
            .map(|(name, value)| (name.to_owned(), text(value)))
            .collect()
    }

    #[test]
    fn a_program_without_settings_gets_the_defaults() {
        let variables = variables(&program(&["python", "train.py", "--epochs", "3"]), &[]);
        let expected = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4318"),
            ("OTEL_SERVICE_NAME", "train"),
            ("PYTHONPATH", "/bootstrap"),
        ];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(variables, BTreeMap::from(expected));
    }

    #[test]
    fn what_the_shell_says_stays_and_arguments_stand_above_it() {
        let shell = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://shell:1"),
            (
                "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
                "http://shell:2/v1/traces",
            ),
            ("OTEL_SERVICE_NAME", "shell"),
            ("PYTHONPATH", "/one:/bootstrap:/two"),
        ];
        let mut program = program(&["python", "train.py"]);
        let inherited = variables(&program, &shell);
        assert_eq!(inherited["OTEL_SERVICE_NAME"], "shell");
        assert_eq!(inherited["PYTHONPATH"], "/bootstrap:/one:/two");
        assert_eq!(
            inherited["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"],
            "http://shell:2/v1/traces"
        );
        program.endpoint = Some("http://argument:3".to_owned());
        program.service_name = Some("argument".to_owned());
        program.integrations = Some("torch".to_owned());
        let given = variables(&program, &shell);
        assert_eq!(given["OTEL_EXPORTER_OTLP_ENDPOINT"], "http://argument:3");
        assert_eq!(given["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"], "");
        assert_eq!(given["OTEL_SERVICE_NAME"], "argument");
        assert_eq!(given["LUMITRACE_AUTO"], "torch");
    }

    #[test]
    fn a_name_among_the_resource_attributes_is_a_name() {
        let shell = [("OTEL_RESOURCE_ATTRIBUTES", "team=fx,service.name=trainer")];
        let variables = variables(&program(&["python", "train.py"]), &shell);
        assert!(!variables.contains_key("OTEL_SERVICE_NAME"));
    }

    #[test]
    fn t5_the_service_is_named_after_what_is_run() {
        for (command, name) in [
            (
                &["python", "-u", "a/run_training.py", "x.py"][..],
                "run_training",
            ),
            (&["python3", "-m", "fx.train"], "fx.train"),
            (&["torchrun", "--nproc-per-node", "2", "train.py"], "train"),
            (&["uv", "run", "train.py"], "train"),
            (&["./target/release/fx-trainer"], "fx-trainer"),
            (&["python"], "python"),
            (&["/"], "program"),
        ] {
            let command: Vec<OsString> = command.iter().map(OsString::from).collect();
            assert_eq!(service_name(&command), name, "{command:?}");
        }
    }
}
