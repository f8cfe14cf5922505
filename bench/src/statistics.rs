//! Percentiles of measured times.

/// The value below which the share `quantile` (0 to 1) of the sorted `values` lies, by nearest rank.
///
/// # Panics
/// `values` is empty.
pub(crate) fn percentile(values: &[f64], quantile: f64) -> f64 {
    let rank = (values.len() as f64 * quantile).ceil() as usize;
    values[rank.clamp(1, values.len()) - 1]
}

/// Sorts measured times.
pub(crate) fn sorted(mut values: Vec<f64>) -> Vec<f64> {
    values.sort_by(f64::total_cmp);
    values
}

/// The numbers of a hundred traces, evenly among `traces`: those that both sides of a comparison are
/// asked for.
pub(crate) fn asked_traces(traces: u64) -> impl Iterator<Item = u64> {
    (0..100).map(move |index| traces * index / 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_measured() {
        assert_eq!(percentile(&[1.0, 2.0, 3.0, 4.0], 0.5), 2.0);
        assert_eq!(percentile(&[1.0, 2.0, 3.0, 4.0], 0.99), 4.0);
    }
}
