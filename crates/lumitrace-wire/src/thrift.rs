//! Thrift's two encodings, as far as Jaeger needs them (apache/thrift, `doc/specs`:
//! `thrift-compact-protocol.md`, `thrift-binary-protocol.md`).
//!
//! A [`Writer`] appends the fields of structures to one buffer, nested ones in place.

/// How the fields of a structure become bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Encoding {
    /// Small numbers take few bytes: for datagrams.
    Compact,
    /// Numbers take the bytes of their type: for HTTP.
    Binary,
}

/// The types of fields, with their numbers in either encoding.
#[derive(Debug, Clone, Copy)]
enum Type {
    Bool,
    I32,
    I64,
    Double,
    String,
    List,
    Struct,
}

impl Type {
    /// The number in the compact encoding. A field that is true has 1 and one that is false 2, so
    /// that it needs no value.
    fn compact(self) -> u8 {
        match self {
            Type::Bool => 1,
            Type::I32 => 5,
            Type::I64 => 6,
            Type::Double => 7,
            Type::String => 8,
            Type::List => 9,
            Type::Struct => 12,
        }
    }

    fn binary(self) -> u8 {
        match self {
            Type::Bool => 2,
            Type::Double => 4,
            Type::I32 => 8,
            Type::I64 => 10,
            Type::String => 11,
            Type::Struct => 12,
            Type::List => 15,
        }
    }
}

/// Ends a structure, in either encoding.
const STOP: u8 = 0;

/// Appends fields to a buffer. Numbers of fields rise within a structure, as those of all structures
/// written here do.
#[derive(Debug)]
pub(crate) struct Writer {
    encoding: Encoding,
    bytes: Vec<u8>,
    /// The compact encoding says how far a field's number lies from this one's.
    last_field: i16,
}

impl Writer {
    pub(crate) fn new(encoding: Encoding) -> Self {
        Self {
            encoding,
            bytes: Vec::new(),
            last_field: 0,
        }
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// The beginning of a call that nobody answers; its arguments follow as one structure.
    pub(crate) fn oneway_call(&mut self, method: &str) {
        const ONEWAY: u8 = 4;
        match self.encoding {
            Encoding::Compact => {
                const PROTOCOL_ID: u8 = 0x82;
                const VERSION: u8 = 1;
                // The last byte is the number of the call: without answers, all may have the same.
                self.bytes
                    .extend([PROTOCOL_ID, ONEWAY << 5 | VERSION, 0_u8]);
                self.length_and_bytes(method.as_bytes());
            }
            Encoding::Binary => {
                const VERSION_1: u32 = 0x8001_0000;
                self.bytes
                    .extend((VERSION_1 | u32::from(ONEWAY)).to_be_bytes());
                self.length_and_bytes(method.as_bytes());
                self.bytes.extend(0_i32.to_be_bytes());
            }
        }
    }

    /// A structure that is no field of another: a whole message, or an item of a list.
    pub(crate) fn structure(&mut self, write: impl FnOnce(&mut Self)) {
        let outer = std::mem::take(&mut self.last_field);
        write(self);
        self.bytes.push(STOP);
        self.last_field = outer;
    }

    /// What was written elsewhere, by a writer of the same encoding.
    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    pub(crate) fn bool_field(&mut self, field: i16, value: bool) {
        match self.encoding {
            Encoding::Compact => {
                let value_type = if value { 1 } else { 2 };
                self.compact_field(field, value_type);
            }
            Encoding::Binary => {
                self.field(field, Type::Bool);
                self.bytes.push(u8::from(value));
            }
        }
    }

    pub(crate) fn i32_field(&mut self, field: i16, value: i32) {
        self.field(field, Type::I32);
        match self.encoding {
            Encoding::Compact => self.varint(zigzag(value.into())),
            Encoding::Binary => self.bytes.extend(value.to_be_bytes()),
        }
    }

    pub(crate) fn i64_field(&mut self, field: i16, value: i64) {
        self.field(field, Type::I64);
        match self.encoding {
            Encoding::Compact => self.varint(zigzag(value)),
            Encoding::Binary => self.bytes.extend(value.to_be_bytes()),
        }
    }

    pub(crate) fn double_field(&mut self, field: i16, value: f64) {
        self.field(field, Type::Double);
        match self.encoding {
            // So the specification has it: the two encodings differ in the order, too.
            Encoding::Compact => self.bytes.extend(value.to_le_bytes()),
            Encoding::Binary => self.bytes.extend(value.to_be_bytes()),
        }
    }

    /// A field of text or of bytes.
    pub(crate) fn string_field(&mut self, field: i16, value: impl AsRef<[u8]>) {
        self.field(field, Type::String);
        self.length_and_bytes(value.as_ref());
    }

    pub(crate) fn structure_field(&mut self, field: i16, write: impl FnOnce(&mut Self)) {
        self.field(field, Type::Struct);
        self.structure(write);
    }

    /// A field that is a structure written elsewhere, by a writer of the same encoding.
    pub(crate) fn encoded_structure_field(&mut self, field: i16, bytes: &[u8]) {
        self.field(field, Type::Struct);
        self.raw(bytes);
    }

    /// The beginning of a field that is a list of so many structures, which follow.
    pub(crate) fn structures_field(&mut self, field: i16, count: usize) {
        self.field(field, Type::List);
        match self.encoding {
            Encoding::Compact if count < 15 => {
                self.bytes.push((count as u8) << 4 | Type::Struct.compact());
            }
            Encoding::Compact => {
                self.bytes.push(0xf0 | Type::Struct.compact());
                self.varint(count as u64);
            }
            Encoding::Binary => {
                self.bytes.push(Type::Struct.binary());
                self.bytes.extend((count as u32).to_be_bytes());
            }
        }
    }

    fn field(&mut self, field: i16, field_type: Type) {
        match self.encoding {
            Encoding::Compact => self.compact_field(field, field_type.compact()),
            Encoding::Binary => {
                self.bytes.push(field_type.binary());
                self.bytes.extend(field.to_be_bytes());
            }
        }
    }

    fn compact_field(&mut self, field: i16, type_number: u8) {
        let step = field - self.last_field;
        if (1..=15).contains(&step) {
            self.bytes.push((step as u8) << 4 | type_number);
        } else {
            self.bytes.push(type_number);
            self.varint(zigzag(field.into()));
        }
        self.last_field = field;
    }

    fn length_and_bytes(&mut self, value: &[u8]) {
        match self.encoding {
            Encoding::Compact => self.varint(value.len() as u64),
            Encoding::Binary => self.bytes.extend((value.len() as u32).to_be_bytes()),
        }
        self.bytes.extend_from_slice(value);
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.bytes.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.bytes.push(value as u8);
    }
}

/// Numbers near zero, negative ones too, as small ones.
fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

/// Any structure as apache/thrift's own library reads it: an independent reader for the tests here
/// and of the formats above.
#[cfg(test)]
pub(crate) mod reading {
    use std::collections::BTreeMap;

