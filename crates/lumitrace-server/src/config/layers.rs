//! Puts the layers on top of each other: defaults < file < environment < flags.

use super::{Config, Setting, settings};
use serde_json::Value;
use std::fmt;

/// What the name of every environment variable of ours begins with.
pub(super) const ENV_PREFIX: &str = "LUMITRACE_";
/// Names the configuration file; no setting, as the file cannot name itself.
const ENV_FILE: &str = "LUMITRACE_CONFIG";
/// What traced programs read; a shell may have it set where the server is started.
const OF_PROGRAMS: [&str; 7] = [
    "LUMITRACE_AUTO",
    "LUMITRACE_AUTO_DISABLED",
    "LUMITRACE_FILE",
    "LUMITRACE_FILE_MAX_BYTES",
    "LUMITRACE_FILE_MAX_FILES",
    "LUMITRACE_JOB_ID",
    "LUMITRACE_TORCH_MODULES",
];
/// The configuration file that is read without being named.
pub const FILE_NAME: &str = "lumitrace.yaml";

/// Why the settings cannot be used. The message names the setting and where it was written.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ConfigError {
    /// A name that is no setting.
    #[error("{origin}: there is no setting {name:?}{}; `lumitrace config show` lists them all",
        nearest.as_ref().map(|nearest| format!("; did you mean {nearest:?}?")).unwrap_or_default())]
    Unknown {
        /// Where it was written.
        origin: Origin,
        /// What was written.
        name: String,
        /// The setting with the most similar name, if any is similar.
        nearest: Option<String>,
    },
    /// A value that the setting cannot have.
    #[error("{origin}: {name} cannot be {value}: {reason}")]
    Invalid {
        /// Where it was written.
        origin: Origin,
        /// The setting's name there.
        name: String,
        /// The value as it was written.
        value: String,
        /// What it should be.
        reason: String,
    },
    /// The file is no YAML mapping.
    #[error("{origin}: {reason}")]
    File {
        /// Which file.
        origin: Origin,
        /// What is wrong with it.
        reason: String,
    },
}

/// Where a value was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A file, by its name.
    File(String),
    /// The environment.
    Environment,
    /// The command line.
    Flags,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::File(name) => write!(f, "configuration file {name}"),
            Origin::Environment => f.write_str("environment"),
            Origin::Flags => f.write_str("command line"),
        }
    }
}

/// Settings in the making: begin with the defaults, then lay file, environment and flags on top.
#[derive(Debug)]
pub struct Layers {
    known: Vec<Setting>,
    tree: Value,
    config: Config,
}

impl Default for Layers {
    fn default() -> Self {
        let config = Config::default();
        let tree = serde_json::to_value(&config).unwrap_or_default();
        Self {
            known: settings(),
            tree,
            config,
        }
    }
}

impl Layers {
    /// What the layers so far come to.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Lays the YAML `text` of the file `name` on top.
    ///
    /// # Errors
    /// Text that is no YAML mapping, unknown keys, and values that a setting cannot have.
    pub fn file(&mut self, name: &str, text: &str) -> Result<(), ConfigError> {
        let origin = Origin::File(name.to_owned());
        // A file of comments alone changes nothing.
        if text
            .lines()
            .all(|line| line.trim().is_empty() || line.trim().starts_with('#'))
        {
            return Ok(());
        }
        let value: Value = serde_saphyr::from_str(text).map_err(|error| ConfigError::File {
            origin: origin.clone(),
            reason: format!("not YAML: {error}"),
        })?;
        if !value.is_object() {
            let reason = "expected `key: value` lines".to_owned();
            return Err(ConfigError::File { origin, reason });
        }
        self.subtree(&origin, "", value)
    }

