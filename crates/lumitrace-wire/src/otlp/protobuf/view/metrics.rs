//! Metrics, their points and exemplars.

use lumitrace_model::{MetricKind, Number, PointFlags, QuantileValue, SpanId, TraceId};

use super::{AttributesView, fields, messages, number, text};
use crate::DecodeError;
use crate::proto::Field;

/// What a `Metric` message says beside its [`MetricHead`](super::super::MetricHead) and its points.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct MetricView<'a> {
    /// What it is, for people, or empty.
    pub description: &'a str,
    /// Its unit as UCUM spells it, or empty.
    pub unit: &'a str,
    message: &'a [u8],
}

impl<'a> MetricView<'a> {
    /// Reads a `Metric` message.
    pub fn new(message: &'a [u8]) -> Self {
        let mut view = Self {
            message,
            ..Self::default()
        };
        for field in fields(message) {
            match field.number {
                2 => view.description = text(field),
                3 => view.unit = text(field),
                _ => {}
            }
        }
        view
    }

    /// Facts about the metric itself.
    pub fn metadata(&self) -> AttributesView<'a> {
        AttributesView::new(self.message, 12)
    }
}

/// A point of a metric of any kind. What its kind does not have is zero, none or empty.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PointView<'a> {
    /// Since when it was counted, in nanoseconds since the Unix epoch; 0 if the sender did not say.
    pub start_unix_nano: u64,
    /// Its time, in nanoseconds since the Unix epoch; 0 if the sender did not say.
    pub time_unix_nano: u64,
    /// Bits that say something about it.
    pub flags: PointFlags,
    /// The number of a gauge or a sum; `None` if the sender left it out.
    pub value: Option<Number>,
    /// How many values there were.
    pub count: u64,
    /// Their sum, if known.
    pub sum: Option<f64>,
    /// The smallest value, if known.
    pub min: Option<f64>,
    /// The largest value, if known.
    pub max: Option<f64>,
    /// How fine the buckets of an exponential histogram are.
    pub scale: i32,
    /// How many values are no further from zero than `zero_threshold`.
    pub zero_count: u64,
    /// How far from zero a value may be to count as zero.
    pub zero_threshold: f64,
    /// Whether it has an exemplar.
    pub has_exemplars: bool,
    kind: MetricKind,
    message: &'a [u8],
}

/// Which side of zero the values of buckets are on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Above zero.
    Positive,
    /// Below zero.
    Negative,
}

impl<'a> PointView<'a> {
    /// Reads the message of a point of a metric of this kind.
    pub fn new(kind: MetricKind, message: &'a [u8]) -> Self {
        let mut view = Self {
            start_unix_nano: 0,
            time_unix_nano: 0,
            flags: PointFlags::default(),
            value: None,
            count: 0,
            sum: None,
            min: None,
            max: None,
            scale: 0,
            zero_count: 0,
            zero_threshold: 0.0,
            has_exemplars: false,
            kind,
            message,
        };
        if kind == MetricKind::Summary {
            // It always has one.
            view.sum = Some(0.0);
        }
        let read = match kind {
            MetricKind::Gauge | MetricKind::Sum => Self::read_number,
            MetricKind::Histogram => Self::read_histogram,
            MetricKind::ExponentialHistogram => Self::read_exponential_histogram,
            MetricKind::Summary => Self::read_summary,
        };
        fields(message).for_each(|field| read(&mut view, field));
        view
    }

    fn read_number(&mut self, field: Field<'_>) {
        match field.number {
            2 => self.start_unix_nano = fixed64(field),
            3 => self.time_unix_nano = fixed64(field),
            4 => self.value = Some(Number::Double(f64::from_bits(fixed64(field)))),
            5 => self.has_exemplars = true,
            6 => self.value = Some(Number::Int(fixed64(field) as i64)),
            8 => self.flags = PointFlags(number(field)),
            _ => {}
        }
    }

    fn read_histogram(&mut self, field: Field<'_>) {
        match field.number {
            2 => self.start_unix_nano = fixed64(field),
            3 => self.time_unix_nano = fixed64(field),
            4 => self.count = fixed64(field),
            5 => self.sum = Some(f64::from_bits(fixed64(field))),
            8 => self.has_exemplars = true,
            10 => self.flags = PointFlags(number(field)),
            11 => self.min = Some(f64::from_bits(fixed64(field))),
            12 => self.max = Some(f64::from_bits(fixed64(field))),
            _ => {}
        }
    }

    fn read_exponential_histogram(&mut self, field: Field<'_>) {
        match field.number {
            2 => self.start_unix_nano = fixed64(field),
            3 => self.time_unix_nano = fixed64(field),
            4 => self.count = fixed64(field),
            5 => self.sum = Some(f64::from_bits(fixed64(field))),
            6 => self.scale = field.sint32().unwrap_or_default(),
            7 => self.zero_count = fixed64(field),
            10 => self.flags = PointFlags(number(field)),
            11 => self.has_exemplars = true,
            12 => self.min = Some(f64::from_bits(fixed64(field))),
            13 => self.max = Some(f64::from_bits(fixed64(field))),
            14 => self.zero_threshold = f64::from_bits(fixed64(field)),
            _ => {}
        }
    }

