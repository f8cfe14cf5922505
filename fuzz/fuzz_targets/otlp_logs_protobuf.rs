//! Any bytes either decode or are refused as log records, and what decodes survives encoding again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use lumitrace_wire::{DecodeLimits, otlp::protobuf};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(logs) = protobuf::decode_logs(bytes, &DecodeLimits::default()) {
        let encoded = protobuf::encode_logs(&logs);
        let again = protobuf::decode_logs(&encoded, &DecodeLimits::own_data())
            .expect("what we encoded must decode");
        // Compared as text: NaN does not equal itself.
        assert_eq!(format!("{again:?}"), format!("{logs:?}"));
    }
});
