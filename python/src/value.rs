//! Python objects as attribute values.
//!
//! A traced program may hand over anything it computed. Numbers stay numbers, also those that a
//! numpy scalar or a tensor of one element holds; text, bytes, lists and mappings keep their type;
//! everything else becomes bounded text. No object, however ill-behaved, makes an exception come
//! back, except one that is not an error of the object: a `KeyboardInterrupt` while its `__str__`
//! runs belongs to the program.

use std::borrow::Cow;

use lumitrace_model::{KeyValue, Text, Value};
use pyo3::exceptions::PyException;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{
    PyBool, PyByteArray, PyBytes, PyDict, PyFloat, PyFrozenSet, PyInt, PyList, PySet, PyString,
    PyTuple,
};

use crate::names;

/// How deep lists and mappings are followed; what lies deeper becomes text. A list that contains
/// itself ends here too.
const MAX_DEPTH: usize = 32;
/// How many elements one attribute's lists and mappings may have in all.
const MAX_ELEMENTS: usize = 10_000;
/// The longest text that is made of an object which is neither text nor number, in bytes.
const MAX_OBJECT_TEXT_BYTES: usize = 4 * 1024;

/// The value of an attribute, read from `object` once.
///
/// # Errors
/// Only an exception that is no `Exception`, such as `KeyboardInterrupt`.
pub(crate) fn value_of(object: &Bound<'_, PyAny>) -> PyResult<Value> {
    match scalar(object) {
        Some(value) => Ok(value),
        None => Nested {
            elements_left: MAX_ELEMENTS,
        }
        .value_of(object, 0),
    }
}

/// The attribute `key` = `object`; a key that is no text is turned into one.
///
/// # Errors
/// As [`value_of`].
pub(crate) fn attribute(key: &Bound<'_, PyAny>, object: &Bound<'_, PyAny>) -> PyResult<KeyValue> {
    Ok(KeyValue {
        key: name_of(key)?,
        value: value_of(object)?,
    })
}

/// The attributes in a mapping, or in anything else that has `items()`. An object without is kept
/// as text under `attributes`, so that the mistake is seen.
///
/// # Errors
/// As [`value_of`].
pub(crate) fn attributes_of(mapping: Option<&Bound<'_, PyAny>>) -> PyResult<Vec<KeyValue>> {
    let Some(mapping) = mapping.filter(|mapping| !mapping.is_none()) else {
        return Ok(Vec::new());
    };
    match items_of(mapping)? {
        Some(items) => items
            .iter()
            .map(|(key, value)| attribute(key, value))
            .collect(),
        None => Ok(vec![KeyValue::new("attributes", text_of(mapping)?)]),
    }
}

/// A text for people, or a key that is data: unlike a name, it hardly ever comes again.
///
/// # Errors
/// As [`value_of`].
pub(crate) fn message_of(text: &Bound<'_, PyAny>) -> PyResult<Text> {
    Ok(Cow::Owned(match text.cast::<PyString>() {
        Ok(text) => string(text),
        Err(_) => text_of(text)?,
    }))
}

/// The text of a name: of a span, an event, an attribute.
///
/// # Errors
/// As [`value_of`].
pub(crate) fn name_of(name: &Bound<'_, PyAny>) -> PyResult<Text> {
    let Ok(text) = name.cast::<PyString>() else {
        return Ok(Cow::Owned(text_of(name)?));
    };
    Ok(match text.to_str() {
        Ok(known) => names::text_of(known, text.as_ptr() as usize),
        Err(_) => Cow::Owned(string(text)),
    })
}

/// `str(object)`, bounded; a placeholder when that fails.
///
/// # Errors
/// As [`value_of`].
pub(crate) fn text_of(object: &Bound<'_, PyAny>) -> PyResult<String> {
    match harmless(object.py(), object.str())? {
        Some(text) => Ok(bounded(&text.to_string_lossy(), MAX_OBJECT_TEXT_BYTES)),
        None => {
            let class = harmless(object.py(), object.get_type().name())?;
            let class = class.as_ref().map(|name| name.to_string_lossy());
            Ok(format!(
                "<unprintable {} object>",
                class.as_deref().unwrap_or("?")
            ))
        }
    }
}

/// `text`, cut to `max_bytes` on a character boundary; an ellipsis shows the cut.
pub(crate) fn bounded(text: &str, max_bytes: usize) -> String {
    if text.len() <= max_bytes {
        return text.to_owned();
    }
    let mut cut = text[..text.floor_char_boundary(max_bytes)].to_owned();
    cut.push('…');
    cut
}