    /// Lays the environment's variables on top. Those without our prefix are not looked at.
    ///
    /// # Errors
    /// Unknown names with our prefix, and values that a setting cannot have.
    pub fn environment(
        &mut self,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<(), ConfigError> {
        for (name, text) in variables {
            let is_setting = name.starts_with(ENV_PREFIX) && name != ENV_FILE;
            if !is_setting || OF_PROGRAMS.contains(&&*name) {
                continue;
            }
            let Some(setting) = self.known.iter().find(|setting| setting.env() == name) else {
                let names = self.known.iter().map(Setting::env);
                return Err(unknown(Origin::Environment, name, names));
            };
            let (key, value) = (setting.key.clone(), scalar(&setting.default, &text));
            self.set(&Origin::Environment, &name, &key, value)?;
        }
        Ok(())
    }

    /// Lays flags on top: pairs of a setting's key and the text given.
    ///
    /// # Errors
    /// Values that a setting cannot have.
    pub fn flags(
        &mut self,
        flags: impl IntoIterator<Item = (String, String)>,
    ) -> Result<(), ConfigError> {
        for (key, text) in flags {
            let Some(setting) = self.known.iter().find(|setting| setting.key == key) else {
                let names = self.known.iter().map(|setting| setting.key.clone());
                return Err(unknown(Origin::Flags, key, names));
            };
            let (name, value) = (
                format!("--{}", setting.flag()),
                scalar(&setting.default, &text),
            );
            self.set(&Origin::Flags, &name, &key, value)?;
        }
        Ok(())
    }

    fn subtree(&mut self, origin: &Origin, prefix: &str, value: Value) -> Result<(), ConfigError> {
        let Value::Object(entries) = value else {
            return Ok(());
        };
        for (name, value) in entries {
            let key = if prefix.is_empty() {
                name
            } else {
                format!("{prefix}.{name}")
            };
            let section = self
                .known
                .iter()
                .any(|known| known.key.starts_with(&format!("{key}.")));
            if self.known.iter().any(|known| known.key == key) {
                self.set(origin, &key, &key, value)?;
            } else if section && (value.is_object() || value.is_null()) {
                self.subtree(origin, &key, value)?;
            } else if section {
                let reason = "it holds further settings, one a line below it".to_owned();
                let value = value.to_string();
                return Err(ConfigError::Invalid {
                    origin: origin.clone(),
                    name: key,
                    value,
                    reason,
                });
            } else {
                let names = self.known.iter().map(|setting| setting.key.clone());
                return Err(unknown(origin.clone(), key, names));
            }
        }
        Ok(())
    }

    /// Sets one value and reads the whole again, so that an error is known to be this value's.
    fn set(
        &mut self,
        origin: &Origin,
        name: &str,
        key: &str,
        value: Value,
    ) -> Result<(), ConfigError> {
        let written = value.to_string();
        if let Some(place) = self
            .tree
            .pointer_mut(&format!("/{}", key.replace('.', "/")))
        {
            *place = value;
        }
        self.config =
            Config::deserialize_tree(&self.tree).map_err(|error| ConfigError::Invalid {
                origin: origin.clone(),
                name: name.to_owned(),
                value: written,
                reason: error.to_string(),
            })?;
        Ok(())
    }
}

impl Config {
    fn deserialize_tree(tree: &Value) -> Result<Self, serde_json::Error> {
        serde::Deserialize::deserialize(tree)
    }
}

/// Environment and command line know only text: it becomes a number where the setting is one.
fn scalar(default: &Value, text: &str) -> Value {
    match default {
        Value::String(_) => Value::String(text.to_owned()),
        _ => serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned())),
    }
}

