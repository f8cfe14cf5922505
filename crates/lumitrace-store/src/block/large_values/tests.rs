use super::*;
use crate::block::value::LARGE_VALUE_BYTES;

#[test]
fn a_value_is_large_from_one_byte_over_the_limit() {
    let text = "x".repeat(LARGE_VALUE_BYTES + 1);
    for (value, is_large) in [
        (ValueRef::String(&text[1..]), false),
        (ValueRef::String(&text), true),
        (ValueRef::Bytes(&text.as_bytes()[1..]), false),
        (ValueRef::Bytes(text.as_bytes()), true),
        (ValueRef::Int(1), false),
    ] {
        assert_eq!(value.large_bytes().is_some(), is_large);
        assert_eq!(kept_value(value) == value.to_value(), !is_large);
    }
}

#[test]
fn what_is_kept_of_a_text_ends_with_a_whole_character() {
    let text = "x".to_owned() + &"ß".repeat(LARGE_VALUE_BYTES);
    let Value::String(kept) = kept_value(ValueRef::String(&text)) else {
        panic!("another type");
    };
    assert_eq!(kept.len(), KEPT_BYTES - 1);
    assert!(text.starts_with(&*kept));
}

#[test]
fn what_is_kept_of_an_array_or_a_map_is_its_beginning() {
    let message = |number: i64| {
        Value::Map(vec![
            KeyValue::new("number", number),
            KeyValue::new("text", "word ".repeat(50)),
        ])
    };
    let messages = Value::Array((0..100).map(message).collect());
    let Value::Array(kept) = kept_value((&messages).into()) else {
        panic!("another type");
    };
    assert!((2..8).contains(&kept.len()), "{}", kept.len());
    assert_eq!(kept[0], message(0));
    let whole = ValueRef::from(&messages).large_bytes().unwrap();
    assert_eq!(
        whole_value(&Value::Array(kept), whole.into_owned()),
        Some(messages)
    );
    let long_key = Value::Map(vec![KeyValue::new("k".repeat(5000), 1)]);
    assert_eq!(kept_value((&long_key).into()), Value::Map(Vec::new()));
}

#[test]
fn values_of_another_type_than_the_columns_say_are_refused() {
    assert_eq!(whole_value(&Value::Null, Vec::new()), None);
    assert_eq!(whole_value(&Value::from("x"), vec![0xff]), None);
    assert_eq!(whole_value(&Value::Array(Vec::new()), vec![0xff]), None);
}