    use thrift::protocol::{
        TBinaryInputProtocol, TCompactInputProtocol, TInputProtocol, TMessageType, TType,
    };

    use super::Encoding;

    #[derive(Debug, Clone, PartialEq)]
    pub(crate) enum Read {
        Bool(bool),
        Int(i64),
        Double(f64),
        /// Text or bytes.
        Bytes(Vec<u8>),
        List(Vec<Read>),
        Struct(BTreeMap<i16, Read>),
    }

    impl Read {
        /// The field `number` of a structure.
        pub(crate) fn field(&self, number: i16) -> Option<&Read> {
            match self {
                Read::Struct(fields) => fields.get(&number),
                other => panic!("{other:?} is no structure"),
            }
        }

        pub(crate) fn items(&self) -> &[Read] {
            match self {
                Read::List(items) => items,
                other => panic!("{other:?} is no list"),
            }
        }

        pub(crate) fn text(&self) -> &str {
            match self {
                Read::Bytes(bytes) => std::str::from_utf8(bytes).unwrap(),
                other => panic!("{other:?} is no text"),
            }
        }

        pub(crate) fn int(&self) -> i64 {
            match self {
                Read::Int(int) => *int,
                other => panic!("{other:?} is no integer"),
            }
        }
    }

    /// The one structure in `bytes`, which it fills.
    pub(crate) fn structure(encoding: Encoding, bytes: &[u8]) -> Read {
        let mut rest = bytes;
        let read = value(&mut *protocol(encoding, &mut rest), TType::Struct);
        assert!(rest.is_empty(), "{} bytes are left over", rest.len());
        read
    }

    /// The name of the method that the message in `bytes` calls without waiting for an answer, and
    /// its arguments.
    pub(crate) fn oneway_call(encoding: Encoding, bytes: &[u8]) -> (String, Read) {
        let mut rest = bytes;
        let (name, arguments) = {
            let mut protocol = protocol(encoding, &mut rest);
            let message = protocol.read_message_begin().unwrap();
            assert_eq!(message.message_type, TMessageType::OneWay);
            let arguments = value(&mut *protocol, TType::Struct);
            protocol.read_message_end().unwrap();
            (message.name, arguments)
        };
        assert!(rest.is_empty(), "{} bytes are left over", rest.len());
        (name, arguments)
    }

