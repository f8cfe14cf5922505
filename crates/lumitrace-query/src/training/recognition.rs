//! What part a span plays in a training run, and which epoch and step it speaks of.
//!
//! Programs disagree about names (`epoch`, `training_epoch`, `epoch_3`) and about attributes
//! (`batch_index`, `step`), so both are read leniently: numbers at the end of a name are folded
//! away, and every index has several spellings.

use lumitrace_model::{Span, Value, names};

/// What part a span plays in a training run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// One pass over the data.
    Epoch,
    /// One batch.
    Step,
    /// An evaluation on held-out data.
    Validation,
    /// Reading data.
    Loading,
    /// Computing features.
    Features,
    /// A stretch between steps, such as saving a checkpoint.
    Phase,
    /// A part of a step, such as the backward pass.
    StepPart,
    /// Nothing known.
    Other,
}

impl Role {
    /// Whether spans in this role make up a run: an epoch, a batch or a validation.
    pub fn is_stage(self) -> bool {
        matches!(self, Self::Epoch | Self::Step | Self::Validation)
    }
}

/// The names by which training spans are recognised, without the numbers at their end and in
/// whatever case. Add to the lists what your programs use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrainingNames {
    /// Names of epochs.
    pub epoch: Vec<String>,
    /// Names of batches.
    pub step: Vec<String>,
    /// Names of validations.
    pub validation: Vec<String>,
    /// Names of data loading.
    pub loading: Vec<String>,
    /// Names of feature computation.
    pub features: Vec<String>,
    /// Texts that the names of other phases contain.
    pub phase_parts: Vec<String>,
    /// Texts that the names of parts of a step contain.
    pub step_parts: Vec<String>,
}

impl Default for TrainingNames {
    fn default() -> Self {
        let list = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        Self {
            epoch: list(&[names::TRAINING_EPOCH, "epoch", "train_epoch"]),
            step: list(&[
                names::BATCH_PROCESSING,
                "batch",
                "train_step",
                "training_step",
                "step",
            ]),
            validation: list(&[names::VALIDATION, "validate", "eval", "evaluation"]),
            loading: list(&[names::DATA_LOADING]),
            features: list(&[names::FEATURE_ENGINEERING]),
            phase_parts: list(&["checkpoint", "save"]),
            step_parts: list(&["optimizer", "backward", "forward"]),
        }
    }
}

impl TrainingNames {
    /// The part that a span of this name plays.
    ///
    /// ```
    /// use lumitrace_query::training::recognition::{Role, TrainingNames};
    /// let names = TrainingNames::default();
    /// assert_eq!(names.role("epoch_3"), Role::Epoch);
    /// assert_eq!(names.role("batch_processing"), Role::Step);
    /// assert_eq!(names.role("GET /"), Role::Other);
    /// ```
    pub fn role(&self, name: &str) -> Role {
        let (base, _) = fold_number(name);
        let is_in = |list: &[String]| list.iter().any(|known| known.eq_ignore_ascii_case(base));
        let contains = |parts: &[String]| parts.iter().any(|part| contains_in_any_case(name, part));
        match () {
            () if is_in(&self.step) => Role::Step,
            () if is_in(&self.epoch) => Role::Epoch,
            () if is_in(&self.validation) => Role::Validation,
            () if is_in(&self.loading) => Role::Loading,
            () if is_in(&self.features) => Role::Features,
            () if contains(&self.phase_parts) => Role::Phase,
            () if contains(&self.step_parts) => Role::StepPart,
            () => Role::Other,
        }
    }

    /// Whether `span`, which plays `role`, proves that its process trains: agents have steps and
    /// evaluations too, so those words alone do not.
    pub fn is_evidence(&self, role: Role, span: &Span) -> bool {
        const STRONG: [&str; 3] = [names::BATCH_PROCESSING, "train_step", "training_step"];
        match role {
            Role::Epoch => true,
            Role::Step if STRONG.contains(&fold_number(&span.name).0) => true,
            Role::Step | Role::Validation => span.attributes.iter().any(|attribute| {
                let key = attribute.key.as_ref();
                TRAINING_KEYS.contains(&key)
                    || ["task.", "val.", "val_"]
                        .iter()
                        .any(|family| key.starts_with(family))
            }),
            _ => false,
        }
    }

