//! Random trace and span ids.
//!
//! Each thread has its own generator, seeded by the operating system and seeded anew in a forked
//! child. A seed that the traced program sets for its own experiments has no influence: two runs
//! with the same seed must not share ids.

use std::cell::RefCell;
use std::hash::{BuildHasher, RandomState};

use lumitrace_model::{SpanId, TraceId};
use rand::rngs::{SmallRng, SysRng};
use rand::{Rng, SeedableRng};

use crate::{clock, fork};

struct Generator {
    generation: u32,
    random: SmallRng,
}

thread_local! {
    static GENERATOR: RefCell<Option<Generator>> = const { RefCell::new(None) };
}

/// A new trace id; never the invalid one.
pub(crate) fn trace_id() -> TraceId {
    loop {
        let [high, low] = words();
        let id = TraceId::from_bytes((u128::from(high) << 64 | u128::from(low)).to_be_bytes());
        if id.is_valid() {
            return id;
        }
    }
}

/// A new span id; never the invalid one.
pub(crate) fn span_id() -> SpanId {
    loop {
        let [word] = words();
        let id = SpanId::from_bytes(word.to_be_bytes());
        if id.is_valid() {
            return id;
        }
    }
}

/// A random number from 0 up to, not including, 1.
pub(crate) fn fraction() -> f64 {
    let [word] = words();
    // 53 bits are what a double holds exactly.
    (word >> 11) as f64 / (1_u64 << 53) as f64
}

fn words<const N: usize>() -> [u64; N] {
    let generation = fork::generation();
    let words = GENERATOR.try_with(|generator| {
        let mut generator = generator.borrow_mut();
        let generator = match &mut *generator {
            Some(known) if known.generation == generation => known,
            slot => slot.insert(Generator {
                generation,
                random: seeded(),
            }),
        };
        std::array::from_fn(|_| generator.random.next_u64())
    });
    // A thread that is ending has lost its generator: a span in a destructor still gets an id.
    words.unwrap_or_else(|_| {
        let mut random = seeded();
        std::array::from_fn(|_| random.next_u64())
    })
}

fn seeded() -> SmallRng {
    SmallRng::try_from_rng(&mut SysRng).unwrap_or_else(|_| {
        // No entropy from the system (a sandbox without the call): std's hash keys and the time.
        let seed = (
            std::process::id(),
            std::thread::current().id(),
            clock::monotonic_nano(),
        );
        SmallRng::seed_from_u64(RandomState::new().hash_one(seed) ^ clock::offset_unix_nano())
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn ids_of_several_threads_never_meet() {
        let threads: Vec<_> = (0..4)
            .map(|_| std::thread::spawn(|| (0..1000).map(|_| trace_id()).collect::<Vec<_>>()))
            .collect();
        let ids: HashSet<_> = threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap())
            .collect();
        assert_eq!(ids.len(), 4000);
    }

    #[test]
    fn fractions_stay_below_one() {
        assert!(
            (0..1000)
                .map(|_| fraction())
                .all(|fraction| (0.0..1.0).contains(&fraction))
        );
    }
}