    fn protocol<'a>(encoding: Encoding, bytes: &'a mut &[u8]) -> Box<dyn TInputProtocol + 'a> {
        match encoding {
            Encoding::Compact => Box::new(TCompactInputProtocol::new(bytes)),
            Encoding::Binary => Box::new(TBinaryInputProtocol::new(bytes, true)),
        }
    }

    fn value(protocol: &mut dyn TInputProtocol, value_type: TType) -> Read {
        match value_type {
            TType::Bool => Read::Bool(protocol.read_bool().unwrap()),
            TType::I32 => Read::Int(protocol.read_i32().unwrap().into()),
            TType::I64 => Read::Int(protocol.read_i64().unwrap()),
            TType::Double => Read::Double(protocol.read_double().unwrap()),
            TType::String => Read::Bytes(protocol.read_bytes().unwrap()),
            TType::List => {
                let list = protocol.read_list_begin().unwrap();
                let items = (0..list.size).map(|_| value(protocol, list.element_type));
                Read::List(items.collect())
            }
            TType::Struct => {
                let mut fields = BTreeMap::new();
                protocol.read_struct_begin().unwrap();
                loop {
                    let field = protocol.read_field_begin().unwrap();
                    if field.field_type == TType::Stop {
                        break;
                    }
                    let read = value(protocol, field.field_type);
                    protocol.read_field_end().unwrap();
                    fields.insert(field.id.unwrap(), read);
                }
                protocol.read_struct_end().unwrap();
                Read::Struct(fields)
            }
            other => panic!("{other:?} is not written here"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::reading::Read;
    use super::*;
    use proptest::prelude::*;

    /// What is written as a field, and what is read back.
    fn write(writer: &mut Writer, field: i16, value: &Read) {
        match value {
            Read::Bool(value) => writer.bool_field(field, *value),
            Read::Int(value) => writer.i64_field(field, *value),
            Read::Double(value) => writer.double_field(field, *value),
            Read::Bytes(value) => writer.string_field(field, value),
            Read::List(items) => {
                writer.structures_field(field, items.len());
                items.iter().for_each(|item| write_structure(writer, item));
            }
            Read::Struct(_) => {
                writer.field(field, Type::Struct);
                write_structure(writer, value);
            }
        }
    }

    fn write_structure(writer: &mut Writer, value: &Read) {
        let Read::Struct(fields) = value else {
            panic!("{value:?} is no structure");
        };
        writer.structure(|writer| {
            fields
                .iter()
                .for_each(|(field, value)| write(writer, *field, value));
        });
    }

    fn structures() -> impl Strategy<Value = Read> {
        let leaf = prop_oneof![
            any::<bool>().prop_map(Read::Bool),
            any::<i64>().prop_map(Read::Int),
            any::<f64>().prop_map(Read::Double),
            prop::collection::vec(any::<u8>(), 0..200).prop_map(Read::Bytes),
        ];
        let fields = |value: BoxedStrategy<Read>| {
            prop::collection::btree_map(1_i16..200, value, 0..5).prop_map(Read::Struct)
        };
        let flat = fields(leaf.clone().boxed());
        flat.prop_recursive(3, 40, 20, move |inner| {
            let list = prop::collection::vec(inner.clone(), 0..20).prop_map(Read::List);
            fields(prop_oneof![leaf.clone(), inner, list].boxed())
        })
    }

    proptest! {
        #[test]
        fn c22_a22_thrifts_own_library_reads_what_is_written(written in structures()) {
            for encoding in [Encoding::Compact, Encoding::Binary] {
                let mut writer = Writer::new(encoding);
                write_structure(&mut writer, &written);
                let read = reading::structure(encoding, &writer.into_bytes());
                // In a form in which NaN equals itself.
                prop_assert_eq!(format!("{read:?}"), format!("{written:?}"));
            }
        }
    }

    #[test]
    fn c22_a_call_without_answer_names_its_method() {
        for encoding in [Encoding::Compact, Encoding::Binary] {
            let mut writer = Writer::new(encoding);
            writer.oneway_call("emitBatch");
            writer.structure(|arguments| arguments.i32_field(1, -3));
            let (method, arguments) = reading::oneway_call(encoding, &writer.into_bytes());
            assert_eq!(method, "emitBatch");
            assert_eq!(arguments.field(1), Some(&Read::Int(-3)));
        }
    }

    #[test]
    fn c22_the_compact_form_of_a_small_call_is_as_specified() {
        let mut writer = Writer::new(Encoding::Compact);
        writer.oneway_call("e");
        writer.structure(|arguments| {
            arguments.structure_field(1, |batch| batch.bool_field(2, true));
        });
        let bytes = [0x82, 0x81, 0, 1, b'e', 0x1c, 0x21, 0, 0];
        assert_eq!(writer.into_bytes(), bytes);
    }
}