    /// What tells a training span from its siblings: `(1/3)` for an epoch or its validation,
    /// `(37)` for a batch; `None` where the name already tells, or nothing does.
    ///
    /// ```
    /// use lumitrace_model::{KeyValue, Span};
    /// use lumitrace_query::training::recognition::TrainingNames;
    /// let attributes = vec![KeyValue::new("epoch", 1), KeyValue::new("total_epochs", 3)];
    /// let span = Span { name: "training_epoch".into(), attributes, ..Span::default() };
    /// assert_eq!(TrainingNames::default().label(&span).as_deref(), Some("(1/3)"));
    /// ```
    pub fn label(&self, span: &Span) -> Option<String> {
        let role = self.role(&span.name);
        Indices::of(role, span).label(role)
    }

    /// Whether a span is one of those from which the run is known that its trace belongs to.
    pub(crate) fn is_stage(&self, span: &Span) -> bool {
        self.role(&span.name).is_stage()
    }
}

/// Attributes that only training spans have.
const TRAINING_KEYS: [&str; 12] = [
    "loss",
    "train_loss",
    "epoch",
    "epoch_index",
    "total_epochs",
    "batch_index",
    "batch_idx",
    "batch_size",
    "global_step",
    "learning_rate",
    "lr",
    "grad_norm",
];

/// Splits the number off the end of a name: `epoch_3` is `epoch` and 3.
pub fn fold_number(name: &str) -> (&str, Option<i64>) {
    let without_digits = name.trim_end_matches(|c: char| c.is_ascii_digit());
    let number = name[without_digits.len()..].parse().ok();
    let base = without_digits
        .strip_suffix(['_', ' ', '-', '.', ':', '#', '/'])
        .unwrap_or(without_digits)
        .trim_end();
    match number {
        Some(number) if !base.is_empty() => (base, Some(number)),
        _ => (name, None),
    }
}

/// Whether `text` contains `part`, which is ASCII, in any case.
fn contains_in_any_case(text: &str, part: &str) -> bool {
    text.as_bytes()
        .windows(part.len().max(1))
        .any(|window| window.eq_ignore_ascii_case(part.as_bytes()))
}

/// Where a step's number comes from, which tells whether it starts anew with each epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StepSource {
    /// There is no number.
    #[default]
    None,
    /// `global_step`: counts through the whole training.
    Global,
    /// `step`: one or the other; its course tells.
    Step,
    /// `batch_index`: counts within the epoch.
    Batch,
    /// The number at the end of the name.
    Name,
}

/// The indices that a training span carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Indices {
    /// The epoch, as the program counts.
    pub epoch: Option<i32>,
    /// Whether that was read from the name.
    pub epoch_in_name: bool,
    /// How many epochs are planned.
    pub total_epochs: Option<i32>,
    /// The step, as the program counts.
    pub step: Option<i64>,
    /// Where that was read from.
    pub step_source: StepSource,
    /// The batch within its epoch, where the program says it beside a global step.
    pub batch: Option<i64>,
}

impl Indices {
    /// The indices of `span`, which plays `role`; none for roles without.
    pub fn of(role: Role, span: &Span) -> Self {
        if !matches!(role, Role::Epoch | Role::Step | Role::Validation) {
            return Self::default();
        }
        let (_, in_name) = fold_number(&span.name);
        let mut indices = Self {
            epoch: small_int(first(span, &["epoch", "epoch_index", "current_epoch"])),
            total_epochs: small_int(first(span, &["total_epochs", "num_epochs", "max_epochs"])),
            ..Self::default()
        };
        if indices.epoch.is_none() && role != Role::Step {
            indices.epoch = in_name.and_then(|number| i32::try_from(number).ok());
            indices.epoch_in_name = indices.epoch.is_some();
        }
        indices.batch = first(span, &["batch_index", "batch_idx"]).and_then(Value::as_i64);
        let sources = [
            (StepSource::Global, first(span, &["global_step"])),
            (StepSource::Step, first(span, &["step"])),
            (
                StepSource::Batch,
                first(span, &["batch_index", "batch_idx"]),
            ),
        ];
        let attribute = sources
            .into_iter()
            .find_map(|(source, value)| Some((source, value?.as_i64()?)));
        let in_name = in_name.filter(|_| role == Role::Step);
        if let Some((source, step)) = attribute.or(in_name.map(|step| (StepSource::Name, step))) {
            (indices.step_source, indices.step) = (source, Some(step));
        }
        indices
    }

    /// See [`TrainingNames::label`].
    pub fn label(&self, role: Role) -> Option<String> {
        match role {
            Role::Step if self.step_source != StepSource::Name => {
                self.batch.or(self.step).map(|step| format!("({step})"))
            }
            Role::Epoch | Role::Validation if !self.epoch_in_name => {
                Some(format!("({})", self.epoch_of_total()?))
            }
            _ => None,
        }
    }