    fn read_summary(&mut self, field: Field<'_>) {
        match field.number {
            2 => self.start_unix_nano = fixed64(field),
            3 => self.time_unix_nano = fixed64(field),
            4 => self.count = fixed64(field),
            5 => self.sum = Some(f64::from_bits(fixed64(field))),
            8 => self.flags = PointFlags(number(field)),
            _ => {}
        }
    }

    /// What tells its series from the others of the metric.
    pub fn attributes(&self) -> AttributesView<'a> {
        point_attributes(self.kind, self.message)
    }

    /// How many values each bucket of a histogram holds.
    pub fn bucket_counts(&self) -> Vec<u64> {
        self.fixed64s(6)
    }

    /// The upper bounds of the buckets of a histogram.
    pub fn explicit_bounds(&self) -> Vec<f64> {
        let bits = self.fixed64s(7).into_iter();
        bits.map(f64::from_bits).collect()
    }

    fn fixed64s(&self, number: u32) -> Vec<u64> {
        let is_histogram = self.kind == MetricKind::Histogram;
        let message = if is_histogram { self.message } else { &[] };
        let lists = fields(message).filter(|field| field.number == number);
        readable(lists.flat_map(Field::each_fixed64)).collect()
    }

    /// The number of the first bucket of an exponential histogram on one side of zero, and how many
    /// values each bucket there holds.
    pub fn buckets(&self, side: Side) -> (i32, Vec<u64>) {
        let (mut offset, mut counts) = (0, Vec::new());
        if self.kind != MetricKind::ExponentialHistogram {
            return (offset, counts);
        }
        let number = match side {
            Side::Positive => 8,
            Side::Negative => 9,
        };
        for field in messages(self.message, number).flat_map(fields) {
            match field.number {
                1 => offset = field.sint32().unwrap_or_default(),
                2 => counts.extend(readable(field.each_varint())),
                _ => {}
            }
        }
        (offset, counts)
    }

    /// The values of a summary at some quantiles.
    pub fn quantile_values(&self) -> impl Iterator<Item = QuantileValue> + use<'a> {
        let is_summary = self.kind == MetricKind::Summary;
        let message = if is_summary { self.message } else { &[] };
        messages(message, 6).map(|message| {
            let mut value = QuantileValue::default();
            for field in fields(message) {
                match field.number {
                    1 => value.quantile = f64::from_bits(fixed64(field)),
                    2 => value.value = f64::from_bits(fixed64(field)),
                    _ => {}
                }
            }
            value
        })
    }

    /// Measurements that went into it; a summary has none.
    pub fn exemplars(&self) -> impl Iterator<Item = ExemplarView<'a>> + use<'a> {
        let number = match self.kind {
            MetricKind::Gauge | MetricKind::Sum => 5,
            MetricKind::Histogram => 8,
            MetricKind::ExponentialHistogram => 11,
            MetricKind::Summary => 0,
        };
        // Most points have none: their bytes are not looked through again.
        let message = if self.has_exemplars {
            self.message
        } else {
            &[]
        };
        messages(message, number).map(ExemplarView::new)
    }
}

/// The attributes of a point of a metric of this kind.
pub fn point_attributes(kind: MetricKind, message: &[u8]) -> AttributesView<'_> {
    let number = match kind {
        MetricKind::Gauge | MetricKind::Sum | MetricKind::Summary => 7,
        MetricKind::Histogram => 9,
        MetricKind::ExponentialHistogram => 1,
    };
    AttributesView::new(message, number)
}

/// A measurement that went into a point.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct ExemplarView<'a> {
    /// When it was measured, in nanoseconds since the Unix epoch.
    pub time_unix_nano: u64,
    /// What was measured; `None` if the sender left it out.
    pub value: Option<Number>,
    /// The span it was measured in, if the id is valid.
    pub span_id: Option<SpanId>,
    /// The trace it was measured in, if the id is valid.
    pub trace_id: Option<TraceId>,
    message: &'a [u8],
}

impl<'a> ExemplarView<'a> {
    fn new(message: &'a [u8]) -> Self {
        let mut view = Self {
            message,
            ..Self::default()
        };
        let bytes = |field: Field<'a>| field.bytes().unwrap_or_default();
        for field in fields(message) {
            match field.number {
                2 => view.time_unix_nano = fixed64(field),
                3 => view.value = Some(Number::Double(f64::from_bits(fixed64(field)))),
                4 => view.span_id = SpanId::from_slice(bytes(field)),
                5 => view.trace_id = TraceId::from_slice(bytes(field)),
                6 => view.value = Some(Number::Int(fixed64(field) as i64)),
                _ => {}
            }
        }
        view
    }

    /// The attributes of the measurement that the point no longer has.
    pub fn filtered_attributes(&self) -> AttributesView<'a> {
        AttributesView::new(self.message, 7)
    }
}

fn fixed64(field: Field<'_>) -> u64 {
    field.fixed64().unwrap_or_default()
}

fn readable(numbers: impl Iterator<Item = Result<u64, DecodeError>>) -> impl Iterator<Item = u64> {
    numbers.filter_map(Result::ok)
}
