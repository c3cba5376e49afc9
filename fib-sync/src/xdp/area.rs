//! Memory shared with the kernel: an array map mapped into this process, as a slice of atomic words.
//!
//! A BPF array map made with `BPF_F_MMAPABLE` has its values in pages that user space may map (`Documentation/bpf/map_array.rst`),
//! so a write is a store, not a system call. The programs read the same words at any time; hence atomics everywhere.

use std::io;
use std::ops::Deref;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64};

/// Words that any bit pattern is valid for, and that may be shared with somebody who reads and writes them at any time.
pub(super) trait Word: Sync {}
impl Word for AtomicU32 {}
impl Word for AtomicU64 {}

/// Mapped pages as a slice of words; unmapped when dropped.
pub(super) struct Area<W> {
    base: NonNull<W>,
    words: usize,
}

// SAFETY: the pages belong to this value alone as far as unmapping goes, and the words are atomics, which are `Sync`.
#[allow(unsafe_code)]
unsafe impl<W: Word> Send for Area<W> {}
// SAFETY: as above; a shared reference gives out nothing but references to atomics.
#[allow(unsafe_code)]
unsafe impl<W: Word> Sync for Area<W> {}

impl<W: Word> Area<W> {
    /// Maps `words` words of the array map behind `map`.
    pub(super) fn of_map(map: BorrowedFd<'_>, words: usize) -> io::Result<Self> {
        Self::map(words, libc::MAP_SHARED, map.as_raw_fd())
    }

    /// Zeroed words of this process alone, for tests of what is usually shared.
    #[cfg(test)]
    pub(super) fn private(words: usize) -> Self {
        Self::map(words, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1).expect("memory")
    }

    #[allow(unsafe_code)] // Only `mmap` gives us the kernel's pages.
    fn map(words: usize, flags: i32, fd: i32) -> io::Result<Self> {
        let octets = words * size_of::<W>();
        // SAFETY: a new mapping at an address of the kernel's choice; nothing of ours is touched.
        let at = unsafe { libc::mmap(std::ptr::null_mut(), octets, libc::PROT_READ | libc::PROT_WRITE, flags, fd, 0) };
        if at == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        NonNull::new(at.cast()).map(|base| Self { base, words }).ok_or_else(|| io::Error::other("mapped at zero"))
    }
}

impl<W: Word> Deref for Area<W> {
    type Target = [W];

    #[allow(unsafe_code)] // The one place where the mapping becomes a slice.
    fn deref(&self) -> &[W] {
        // SAFETY: `base` is page-aligned and mapped for `words` words until drop; all bit patterns are valid words, and others
        // who change them do so by atomic stores of whole words.
        unsafe { std::slice::from_raw_parts(self.base.as_ptr(), self.words) }
    }
}

impl<W> Drop for Area<W> {
    #[allow(unsafe_code)] // The counterpart of `mmap`.
    fn drop(&mut self) {
        // SAFETY: exactly what was mapped; no slice of it outlives `self`.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.words * size_of::<W>()) };
    }
}

/// Waits until every packet that was in a program when this was called has left it.
///
/// `MEMBARRIER_CMD_GLOBAL` waits for an RCU grace period (`membarrier(2)`), and XDP programs run inside an RCU read-side
/// critical section. Where the kernel refuses it (`nohz_full`), a second passes instead: programs run for microseconds.
pub(super) fn grace_period() {
    const MEMBARRIER_CMD_GLOBAL: i32 = 1;
    // SAFETY: no pointers; the call only waits.
    #[allow(unsafe_code)] // libc has no wrapper for this call.
    let refused = unsafe { libc::syscall(libc::SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0) } != 0;
    if refused {
        std::thread::sleep(std::time::Duration::from_secs(1));
    }
}
