//! A barrier of which one side costs nothing and the other a system call (membarrier(2)).

/// Prepares this process for [`heavy`]; returns whether the system can do it. To be called again in a
/// forked child.
#[cfg(all(target_os = "linux", not(miri)))]
pub(crate) fn register() -> bool {
    call(libc::MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED)
}

#[cfg(not(all(target_os = "linux", not(miri))))]
pub(crate) fn register() -> bool {
    false
}

/// The side that costs nothing: keeps the compiler from moving reads and writes across it.
#[inline]
pub(super) fn light() {
    std::sync::atomic::compiler_fence(std::sync::atomic::Ordering::SeqCst);
}

/// The other side: all threads of this process have passed a full barrier when it returns. To be called
/// only where [`register`] has succeeded.
///
/// # Panics
/// The system refuses what it has promised.
#[cfg(all(target_os = "linux", not(miri)))]
pub(super) fn heavy() {
    let is_done = call(libc::MEMBARRIER_CMD_PRIVATE_EXPEDITED);
    // Going on would be a data race.
    assert!(
        is_done,
        "membarrier fails: {}",
        std::io::Error::last_os_error()
    );
}

#[cfg(not(all(target_os = "linux", not(miri))))]
pub(super) fn heavy() {
    unreachable!("nothing is biased where it cannot be registered");
}

#[cfg(all(target_os = "linux", not(miri)))]
fn call(command: libc::c_int) -> bool {
    // SAFETY: the call has no memory of ours in hand.
    unsafe { libc::syscall(libc::SYS_membarrier, command, 0, 0) == 0 }
}
