//! Places at which a test can end the process, as a kill at that moment would: one for every step of
//! what has to survive it. Outside of this crate's own tests they are nothing.

/// The names of the threads that come by. A store is opened by a thread of its caller, which has this name
/// in the tests that end it.
#[cfg(test)]
pub(crate) mod thread_name {
    pub(crate) const LOG: &str = "lumitrace-log";
    pub(crate) const FLUSH: &str = "lumitrace-flush";
    pub(crate) const COMPACT: &str = "lumitrace-compact";
    pub(crate) const REPLAY: &str = "lumitrace-replay";
    pub(crate) const OPEN: &str = "open";
}
#[cfg(test)]
use thread_name::{COMPACT, FLUSH, LOG, OPEN, REPLAY};

/// Defines the places, each with the threads that come by, so that none can be left out of `ALL`.
macro_rules! failpoints {
    ($($(#[doc = $doc:expr])* $name:ident by $threads:expr,)*) => {
        /// A step that has just been done.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Failpoint {
            $($(#[doc = $doc])* $name,)*
        }

        #[cfg(test)]
        impl Failpoint {
            /// All of them, with the names of the threads that come by.
            pub(crate) const ALL: &[(Self, &[&str])] = &[$((Self::$name, &$threads),)*];
        }
    };
}

failpoints! {
    /// A group is ready to be written.
    GroupEncoded by [LOG],
    /// It is written, but not synced.
    GroupWritten by [LOG],
    /// It is synced, but not in memory.
    GroupSynced by [LOG],
    /// A batch can be found, but is not acknowledged.
    BatchInserted by [LOG],
    /// A full segment is cut to size.
    SegmentCut by [LOG],
    /// A new segment is an empty file.
    SegmentCreated by [LOG],
    /// It has a header, which is not synced.
    SegmentHeaderWritten by [LOG],
    /// A spare file cannot get its old name back.
    SpareNamed by [LOG],
    /// It has the header of another segment, which is not synced.
    SpareHeaderWritten by [LOG],
    /// The header is synced.
    SpareHeaderSynced by [LOG],
    /// The file has the name of the segment that it is now.
    SpareRenamed by [LOG],
    /// A segment is ready for frames.
    SegmentBegun by [LOG],
    /// A block's file of rows is written and synced, under a temporary name.
    BlockDataWritten by [FLUSH, COMPACT, REPLAY],
    /// Its index too.
    BlockIndexWritten by [FLUSH, COMPACT, REPLAY],
    /// Its large values have their name, which only blocks that have any come by.
    BlockPayloadRenamed by [FLUSH, COMPACT, REPLAY],
    /// The index has its name, the rows have not.
    BlockIndexRenamed by [FLUSH, COMPACT, REPLAY],
    /// Both have.
    BlockDataRenamed by [FLUSH, COMPACT, REPLAY],
    /// The names are synced; no record says that the block counts.
    BlockNamed by [FLUSH, COMPACT, REPLAY],
    /// The record of a block is written, but not synced.
    BlockRecordWritten by [FLUSH, COMPACT, REPLAY],
    /// It is synced, and the block counts.
    BlockRecordSynced by [FLUSH, COMPACT, REPLAY],
    /// A manifest without the history of replaced blocks is written, under a temporary name.
    ManifestWritten by [COMPACT, REPLAY, OPEN],
    /// It has its name, which is not synced.
    ManifestRenamed by [COMPACT, REPLAY, OPEN],
    /// The name is synced.
    ManifestReplaced by [COMPACT, REPLAY, OPEN],
    /// A memtable is replaced by its block; the log still has its records.
    MemtableReplaced by [FLUSH, REPLAY],
    /// A log segment is removed, or spare.
    SegmentFreed by [FLUSH, OPEN],
    /// Blocks are replaced by the one that they were merged into; their files are still there.
    InputsReplaced by [COMPACT],
    /// The record of blocks that were kept long enough is written, but not synced.
    RemovalWritten by [COMPACT],
    /// It is synced; the blocks' files are still there.
    RemovalSynced by [COMPACT],
    /// Of a block that does not count any more, only the index is left.
    BlockDataRemoved by [COMPACT, OPEN],
    /// The last segment, which had no header yet, is removed; its name may come back.
    HeadlessSegmentRemoved by [OPEN],
    /// The end of a log that is to be cut off is copied, but not synced.
    TailCopied by [OPEN],
    /// The copy is there for good.
    TailKeptAside by [OPEN],
    /// The end of a log is cut off, which is not synced.
    TailCut by [OPEN],
    /// It is synced.
    TailCutSynced by [OPEN],
    /// What had a temporary name in the folder of blocks is removed.
    UnfinishedFileRemoved by [OPEN],
    /// A block that never counted is removed.
    StrayBlockRemoved by [OPEN],
    /// An unfinished record at the end of the manifest is cut off, which is not synced.
    RecordCut by [REPLAY, OPEN],
    /// It is synced.
    RecordCutSynced by [REPLAY, OPEN],
    /// An unfinished manifest is removed; the one that counts is whole.
    UnfinishedManifestRemoved by [OPEN],
    /// A file that cannot become a segment again is removed.
    SpareRemoved by [OPEN],
}

/// Says that this thread has come to `point`.
#[cfg(not(test))]
pub(crate) fn reached(_: Failpoint) {}

#[cfg(test)]
pub(crate) use armed::reached;

#[cfg(test)]
pub(crate) mod armed {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::{env, process, thread};

    use super::Failpoint;

    /// Says where this process is to end, in the form of [`place`].
    pub(crate) const PLACE: &str = "FAILPOINT";
    /// At which visit of that place.
    pub(crate) const VISIT: &str = "FAILPOINT_VISIT";

    /// How a place is named.
    pub(crate) fn place(point: Failpoint, thread: &str) -> String {
        format!("{point:?} by {thread}")
    }

    /// Ends the process if this is where it is to end.
    pub(crate) fn reached(point: Failpoint) {
        static ARMED: OnceLock<Option<(String, usize)>> = OnceLock::new();
        static VISITS: AtomicUsize = AtomicUsize::new(0);
        let armed = ARMED.get_or_init(|| {
            let visit = env::var(VISIT).ok()?.parse().ok()?;
            Some((env::var(PLACE).ok()?, visit))
        });
        if let Some((wanted, visit)) = armed
            && *wanted == place(point, thread::current().name().unwrap_or_default())
            && VISITS.fetch_add(1, Ordering::Relaxed) + 1 == *visit
        {
            process::abort();
        }
    }
}
