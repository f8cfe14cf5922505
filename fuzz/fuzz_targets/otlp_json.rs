//! Any text either decodes or is refused, and what decodes survives encoding again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use lumitrace_wire::{DecodeLimits, otlp::json};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(traces) = json::decode_traces(bytes, &DecodeLimits::default()) {
        let encoded = json::encode_traces(&traces.resource_spans);
        let again = json::decode_traces(&encoded, &DecodeLimits::own_data())
            .expect("what we encoded must decode");
        // Compared as text: NaN does not equal itself.
        assert_eq!(
            format!("{:?}", again.resource_spans),
            format!("{:?}", traces.resource_spans)
        );
    }
});
