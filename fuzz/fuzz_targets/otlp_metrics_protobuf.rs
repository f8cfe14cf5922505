//! Any bytes either decode or are refused as metrics, and what decodes survives encoding again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use lumitrace_wire::{DecodeLimits, otlp::protobuf};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(metrics) = protobuf::decode_metrics(bytes, &DecodeLimits::default()) {
        let encoded = protobuf::encode_metrics(&metrics);
        let again = protobuf::decode_metrics(&encoded, &DecodeLimits::own_data())
            .expect("what we encoded must decode");
        // Compared as text: NaN does not equal itself.
        assert_eq!(format!("{again:?}"), format!("{metrics:?}"));
    }
});
