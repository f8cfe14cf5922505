//! The first rule that fits decides.

use std::fmt;

use lumitrace_model::{KeyValue, SpanKind, Text, Value};

use super::pattern::Pattern;
use super::{Sampler, SamplingParameters, SamplingResult};

/// Asks the sampler of the first rule that fits the span.
///
/// On its own it is asked for every span. To be asked for roots only, it stands in a
/// [`ParentBased`](super::ParentBased); to be asked for what is below sampled spans, in its
/// [`local_parent_sampled`](super::ParentBased::local_parent_sampled).
///
/// ```
/// use lumitrace::sampler::{AlwaysOff, AlwaysOn, ParentBased, Rule, RuleBased, TraceIdRatio};
/// let roots = RuleBased::new(TraceIdRatio::new(0.1))
///     .rule(Rule::new().name("GET /health*"), AlwaysOff)
///     .rule(Rule::new().attribute("user.tier", "paid"), AlwaysOn);
/// // Below spans that are recorded, a chatty library is left out.
/// let children = RuleBased::new(AlwaysOn).rule(Rule::new().scope("sqlx::*"), AlwaysOff);
/// let sampler = ParentBased::new(roots).local_parent_sampled(children);
/// # let _unused = sampler;
/// ```
pub struct RuleBased {
    rules: Vec<(Rule, Box<dyn Sampler>)>,
    otherwise: Box<dyn Sampler>,
}

impl RuleBased {
    /// Asks `otherwise` for spans that no rule fits.
    pub fn new(otherwise: impl Sampler + 'static) -> Self {
        Self {
            rules: Vec::new(),
            otherwise: Box::new(otherwise),
        }
    }

    /// Asks `sampler` for spans that `rule` fits, and none of the rules before it.
    #[must_use]
    pub fn rule(mut self, rule: Rule, sampler: impl Sampler + 'static) -> Self {
        self.rules.push((rule, Box::new(sampler)));
        self
    }
}

impl Sampler for RuleBased {
    fn should_sample(&self, parameters: &SamplingParameters<'_>) -> SamplingResult {
        let mut rules = self.rules.iter();
        match rules.find(|(rule, _)| rule.fits(parameters)) {
            Some((_, sampler)) => sampler.should_sample(parameters),
            None => self.otherwise.should_sample(parameters),
        }
    }

    fn reads_attributes(&self) -> bool {
        let reads = |(rule, sampler): &(Rule, Box<dyn Sampler>)| {
            !rule.attributes.is_empty() || sampler.reads_attributes()
        };
        self.rules.iter().any(reads) || self.otherwise.reads_attributes()
    }

    fn shutdown(&self) {
        self.rules
            .iter()
            .for_each(|(_, sampler)| sampler.shutdown());
        self.otherwise.shutdown();
    }
}

impl fmt::Debug for RuleBased {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rules: Vec<_> = self.rules.iter().map(|(rule, _)| rule).collect();
        f.debug_struct("RuleBased")
            .field("rules", &rules)
            .finish_non_exhaustive()
    }
}

/// What a span must be for a rule to fit: all that is named here. A new rule fits every span.
///
/// In texts `*` stands for any number of any characters.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Rule {
    name: Option<Pattern>,
    scope: Option<Pattern>,
    kind: Option<SpanKind>,
    attributes: Vec<(Text, Expected)>,
}

#[derive(Debug, Clone, PartialEq)]
enum Expected {
    Like(Pattern),
    Equal(Value),
}

impl Rule {
    /// A rule that fits every span.
    pub fn new() -> Self {
        Self::default()
    }

    /// The span's name is like `pattern`.
    #[must_use]
    pub fn name(mut self, pattern: &str) -> Self {
        self.name = Some(Pattern::new(pattern));
        self
    }

    /// The name of the library or module that starts the span is like `pattern`.
    #[must_use]
    pub fn scope(mut self, pattern: &str) -> Self {
        self.scope = Some(Pattern::new(pattern));
        self
    }

    /// The span is of this kind.
    #[must_use]
    pub fn kind(mut self, kind: SpanKind) -> Self {
        self.kind = Some(kind);
        self
    }

    /// The span starts with this attribute: a text that is like the pattern `value`, a value of another
    /// type that is equal to it, and for the pattern `*` any value. What is set later is not known yet.
    #[must_use]
    pub fn attribute(mut self, key: impl Into<Text>, value: impl Into<Value>) -> Self {
        let expected = match value.into() {
            Value::String(pattern) => Expected::Like(Pattern::new(&pattern)),
            value => Expected::Equal(value),
        };
        self.attributes.push((key.into(), expected));
        self
    }

