//! Any text either decodes or is refused as metrics, and what decodes survives encoding again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use lumitrace_wire::{DecodeLimits, otlp::json};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(metrics) = json::decode_metrics(bytes, &DecodeLimits::default()) {
        let encoded = json::encode_metrics(&metrics);
        let again = json::decode_metrics(&encoded, &DecodeLimits::own_data())
            .expect("what we encoded must decode");
        // Compared as text: NaN does not equal itself.
        assert_eq!(format!("{again:?}"), format!("{metrics:?}"));
    }
});
