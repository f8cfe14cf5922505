//! Prints the entropy bound of the benchmark's spans: what no lossless store can go below.
//! `{"bytes_per_span", "bits": {part: bits a span}}`.

use lumitrace_server::generate::shape::benchmark::entropy_bits;

/// Prints it.
pub(crate) fn run() -> anyhow::Result<()> {
    let parts = entropy_bits();
    let bits: f64 = parts.iter().map(|(_, bits)| bits).sum();
    let parts: serde_json::Map<String, serde_json::Value> = parts
        .into_iter()
        .map(|(part, bits)| (part.to_owned(), bits.into()))
        .collect();
    let report = serde_json::json!({ "bytes_per_span": bits / 8.0, "bits": parts });
    #[allow(clippy::print_stdout, reason = "the line is the program's result")]
    {
        println!("{report}");
    }
    Ok(())
}
