//! Places at which a test can end the process, as a kill at that moment would: one for every step of
//! what has to survive it. Outside of this crate's own tests they are nothing.

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
    GroupEncoded by ["lumitrace-log"],
    /// It is written, but not synced.
    GroupWritten by ["lumitrace-log"],
    /// It is synced, but not in memory.
    GroupSynced by ["lumitrace-log"],
    /// A batch can be found, but is not acknowledged.
    BatchInserted by ["lumitrace-log"],
    /// A full segment is cut to size.
    SegmentCut by ["lumitrace-log"],
    /// A new segment is an empty file.
    SegmentCreated by ["lumitrace-log"],
    /// It has a header, which is not synced.
    SegmentHeaderWritten by ["lumitrace-log"],
    /// A spare file cannot get its old name back.
    SpareNamed by ["lumitrace-log"],
    /// It has the header of another segment, which is not synced.
    SpareHeaderWritten by ["lumitrace-log"],
    /// The header is synced.
    SpareHeaderSynced by ["lumitrace-log"],
    /// The file has the name of the segment that it is now.
    SpareRenamed by ["lumitrace-log"],
    /// A segment is ready for frames.
    SegmentBegun by ["lumitrace-log"],
    /// A block's file of rows is written and synced, under a temporary name.
    BlockDataWritten by ["lumitrace-flush", "lumitrace-compact"],
    /// Its index too.
    BlockIndexWritten by ["lumitrace-flush", "lumitrace-compact"],
    /// Its large values have their name, which only blocks that have any come by.
    BlockPayloadRenamed by ["lumitrace-flush", "lumitrace-compact"],
    /// The index has its name, the rows have not.
    BlockIndexRenamed by ["lumitrace-flush", "lumitrace-compact"],
    /// Both have.
    BlockDataRenamed by ["lumitrace-flush", "lumitrace-compact"],
    /// The names are synced; no record says that the block counts.
    BlockNamed by ["lumitrace-flush", "lumitrace-compact"],
    /// The record of a block is written, but not synced.
    BlockRecordWritten by ["lumitrace-flush", "lumitrace-compact"],
    /// It is synced, and the block counts.
    BlockRecordSynced by ["lumitrace-flush", "lumitrace-compact"],
    /// A manifest without the history of replaced blocks is written, under a temporary name.
    ManifestWritten by ["lumitrace-compact"],
    /// It has its name, which is not synced.
    ManifestRenamed by ["lumitrace-compact"],
    /// The name is synced.
    ManifestReplaced by ["lumitrace-compact"],
    /// A memtable is replaced by its block; the log still has its records.
    MemtableReplaced by ["lumitrace-flush"],
    /// A log segment is removed, or spare.
    SegmentFreed by ["lumitrace-flush"],
    /// Blocks are replaced by the one that they were merged into; their files are still there.
    InputsReplaced by ["lumitrace-compact"],
    /// The record of blocks that were kept long enough is written, but not synced.
    RemovalWritten by ["lumitrace-compact"],
    /// It is synced; the blocks' files are still there.
    RemovalSynced by ["lumitrace-compact"],
    /// Of a block that does not count any more, only the index is left.
    BlockDataRemoved by ["lumitrace-compact"],
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