fn unknown(origin: Origin, name: String, known: impl Iterator<Item = String>) -> ConfigError {
    let similar = |known: String| (strsim::jaro_winkler(&name, &known), known);
    let nearest = known.map(similar).max_by(|a, b| a.0.total_cmp(&b.0));
    let nearest = nearest
        .filter(|(similarity, _)| *similarity > 0.7)
        .map(|(_, known)| known);
    ConfigError::Unknown {
        origin,
        name,
        nearest,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Address, DurabilityMode, Size};

    fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
        list.iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn a_later_layer_wins_and_the_rest_keeps_its_default() {
        let mut layers = Layers::default();
        let yaml = "listen:\n  otlp_grpc: 127.0.0.1:1\n  otlp_http: 127.0.0.1:1\n  ui: '[::1]:1'\n";
        layers.file("f.yaml", yaml).unwrap();
        layers
            .environment(pairs(&[
                ("LUMITRACE_LISTEN_OTLP_GRPC", "127.0.0.1:2"),
                ("LUMITRACE_LISTEN_OTLP_HTTP", "127.0.0.1:2"),
                ("LUMITRACE_CONFIG", "f.yaml"),
                ("HOME", "/"),
            ]))
            .unwrap();
        layers
            .flags(pairs(&[("listen.otlp_grpc", "localhost:3")]))
            .unwrap();
        let config = layers.config();
        assert_eq!(
            config.listen.otlp_grpc,
            Address {
                host: "localhost".into(),
                port: 3
            }
        );
        assert_eq!(config.listen.otlp_http.port, 2);
        assert_eq!(config.listen.ui.to_string(), "[::1]:1");
        assert_eq!(config.limits, Config::default().limits);
    }

    #[test]
    fn what_programs_read_is_no_setting_of_the_server() {
        let mut layers = Layers::default();
        let variables = [("LUMITRACE_AUTO", "torch"), ("LUMITRACE_JOB_ID", "sweep-7")];
        layers.environment(pairs(&variables)).unwrap();
        assert_eq!(layers.config(), &Config::default());
        assert!(
            layers
                .environment(pairs(&[("LUMITRACE_AUTOMATIC", "1")]))
                .is_err()
        );
    }

    #[test]
    fn values_keep_their_types_in_every_layer() {
        let mut layers = Layers::default();
        let yaml = "limits: {max_request_bytes: 1048576, max_value_depth: 8}\nstore:\n";
        layers.file("f.yaml", yaml).unwrap();
        layers
            .environment(pairs(&[("LUMITRACE_LIMITS_MAX_IN_FLIGHT_BYTES", "1GiB")]))
            .unwrap();
        layers
            .flags(pairs(&[
                ("limits.max_value_depth", "9"),
                ("store.durability", "none"),
            ]))
            .unwrap();
        let config = layers.config();
        assert_eq!(config.limits.max_request_bytes, Size(1 << 20));
        assert_eq!(config.limits.max_in_flight_bytes, Size(1 << 30));
        assert_eq!(config.limits.max_value_depth, 9);
        assert_eq!(config.store.durability, DurabilityMode::None);
    }

    #[test]
    fn an_unknown_key_is_named_with_the_nearest_known_one() {
        let error = Layers::default()
            .file("f.yaml", "listen:\n  otlp_grcp: x")
            .unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("f.yaml") && text.contains("listen.otlp_grcp"),
            "{text}"
        );
        assert!(
            text.contains("did you mean \"listen.otlp_grpc\"?"),
            "{text}"
        );

        let variables = pairs(&[("LUMITRACE_DATADIR", "x")]);
        let text = Layers::default()
            .environment(variables)
            .unwrap_err()
            .to_string();
        assert!(
            text.contains("LUMITRACE_DATADIR") && text.contains("LUMITRACE_DATA_DIR"),
            "{text}"
        );
    }

    #[test]
    fn a_wrong_value_is_named_with_its_setting_and_what_it_should_be() {
        for (yaml, part) in [
            (
                "limits: {max_request_bytes: 1 parsec}",
                "limits.max_request_bytes",
            ),
            ("store: {durability: maybe}", "fsync"),
            ("listen: 4317", "holds further settings"),
            ("limits: {max_value_depth: deep}", "limits.max_value_depth"),
            ("- a\n- b", "key: value"),
        ] {
            let text = Layers::default()
                .file("f.yaml", yaml)
                .unwrap_err()
                .to_string();
            assert!(text.contains(part), "{yaml}: {text}");
        }
    }

    #[test]
    fn the_printed_settings_read_back_the_same() {
        let mut layers = Layers::default();
        layers
            .flags(pairs(&[
                ("ui.frame_ancestors", "'self'"),
                ("log.level", "info,a=debug"),
            ]))
            .unwrap();
        let yaml = layers.config().to_yaml().unwrap();
        let mut again = Layers::default();
        again.file("printed.yaml", &yaml).unwrap();
        assert_eq!(again.config(), layers.config(), "{yaml}");
    }

    #[test]
    fn a_file_of_comments_changes_nothing() {
        let mut layers = Layers::default();
        layers.file("f.yaml", "# nothing yet\n\n").unwrap();
        assert_eq!(layers.config(), &Config::default());
    }
}
