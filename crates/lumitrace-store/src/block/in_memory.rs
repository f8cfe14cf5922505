//! Reading what the system has in memory, and telling it early of what has to come from the disk.
//!
//! Who reads a hundred small pieces of a file that is not in memory waits for the disk a hundred times,
//! though a disk has answered all of them about as soon as one. To tell the system of each piece first
//! costs a call for each, which is for nothing where everything is in memory. So a read finds out
//! whether it would have to wait, and its caller tells of the rest only then. On systems other than
//! Linux nobody finds out: each piece is waited for.

use std::fs::File;
use std::io;

/// Fills `bytes` from `offset` of the file, for as long as the system need not wait for the disk.
/// Returns how many bytes that were, none if the system or the file system cannot say.
#[cfg(target_os = "linux")]
pub(super) fn read_in_memory(file: &File, bytes: &mut [u8], offset: u64) -> usize {
    use rustix::io::ReadWriteFlags;
    let mut read = 0;
    while read < bytes.len() {
        let rest = &mut [io::IoSliceMut::new(&mut bytes[read..])];
        let position = offset + read as u64;
        match rustix::io::preadv2(file, rest, position, ReadWriteFlags::NOWAIT) {
            // Also where the file ends. What there is to say of it says the read that may wait.
            Ok(0) | Err(_) => break,
            Ok(more) => read += more,
        }
    }
    read
}

#[cfg(not(target_os = "linux"))]
pub(super) fn read_in_memory(_: &File, _: &mut [u8], _: u64) -> usize {
    0
}

/// Tells the system that `len` bytes from `offset` on are about to be read.
#[cfg(target_os = "linux")]
pub(super) fn will_need(file: &File, offset: u64, len: usize) -> io::Result<()> {
    use std::num::NonZeroU64;
    let Some(len) = NonZeroU64::new(len as u64) else {
        return Ok(());
    };
    Ok(rustix::fs::fadvise(
        file,
        offset,
        Some(len),
        rustix::fs::Advice::WillNeed,
    )?)
}

#[cfg(not(target_os = "linux"))]
pub(super) fn will_need(_: &File, _: u64, _: usize) -> io::Result<()> {
    Ok(())
}

/// Lets go of what the system has of a synced file in memory, where it can.
#[cfg(all(test, target_os = "linux"))]
pub(super) fn forget(file: &File) -> io::Result<()> {
    Ok(rustix::fs::fadvise(
        file,
        0,
        None,
        rustix::fs::Advice::DontNeed,
    )?)
}

#[cfg(all(test, not(target_os = "linux")))]
pub(super) fn forget(_: &File) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn what_is_in_memory_is_the_beginning_of_what_was_asked_for() {
        let content: Vec<u8> = (0..100_000_u32)
            .map(|number| (number % 251) as u8)
            .collect();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&content).unwrap();
        file.sync_data().unwrap();
        for is_cold in [false, true] {
            for (offset, len) in [(0, 10), (5_000, 70_000), (99_000, 5_000), (200_000, 1)] {
                if is_cold {
                    forget(&file).unwrap();
                    will_need(&file, offset, len).unwrap();
                }
                let mut bytes = vec![0; len];
                let read = read_in_memory(&file, &mut bytes, offset);
                let wanted = content.get(offset as usize..).unwrap_or_default();
                assert!(read <= wanted.len().min(len));
                assert_eq!(bytes[..read], wanted[..read]);
            }
        }
    }
}
