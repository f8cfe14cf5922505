//! The way in for fuzzers: bytes of any kind, handed to the readers of what is kept of training runs.
//!
//! Not an API: it is compiled only for the crate's own tests and with the feature `fuzzing`, and may
//! change at any time. The store's checksums lie before these readers, so that only a bug in a writer, or
//! someone with the folder in hand, gets that far.

use crate::training::RunId;
use crate::training::block_runs::BlockRuns;
use crate::training::digest::RunDigest;
use crate::training::fold::RunFold;
use crate::training::recognition::TrainingNames;
use crate::training::step_columns::StepColumns;

/// Reads what a block keeps of its runs, and makes one of all of them. Returns how many there are; none
/// if it is something else.
pub fn read_block_runs(bytes: &[u8]) -> Option<usize> {
    let found = BlockRuns::decode(bytes)?;
    let again = postcard::to_stdvec(&found).expect("it was read");
    assert!(BlockRuns::decode(&again).is_some());
    let runs = found.runs.len();
    let mut all = RunDigest::default();
    for run in found.runs {
        all.merge(run.digest.clone());
        all.merge(run.digest);
    }
    for now in [0, 1_700_000_000_000_000_000, u64::MAX] {
        all.summary(RunId(1), now);
    }
    Some(runs)
}

/// Reads the steps of a run, and draws their curves. Returns how many steps there are; none if it is
/// something else, or its columns do not fit together.
pub fn read_steps(bytes: &[u8]) -> Option<usize> {
    let columns = StepColumns::decode(bytes)?;
    let again = postcard::to_stdvec(&columns).expect("it was read");
    let second = StepColumns::decode(&again).expect("it was written");
    // Compared as bytes: NaN is unlike itself.
    assert_eq!(postcard::to_stdvec(&second).ok(), Some(again));
    let mut fold = RunFold::new(TrainingNames::default());
    fold.add_steps(&columns)?;
    fold.visit_curves(&[], &mut |_| {});
    Some(columns.steps()?.len())
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::Index;

    use super::*;
    use crate::fixture::{append, span, store};

    const STEPS: u64 = 19;

    /// What is kept of the spans of a run: its digest, and its steps.
    static KEPT: LazyLock<(Vec<u8>, Vec<u8>)> = LazyLock::new(|| {
        let (_dir, store) = store();
        let step = |id| span("batch", id).with("step", id as i64).with("loss", 0.5);
        let epoch = span("epoch", 100).with("epoch", 1).with("val_loss", 0.25);
        append(&store, (1..=STEPS).map(step).chain([epoch]));
        store.flush().unwrap();
        let digest = store.digests().unwrap().remove(0);
        let steps = digest.parts().unwrap().part(0).unwrap();
        (digest.bytes().to_vec(), steps)
    });

    #[test]
    fn what_is_kept_of_a_run_is_read_whole() {
        assert_eq!(read_block_runs(&KEPT.0), Some(1));
        assert_eq!(read_steps(&KEPT.1), Some(STEPS as usize));
    }

    proptest! {
        #[test]
        fn changed_bytes_are_read_or_refused(changes in vec((any::<Index>(), any::<u8>()), 1..6)) {
            let (mut runs, mut steps) = KEPT.clone();
            for bytes in [&mut runs, &mut steps] {
                for (place, byte) in &changes {
                    let place = place.index(bytes.len());
                    bytes[place] = *byte;
                }
            }
            read_block_runs(&runs);
            read_steps(&steps);
        }
    }
}
