//! Durations as Go and Jaeger write them: `1h30m`, `1.5s`, `100ms`, `20us`.

const UNITS: [(&str, f64); 8] = [
    ("ns", 1.0),
    ("us", 1e3),
    ("µs", 1e3),
    ("μs", 1e3),
    ("ms", 1e6),
    ("s", 1e9),
    ("m", 60e9),
    ("h", 3600e9),
];

/// The nanoseconds that `text` spells.
pub(super) fn parse_nano(text: &str) -> Option<u64> {
    let mut rest = text.trim();
    if rest == "0" {
        return Some(0);
    }
    let mut total = 0.0;
    while !rest.is_empty() {
        let is_number = |c: char| c.is_ascii_digit() || c == '.';
        let (number, after) = rest.split_at(rest.find(|c| !is_number(c))?);
        let (unit, after) = after.split_at(after.find(is_number).unwrap_or(after.len()));
        let (_, nano) = UNITS.iter().find(|(name, _)| *name == unit)?;
        total += number.parse::<f64>().ok()? * nano;
        rest = after;
    }
    // Beyond 2^53 ns, 104 days, the last digits are rounded.
    (!text.trim().is_empty() && total <= u64::MAX as f64).then_some(total.round() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_go_reads_them() {
        for (text, nano) in [
            ("10ms", 10_000_000),
            ("1.5s", 1_500_000_000),
            ("1h30m", 5_400_000_000_000),
            ("20us", 20_000),
            ("20µs", 20_000),
            ("5ns", 5),
            ("1m1s", 61_000_000_000),
            ("0", 0),
        ] {
            assert_eq!(parse_nano(text), Some(nano), "{text}");
        }
        for text in [
            "", "10", "ms", "-1s", "1 s", "1.2.3s", "1e3s", "1s5", "1parsec",
        ] {
            assert_eq!(parse_nano(text), None, "{text}");
        }
    }
}