    /// `1/3`, or `1` where the plan is unknown.
    pub fn epoch_of_total(&self) -> Option<String> {
        let epoch = self.epoch?;
        Some(match self.total_epochs {
            Some(total) => format!("{epoch}/{total}"),
            None => epoch.to_string(),
        })
    }
}

fn first<'a>(span: &'a Span, keys: &[&str]) -> Option<&'a Value> {
    keys.iter().find_map(|key| span.attribute(key))
}

fn small_int(value: Option<&Value>) -> Option<i32> {
    value?.as_i64()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use lumitrace_model::KeyValue;

    fn span(name: &'static str, attributes: &[(&'static str, i64)]) -> Span {
        let attributes = attributes
            .iter()
            .map(|&(key, value)| KeyValue::new(key, value))
            .collect();
        Span {
            name: name.into(),
            attributes,
            ..Span::default()
        }
    }

    #[test]
    fn every_name_that_programs_use_is_recognised() {
        let names = TrainingNames::default();
        for (name, role) in [
            ("training_epoch", Role::Epoch),
            ("epoch", Role::Epoch),
            ("epoch_3", Role::Epoch),
            ("Epoch 3", Role::Epoch),
            ("epoch3", Role::Epoch),
            ("batch_17", Role::Step),
            ("batch_processing", Role::Step),
            ("train_step", Role::Step),
            ("step 4", Role::Step),
            ("validation_3", Role::Validation),
            ("evaluation", Role::Validation),
            ("data_loading", Role::Loading),
            ("feature_engineering", Role::Features),
            ("save_model", Role::Phase),
            ("Checkpoint", Role::Phase),
            ("optimizer_step", Role::StepPart),
            ("backward", Role::StepPart),
            ("epochal", Role::Other),
            ("batch_import", Role::Other),
            ("17", Role::Other),
            ("", Role::Other),
        ] {
            assert_eq!(names.role(name), role, "{name:?}");
        }
    }

    #[test]
    fn labels_come_from_attributes_and_are_left_out_where_the_name_tells() {
        let names = TrainingNames::default();
        for (span, label) in [
            (
                span("training_epoch", &[("epoch", 1), ("total_epochs", 3)]),
                Some("(1/3)"),
            ),
            (span("training_epoch", &[("epoch", 1)]), Some("(1)")),
            (span("epoch_1", &[]), None),
            (
                span("epoch_1", &[("epoch", 1), ("total_epochs", 3)]),
                Some("(1/3)"),
            ),
            (
                span("batch_processing", &[("batch_index", 37), ("epoch", 1)]),
                Some("(37)"),
            ),
            (
                span(
                    "batch_processing",
                    &[("global_step", 137), ("batch_index", 37)],
                ),
                Some("(37)"),
            ),
            (span("train_step", &[("step", 5)]), Some("(5)")),
            (span("batch_17", &[]), None),
            (span("validation", &[("epoch", 2)]), Some("(2)")),
            (span("GET /", &[("epoch", 2)]), None),
        ] {
            assert_eq!(names.label(&span).as_deref(), label, "{span:?}");
        }
    }

    #[test]
    fn steps_of_agents_are_no_evidence_of_training() {
        let names = TrainingNames::default();
        let is_evidence = |span: Span| names.is_evidence(names.role(&span.name), &span);
        assert!(!is_evidence(span("step", &[("step", 1)])));
        assert!(!is_evidence(span("evaluation", &[])));
        assert!(!is_evidence(span("data_loading", &[])));
        assert!(is_evidence(span("step", &[("step", 1), ("loss", 1)])));
        assert!(is_evidence(span("batch_3", &[("batch_size", 32)])));
        assert!(is_evidence(span("validation", &[("val.rmse", 1)])));
        assert!(is_evidence(span("batch_processing", &[])));
        assert!(is_evidence(span("epoch_3", &[])));
    }

    #[test]
    fn a_step_is_read_from_the_best_source_there_is() {
        let step = |span: Span| {
            let indices = Indices::of(Role::Step, &span);
            (indices.step, indices.step_source)
        };
        let all = [("batch_index", 1), ("step", 2), ("global_step", 3)];
        assert_eq!(step(span("batch_9", &all)), (Some(3), StepSource::Global));
        assert_eq!(
            step(span("batch_9", &all[..2])),
            (Some(2), StepSource::Step)
        );
        assert_eq!(
            step(span("batch_9", &all[..1])),
            (Some(1), StepSource::Batch)
        );
        assert_eq!(step(span("batch_9", &[])), (Some(9), StepSource::Name));
        assert_eq!(step(span("batch", &[])), (None, StepSource::None));
    }
}