/// What succeeded, or `None` for an ordinary exception, which tracing keeps to itself.
///
/// # Errors
/// An exception that is no `Exception`: it is the program's (`KeyboardInterrupt`, `SystemExit`).
pub(crate) fn harmless<T>(py: Python<'_>, result: PyResult<T>) -> PyResult<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.is_instance_of::<PyException>(py) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The value of an object of a plain type. The exact types come first: they are the hot path.
fn scalar(object: &Bound<'_, PyAny>) -> Option<Value> {
    if let Ok(float) = object.cast_exact::<PyFloat>() {
        return Some(Value::Double(float.value()));
    }
    if let Ok(text) = object.cast_exact::<PyString>() {
        return Some(Value::String(Cow::Owned(string(text))));
    }
    if let Ok(truth) = object.cast_exact::<PyBool>() {
        return Some(Value::Bool(truth.is_true()));
    }
    if let Ok(int) = object.cast::<PyInt>() {
        return Some(integer(int));
    }
    if object.is_none() {
        return Some(Value::Null);
    }
    if let Ok(float) = object.cast::<PyFloat>() {
        return Some(Value::Double(float.value()));
    }
    if let Ok(text) = object.cast::<PyString>() {
        return Some(Value::String(Cow::Owned(string(text))));
    }
    None
}

/// An integer, or its digits where 64 bits do not hold it, or its approximation where Python
/// refuses to print so many digits.
fn integer(int: &Bound<'_, PyInt>) -> Value {
    if let Ok(int) = int.extract::<i64>() {
        return Value::Int(int);
    }
    match int.str() {
        Ok(digits) => Value::String(Cow::Owned(digits.to_string_lossy().into_owned())),
        Err(_) => Value::Double(int.extract::<f64>().unwrap_or(f64::INFINITY)),
    }
}

fn string(text: &Bound<'_, PyString>) -> String {
    match text.to_str() {
        Ok(text) => text.to_owned(),
        // Lone surrogates, as `os.fsdecode` makes them, are no text: U+FFFD stands there.
        Err(_) => text.to_string_lossy().into_owned(),
    }
}

struct Nested {
    elements_left: usize,
}

impl Nested {
    fn value_of(&mut self, object: &Bound<'_, PyAny>, depth: usize) -> PyResult<Value> {
        if let Some(value) = scalar(object) {
            return Ok(value);
        }
        if let Ok(bytes) = object.cast::<PyBytes>() {
            return Ok(Value::Bytes(bytes.as_bytes().to_vec()));
        }
        if let Ok(bytes) = object.cast::<PyByteArray>() {
            return Ok(Value::Bytes(bytes.to_vec()));
        }
        if depth < MAX_DEPTH {
            if let Some(elements) = elements_of(object)? {
                return self.array(&elements, depth);
            }
            if object.is_instance_of::<PyDict>()
                && let Some(items) = items_of(object)?
            {
                return self.map(&items, depth);
            }
        }
        if let Some(number) = single_element(object)? {
            return Ok(number);
        }
        Ok(Value::String(Cow::Owned(text_of(object)?)))
    }

    fn array(&mut self, elements: &[Bound<'_, PyAny>], depth: usize) -> PyResult<Value> {
        let mut values = Vec::with_capacity(elements.len().min(self.elements_left));
        for (index, element) in elements.iter().enumerate() {
            if !self.admit() {
                values.push(Value::from(format!("… ({} more)", elements.len() - index)));
                break;
            }
            values.push(self.value_of(element, depth + 1)?);
        }
        Ok(Value::Array(values))
    }

    fn map(
        &mut self,
        items: &[(Bound<'_, PyAny>, Bound<'_, PyAny>)],
        depth: usize,
    ) -> PyResult<Value> {
        let mut entries = Vec::with_capacity(items.len().min(self.elements_left));
        for (index, (key, value)) in items.iter().enumerate() {
            if !self.admit() {
                entries.push(KeyValue::new("…", format!("{} more", items.len() - index)));
                break;
            }
            let value = self.value_of(value, depth + 1)?;
            entries.push(KeyValue {
                key: message_of(key)?,
                value,
            });
        }
        Ok(Value::Map(entries))
    }

    fn admit(&mut self) -> bool {
        let admitted = self.elements_left > 0;
        self.elements_left = self.elements_left.saturating_sub(1);
        admitted
    }
}

/// The elements of a list, tuple or set, as they are now: converting one may run the program's code,
/// which may change the list.
fn elements_of<'py>(object: &Bound<'py, PyAny>) -> PyResult<Option<Vec<Bound<'py, PyAny>>>> {
    if let Ok(list) = object.cast::<PyList>() {
        return Ok(Some(list.iter().collect()));
    }
    if let Ok(tuple) = object.cast::<PyTuple>() {
        return Ok(Some(tuple.iter().collect()));
    }
    if object.is_instance_of::<PySet>() || object.is_instance_of::<PyFrozenSet>() {
        let elements = object.try_iter().and_then(|elements| elements.collect());
        return harmless(object.py(), elements);
    }
    Ok(None)
}

pub(crate) type Items<'py> = Vec<(Bound<'py, PyAny>, Bound<'py, PyAny>)>;

/// The pairs that `object.items()` yields, as they are now.
///
/// # Errors
/// As [`value_of`].
pub(crate) fn items_of<'py>(object: &Bound<'py, PyAny>) -> PyResult<Option<Items<'py>>> {
    if let Ok(dict) = object.cast_exact::<PyDict>() {
        return Ok(dict
            .items()
            .iter()
            .map(|pair| pair.extract())
            .collect::<PyResult<_>>()
            .ok());
    }
    let items = || -> PyResult<Items<'py>> {
        let pairs = object.call_method0(intern!(object.py(), "items"))?;
        pairs.try_iter()?.map(|pair| pair?.extract()).collect()
    };
    harmless(object.py(), items())
}

/// The number in a numpy scalar, or in an array or tensor of one element. `item()` waits for the
/// device that computes the tensor, so it is called once.
fn single_element(object: &Bound<'_, PyAny>) -> PyResult<Option<Value>> {
    let py = object.py();
    let read = || -> PyResult<Option<Bound<'_, PyAny>>> {
        let Some(shape) = object.getattr_opt(intern!(py, "shape"))? else {
            return Ok(None);
        };
        let Ok(shape) = shape.cast::<PyTuple>() else {
            return Ok(None);
        };
        for length in shape.iter() {
            if !length.eq(1)? {
                return Ok(None);
            }
        }
        object.call_method0(intern!(py, "item")).map(Some)
    };
    Ok(harmless(py, read())?
        .flatten()
        .and_then(|element| scalar(&element)))
}
