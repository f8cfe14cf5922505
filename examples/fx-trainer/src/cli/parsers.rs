//! Reads the values of flags.

use clap::ValueEnum;

use crate::features::FeatureGroup;

/// `all`, or one group.
#[derive(Debug, Clone, Copy)]
pub(super) struct GroupChoice(Option<FeatureGroup>);

impl GroupChoice {
    /// Whether the group is meant.
    pub(super) fn includes(self, group: FeatureGroup) -> bool {
        self.0.is_none_or(|chosen| chosen == group)
    }
}

pub(super) fn group(text: &str) -> Result<GroupChoice, String> {
    if text == "all" {
        return Ok(GroupChoice(None));
    }
    let group = FeatureGroup::from_str(text, false).map_err(|_| "unknown feature group")?;
    Ok(GroupChoice(Some(group)))
}

/// A pair's name becomes part of paths.
pub(super) fn pair(text: &str) -> Result<String, String> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Err("a pair consists of letters and digits, such as gbpusd".to_owned());
    }
    Ok(text.to_ascii_lowercase())
}

pub(super) fn count(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("must be a whole number, 1 or more".to_owned()),
        Ok(count) => Ok(count),
    }
}

pub(super) fn positive(text: &str) -> Result<f64, String> {
    number(text)
        .filter(|number| *number > 0.0)
        .ok_or("must be a number above zero".to_owned())
}

pub(super) fn not_negative(text: &str) -> Result<f64, String> {
    number(text)
        .filter(|number| *number >= 0.0)
        .ok_or("must be a number, 0 or more".to_owned())
}

pub(super) fn share(text: &str) -> Result<f64, String> {
    let inside = |number: &f64| *number > 0.0 && *number < 1.0;
    number(text)
        .filter(inside)
        .ok_or("must be a number between 0 and 1".to_owned())
}

fn number(text: &str) -> Option<f64> {
    text.parse().ok().filter(|number: &f64| number.is_finite())
}
