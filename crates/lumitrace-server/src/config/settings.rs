//! The list of settings, read off [`Config`]'s own schema so that it cannot differ from it.

use super::Config;
use schemars::generate::SchemaSettings;
use serde_json::Value;

/// One setting and all its names.
#[derive(Debug, Clone, PartialEq)]
pub struct Setting {
    /// Its key in the file, such as `listen.otlp_grpc`.
    pub key: String,
    /// What it does: the doc comment of its field.
    pub help: String,
    /// Its default.
    pub default: Value,
}

impl Setting {
    /// Its name in the environment, such as `LUMITRACE_LISTEN_OTLP_GRPC`.
    pub fn env(&self) -> String {
        format!(
            "{}{}",
            super::layers::ENV_PREFIX,
            self.key.replace('.', "_").to_uppercase()
        )
    }

    /// Its name as a flag, without the dashes in front, such as `listen-otlp-grpc`.
    pub fn flag(&self) -> String {
        self.key.replace(['.', '_'], "-")
    }

    /// Its default as one would write it.
    pub fn default_text(&self) -> String {
        match &self.default {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        }
    }
}

/// Every setting, by key.
pub fn settings() -> Vec<Setting> {
    let schema = SchemaSettings::default()
        .with(|settings| settings.inline_subschemas = true)
        .into_generator()
        .into_root_schema_for::<Config>();
    let defaults = serde_json::to_value(Config::default()).unwrap_or_default();
    let mut found = Vec::new();
    collect("", schema.as_value(), &defaults, &mut found);
    found
}

fn collect(key: &str, schema: &Value, default: &Value, found: &mut Vec<Setting>) {
    if let Value::Object(defaults) = default {
        for (name, default) in defaults {
            let key = if key.is_empty() {
                name.clone()
            } else {
                format!("{key}.{name}")
            };
            collect(&key, &schema["properties"][name], default, found);
        }
        return;
    }
    let help = schema["description"].as_str().unwrap_or_default();
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    found.push(Setting {
        key: key.to_owned(),
        help,
        default: default.clone(),
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_setting_says_what_it_does_and_has_names_of_its_own() {
        let settings = settings();
        assert!(
            settings
                .iter()
                .any(|setting| setting.key == "listen.otlp_grpc")
        );
        for setting in &settings {
            assert!(!setting.help.is_empty(), "{} has no help", setting.key);
            assert!(!setting.default.is_null(), "{} has no default", setting.key);
        }
        let names: HashSet<_> = settings.iter().flat_map(|s| [s.env(), s.flag()]).collect();
        assert_eq!(names.len(), settings.len() * 2);
    }
}
