//! The write-ahead log: what makes an acknowledgement true.
//!
//! In reading order: [`frame`] is one batch in the log, [`segment`] a file of frames, [`segments`]
//! the list of those files, [`queue`] where batches wait, [`writer`] the thread that writes them,
//! [`recovery`] what reads them back when the store is opened, [`survey`] what reads them for
//! people. The bytes are described in `docs/formats/store.md`.

pub(crate) mod frame;
pub(crate) mod queue;
pub(crate) mod recovery;
pub(crate) mod segment;
pub(crate) mod segments;
pub(crate) mod survey;
pub(crate) mod writer;
