//! Recognising requests that are sent again because their answer got lost.
//!
//! A sender that retries sends the same bytes. While a memtable has their spans they are stored once all
//! the same; at full speed that is for less than a second, and a sender comes again after several. So the
//! log's thread remembers requests by a hash of their bytes, and answers what it knows as it did before.

use std::collections::{HashMap, VecDeque};
use std::hash::RandomState;
use std::sync::LazyLock;

use twox_hash::XxHash3_128;

use crate::append::AppendReceipt;

/// Requests that are remembered at most: at 600 in a second two minutes, in about 7 MiB.
const MAX_REQUESTS: usize = 1 << 16;
/// For how long one is remembered: exporters give up sooner, and whoever sends the same later means it.
const MAX_AGE_NANO: u64 = 600_000_000_000;

/// What tells one request from others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct RetryKey(u128);

impl RetryKey {
    /// Of the bytes of a request. Nobody outside of this process knows the seed, so that no sender can
    /// make bytes that pass for another's.
    pub(crate) fn of(payload: &[u8]) -> Self {
        static SEED: LazyLock<u64> = LazyLock::new(|| {
            use std::hash::BuildHasher;
            RandomState::new().hash_one(0_u8)
        });
        Self(XxHash3_128::oneshot_with_seed(*SEED, payload))
    }
}

/// The requests that were acknowledged last.
#[derive(Debug, Default)]
pub(crate) struct RecentRequests {
    answers: HashMap<RetryKey, AppendReceipt>,
    /// Oldest first.
    received: VecDeque<(u64, RetryKey)>,
}

impl RecentRequests {
    /// How a request that comes at `now_unix_nano` was answered before, if it was.
    pub(crate) fn answer_of(&mut self, key: RetryKey, now_unix_nano: u64) -> Option<AppendReceipt> {
        let is_old = |received: u64| now_unix_nano.saturating_sub(received) > MAX_AGE_NANO;
        while let Some((_, oldest)) = self.received.pop_front_if(|(it, _)| is_old(*it)) {
            self.answers.remove(&oldest);
        }
        self.answers.get(&key).copied()
    }

    /// Remembers how a request was answered.
    pub(crate) fn remember(
        &mut self,
        key: RetryKey,
        received_unix_nano: u64,
        answer: AppendReceipt,
    ) {
        if self.answers.insert(key, answer).is_some() {
            // It came twice at once, or was held no more. The time of the first counts.
            return;
        }
        self.received.push_back((received_unix_nano, key));
        if self.received.len() > MAX_REQUESTS
            && let Some((_, oldest)) = self.received.pop_front()
        {
            self.answers.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(first_seq: u64) -> AppendReceipt {
        AppendReceipt {
            record_count: 1,
            first_seq,
        }
    }

    #[test]
    fn a_request_is_known_by_its_bytes_for_ten_minutes() {
        let mut recent = RecentRequests::default();
        let (one, other) = (RetryKey::of(b"one"), RetryKey::of(b"other"));
        assert_eq!(recent.answer_of(one, 5), None);
        recent.remember(one, 5, answer(7));
        assert_eq!(recent.answer_of(RetryKey::of(b"one"), 6), Some(answer(7)));
        assert_eq!(recent.answer_of(other, 6), None);
        assert_eq!(recent.answer_of(one, 5 + MAX_AGE_NANO), Some(answer(7)));
        assert_eq!(recent.answer_of(one, 6 + MAX_AGE_NANO), None);
        assert!(recent.received.is_empty());
        // A clock that was set back makes nothing old.
        recent.remember(one, 100, answer(8));
        assert_eq!(recent.answer_of(one, 3), Some(answer(8)));
    }

    #[test]
    fn no_more_requests_are_remembered_than_there_is_room_for() {
        let mut recent = RecentRequests::default();
        let key = |number: u64| RetryKey::of(&number.to_be_bytes());
        for number in 0..MAX_REQUESTS as u64 + 10 {
            recent.remember(key(number), number, answer(number));
        }
        assert_eq!(recent.answers.len(), MAX_REQUESTS);
        assert_eq!(recent.answer_of(key(9), 20), None);
        assert_eq!(recent.answer_of(key(10), 20), Some(answer(10)));
    }
}
