//! The spans that are open now, for announcing those that stay open long.
//!
//! A span is entered when it starts and not taken out when it ends: ended ones are swept out in
//! one go when the list has doubled, which costs less than finding each.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use lumitrace_model::{Scope, Span};

use super::shards::Shards;
use crate::recording::{AnnouncementRule, Recording};

/// Lists shorter than this are not swept when a span is entered.
const SWEEP_FROM: usize = 128;

pub(crate) struct OpenSpans {
    /// Whether anybody may want announcements. Until the first answer of a server, one may.
    is_wanted: AtomicBool,
    lists: Shards<OpenList>,
}

#[derive(Default)]
struct OpenList {
    recordings: Vec<Arc<Recording>>,
    sweep_at: usize,
}

impl Default for OpenSpans {
    fn default() -> Self {
        Self {
            is_wanted: AtomicBool::new(true),
            lists: Shards::default(),
        }
    }
}

impl OpenSpans {
    pub(crate) fn insert(&self, recording: &Arc<Recording>) {
        if !self.is_wanted.load(Ordering::Relaxed) {
            return;
        }
        let mut list = self.lists.own().lock();
        if list.recordings.len() >= list.sweep_at.max(SWEEP_FROM) {
            list.sweep();
        }
        list.recordings.push(Arc::clone(recording));
    }

    /// Notes whether anybody wants announcements; where nobody does, spans are not listed.
    pub(crate) fn set_wanted(&self, is_wanted: bool) {
        if self.is_wanted.swap(is_wanted, Ordering::Relaxed) && !is_wanted {
            for list in self.lists.all() {
                let recordings = std::mem::take(&mut list.lock().recordings);
                drop(recordings);
            }
        }
    }

    /// The announcements that are due at `now_nano` of the monotonic clock.
    pub(crate) fn due(
        &self,
        now_nano: u64,
        rule: &AnnouncementRule,
    ) -> Vec<(&'static Scope, Span)> {
        let mut due = Vec::new();
        for list in self.lists.all() {
            let open = {
                let mut list = list.lock();
                list.sweep();
                list.recordings.clone()
            };
            // The list is free again: copying many spans must not hold up those that start.
            for recording in open {
                if let Some(span) = recording.announce(now_nano, rule) {
                    due.push((&recording.instrumentation().scope, span));
                }
            }
        }
        due
    }
}

impl OpenList {
    fn sweep(&mut self) {
        self.recordings.retain(|recording| !recording.has_ended());
        self.sweep_at = self.recordings.len() * 2;
    }
}
