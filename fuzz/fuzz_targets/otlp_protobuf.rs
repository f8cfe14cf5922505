//! Any bytes either decode or are refused, and what decodes survives encoding again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use lumitrace_wire::{DecodeLimits, otlp::protobuf};

fuzz_target!(|bytes: &[u8]| {
    let limits = DecodeLimits::default();
    if let Ok(traces) = protobuf::decode_traces(bytes, &limits) {
        let encoded = protobuf::encode_traces(&traces.resource_spans);
        let again = protobuf::decode_traces(&encoded, &DecodeLimits::own_data())
            .expect("what we encoded must decode");
        // Compared as text: NaN does not equal itself.
        assert_eq!(
            format!("{:?}", again.resource_spans),
            format!("{:?}", traces.resource_spans)
        );
    }
});
