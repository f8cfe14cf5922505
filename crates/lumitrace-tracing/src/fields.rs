//! What the fields of a span or an event say.

use std::error::Error;
use std::fmt::{self, Debug, Display};

use lumitrace::exception::Exception;
use lumitrace::model::Text;
use lumitrace::{KeyValue, SpanKind, StatusCode, Value};
use tracing_core::Metadata;
use tracing_core::field::{Field, Visit};

/// The fields that mean something by themselves, and the others as attributes.
pub(crate) struct Fields {
    place: Place,
    /// `otel.name`.
    pub(crate) name: Option<Text>,
    /// `otel.kind`.
    pub(crate) kind: Option<SpanKind>,
    /// `otel.status_code`.
    pub(crate) status: Option<StatusCode>,
    /// `otel.status_description`, or `otel.status_message` as it was called before.
    pub(crate) status_message: Text,
    /// `message`.
    pub(crate) message: Option<Text>,
    /// The last error among them.
    pub(crate) error: Option<Exception>,
    /// Text under a name that errors usually have, such as `%err`.
    pub(crate) error_text: Option<String>,
    pub(crate) attributes: Vec<KeyValue>,
}

/// What errors are called that are handed over as text: `#[instrument(err)]` does.
const ERROR_NAMES: [&str; 2] = ["error", "err"];

impl Fields {
    /// None yet, of a span or event with this metadata.
    pub(crate) fn of(metadata: &'static Metadata<'static>) -> Self {
        Self {
            place: Place(metadata),
            name: None,
            kind: None,
            status: None,
            status_message: Text::default(),
            message: None,
            error: None,
            error_text: None,
            attributes: Vec::new(),
        }
    }

    fn set(&mut self, field: &Field, value: Value) {
        let name = field.name();
        match name {
            "otel.name" => self.name = Some(text(value)),
            "otel.kind" => self.kind = span_kind(&text(value)),
            "otel.status_code" => self.status = status_code(&text(value)),
            "otel.status_description" | "otel.status_message" => self.status_message = text(value),
            "message" => self.message = Some(text(value)),
            _ => {
                if let (true, Value::String(text)) = (ERROR_NAMES.contains(&name), &value) {
                    self.error_text = Some(text.clone().into_owned());
                }
                // A field that is named like a keyword.
                let key = name.strip_prefix("r#").unwrap_or(name);
                self.attributes.push(KeyValue::new(key, value));
            }
        }
    }

    /// The error that an event reports, also where it came as text.
    pub(crate) fn take_error(&mut self) -> Option<Exception> {
        let text = self.error_text.take();
        let from_text = || Some(Exception::of_text(text?, &self.place));
        self.error.take().or_else(from_text)
    }
}

/// Where a span or event is in the source.
struct Place(&'static Metadata<'static>);

impl Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0.file(), self.0.line()) {
            (Some(file), Some(line)) => write!(f, "{file}:{line}"),
            _ => f.write_str(self.0.target()),
        }
    }
}

impl Visit for Fields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.set(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.set(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.set(field, value.into());
    }

    fn record_i128(&mut self, field: &Field, value: i128) {
        let value = i64::try_from(value).map_or_else(|_| value.to_string().into(), Value::Int);
        self.set(field, value);
    }

    fn record_u128(&mut self, field: &Field, value: u128) {
        let value = i64::try_from(value).map_or_else(|_| value.to_string().into(), Value::Int);
        self.set(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.set(field, value.into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.set(field, value.to_owned().into());
    }

    fn record_bytes(&mut self, field: &Field, value: &[u8]) {
        self.set(field, value.to_vec().into());
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.error = Some(Exception::of(value, &self.place));
        self.set(field, value.to_string().into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.set(field, format!("{value:?}").into());
    }
}

fn text(value: Value) -> Text {
    match value {
        Value::String(text) => text,
        Value::Int(int) => int.to_string().into(),
        Value::Double(double) => double.to_string().into(),
        Value::Bool(is_true) => is_true.to_string().into(),
        other => format!("{other:?}").into(),
    }
}

fn span_kind(name: &str) -> Option<SpanKind> {
    let kinds = [
        SpanKind::Internal,
        SpanKind::Server,
        SpanKind::Client,
        SpanKind::Producer,
        SpanKind::Consumer,
    ];
    kinds
        .into_iter()
        .find(|kind| kind.as_str().eq_ignore_ascii_case(name))
}

fn status_code(name: &str) -> Option<StatusCode> {
    let codes = [
        ("ok", StatusCode::Ok),
        ("error", StatusCode::Error),
        ("unset", StatusCode::Unset),
    ];
    let found = codes
        .into_iter()
        .find(|(known, _)| known.eq_ignore_ascii_case(name));
    found.map(|(_, code)| code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_and_statuses_are_read_whatever_their_case_and_unknown_ones_ignored() {
        assert_eq!(span_kind("SERVER"), Some(SpanKind::Server));
        assert_eq!(span_kind("proxy"), None);
        assert_eq!(status_code("Error"), Some(StatusCode::Error));
        assert_eq!(status_code("200"), None);
    }
}