    fn fits(&self, span: &SamplingParameters<'_>) -> bool {
        let is_like = |pattern: &Option<Pattern>, text| {
            let pattern = pattern.as_ref();
            pattern.is_none_or(|pattern| pattern.matches(text))
        };
        is_like(&self.name, span.name)
            && is_like(&self.scope, &span.scope.name)
            && self.kind.is_none_or(|kind| kind == span.kind)
            && self.attributes.iter().all(|(key, expected)| {
                value(span.attributes, key).is_some_and(|value| expected.fits(value))
            })
    }
}

/// Of a key that was given twice, the later value counts.
fn value<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a Value> {
    let mut from_last = attributes.iter().rev();
    let found = from_last.find(|attribute| attribute.key == key);
    found.map(|attribute| &attribute.value)
}

impl Expected {
    fn fits(&self, value: &Value) -> bool {
        match (self, value) {
            (Expected::Like(pattern), Value::String(text)) => pattern.matches(text),
            (Expected::Like(pattern), _) => pattern.is_anything(),
            (Expected::Equal(expected), value) => expected == value,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::{root, samples};
    use super::super::{AlwaysOff, AlwaysOn, ParentBased};
    use super::*;

    #[test]
    fn each_condition_of_a_rule_must_hold() {
        let rule = Rule::new()
            .name("POST /v1/*")
            .scope("te*")
            .kind(SpanKind::Server)
            .attribute("user.tier", "p*")
            .attribute("retry", true);
        let attributes = [
            KeyValue::new("user.tier", "free"),
            KeyValue::new("user.tier", "paid"),
            KeyValue::new("retry", true),
        ];
        let fitting = SamplingParameters {
            kind: SpanKind::Server,
            attributes: &attributes,
            ..root("POST /v1/traces")
        };
        assert!(rule.fits(&fitting));
        let other_scope = lumitrace_model::Scope {
            name: "other".into(),
            ..Default::default()
        };
        for other in [
            SamplingParameters {
                name: "GET /v1/traces",
                ..fitting
            },
            SamplingParameters {
                scope: &other_scope,
                ..fitting
            },
            SamplingParameters {
                kind: SpanKind::Client,
                ..fitting
            },
            SamplingParameters {
                attributes: &attributes[..2],
                ..fitting
            },
            SamplingParameters {
                attributes: &attributes[2..],
                ..fitting
            },
        ] {
            assert!(!rule.fits(&other), "{other:?}");
        }
        assert!(Rule::new().fits(&root("anything")));
    }

    #[test]
    fn a_lone_star_fits_a_value_of_any_type_and_other_patterns_only_texts() {
        let fits = |value: Value, expected: Value| {
            let attributes = [KeyValue::new("key", value)];
            let span = SamplingParameters {
                attributes: &attributes,
                ..root("work")
            };
            Rule::new().attribute("key", expected).fits(&span)
        };
        assert!(fits(7.into(), "*".into()) && fits("a".into(), "*".into()));
        assert!(!fits(7.into(), "7".into()) && !fits("7".into(), 7.into()));
        assert!(fits(7.into(), 7.into()) && !fits(8.into(), 7.into()));
    }

    #[test]
    fn attributes_are_read_where_a_rule_or_its_sampler_reads_them() {
        let named = || RuleBased::new(AlwaysOn).rule(Rule::new().name("a"), AlwaysOff);
        let by_tier = || RuleBased::new(AlwaysOn).rule(Rule::new().attribute("t", 1), AlwaysOff);
        assert!(!named().reads_attributes() && by_tier().reads_attributes());
        assert!(named().rule(Rule::new(), by_tier()).reads_attributes());
        assert!(RuleBased::new(by_tier()).reads_attributes());
        assert!(!ParentBased::new(named()).reads_attributes());
        assert!(ParentBased::new(by_tier()).reads_attributes());
        let below = ParentBased::new(named()).local_parent_sampled(by_tier());
        assert!(below.reads_attributes());
    }

    proptest! {
        #[test]
        fn the_first_rule_that_fits_decides(
            rules in prop::collection::vec(("[ab*]{1,3}", any::<bool>()), 0..6),
            otherwise: bool,
            name in "[ab]{1,3}",
        ) {
            let sampler = |is_on| -> Box<dyn Sampler> {
                match is_on {
                    true => Box::new(AlwaysOn),
                    false => Box::new(AlwaysOff),
                }
            };
            let mut rule_based = RuleBased::new(sampler(otherwise));
            // The model: going through the rules from the last to the first, each that fits overrules.
            let mut expected = otherwise;
            for (pattern, is_on) in rules.iter().rev() {
                if Pattern::new(pattern).matches(&name) {
                    expected = *is_on;
                }
            }
            for (pattern, is_on) in &rules {
                rule_based = rule_based.rule(Rule::new().name(pattern), sampler(*is_on));
            }
            prop_assert_eq!(samples(&rule_based, root(&name)), expected);
        }
    }
}
