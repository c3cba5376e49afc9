//! The `bpf(2)` calls that we make ourselves: links that outlive us, and the directory where they are pinned.
#![allow(unsafe_code)] // System calls that no safe crate offers in the form needed here.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

const BPF_MAP_UPDATE_ELEM: i32 = 2;
const BPF_MAP_DELETE_ELEM: i32 = 3;
const BPF_OBJ_PIN: i32 = 6;
const BPF_OBJ_GET: i32 = 7;
const BPF_PROG_TEST_RUN: i32 = 10;
const BPF_LINK_CREATE: i32 = 28;
const BPF_LINK_UPDATE: i32 = 29;
const BPF_XDP: u32 = 37;
const BPF_FS_MAGIC: u32 = 0xcafe_4a11;

/// The kernel's `union bpf_attr`, as words; 80 octets suffice for these calls.
type Attr = [u32; 20];

fn call(command: i32, attr: &mut Attr) -> io::Result<i64> {
    // SAFETY: the pointer and length describe a live array, and each caller keeps what the words point to alive.
    let answer = unsafe { libc::syscall(libc::SYS_bpf, command, attr.as_mut_ptr(), size_of::<Attr>()) };
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(answer) }
}

fn owned(fd: i64) -> OwnedFd {
    // SAFETY: the kernel has just made this descriptor for us.
    unsafe { OwnedFd::from_raw_fd(fd as i32) }
}

fn number(fd: BorrowedFd<'_>) -> u32 {
    fd.as_raw_fd().cast_unsigned()
}

fn with_path(path: &Path, command: i32, fd: u32) -> io::Result<i64> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let mut attr = Attr::default();
    let at = path.as_ptr() as u64;
    (attr[0], attr[1], attr[2]) = (at as u32, (at >> 32) as u32, fd);
    if cfg!(target_endian = "big") {
        attr.swap(0, 1);
    }
    call(command, &mut attr)
}

/// Removes the value of a numbered key.
pub(super) fn delete(map: BorrowedFd<'_>, key: u32) -> io::Result<()> {
    let mut attr = Attr::default();
    let at = std::ptr::from_ref(&key) as u64;
    attr[0] = number(map);
    (attr[2], attr[3]) = (at as u32, (at >> 32) as u32);
    if cfg!(target_endian = "big") {
        attr.swap(2, 3);
    }
    call(BPF_MAP_DELETE_ELEM, &mut attr).map(drop)
}

/// Opens what is pinned at `path`.
pub(super) fn get(path: &Path) -> io::Result<OwnedFd> {
    with_path(path, BPF_OBJ_GET, 0).map(owned)
}

/// Pins `object` at `path`, which must not exist.
pub(super) fn pin(object: BorrowedFd<'_>, path: &Path) -> io::Result<()> {
    with_path(path, BPF_OBJ_PIN, number(object)).map(drop)
}

/// Attaches an XDP program to an interface; it stays until the last descriptor and pin of the link are gone.
pub(super) fn link(program: BorrowedFd<'_>, interface: u32, flags: u32) -> io::Result<OwnedFd> {
    let mut attr = Attr::default();
    (attr[0], attr[1], attr[2], attr[3]) = (number(program), interface, BPF_XDP, flags);
    call(BPF_LINK_CREATE, &mut attr).map(owned)
}

/// Puts another program on a link; each packet meets the one or the other.
pub(super) fn update_link(link: BorrowedFd<'_>, program: BorrowedFd<'_>) -> io::Result<()> {
    let mut attr = Attr::default();
    (attr[0], attr[1]) = (number(link), number(program));
    call(BPF_LINK_UPDATE, &mut attr).map(drop)
}

/// True if `path` lies on a BPF file system.
pub(super) fn is_bpffs(path: &Path) -> io::Result<bool> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: an all-zero statfs is valid; both pointers are live.
    unsafe {
        let mut stat: libc::statfs = std::mem::zeroed();
        if libc::statfs(path.as_ptr(), &raw mut stat) != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(stat.f_type as u32 == BPF_FS_MAGIC)
    }
}

/// Mounts a BPF file system on a directory.
pub(super) fn mount_bpffs(at: &Path) -> io::Result<()> {
    let at = CString::new(at.as_os_str().as_bytes())?;
    // SAFETY: all pointers are live C strings or null, as mount(2) takes them.
    let answer = unsafe { libc::mount(c"bpf".as_ptr(), at.as_ptr(), c"bpf".as_ptr(), 0, std::ptr::null()) };
    if answer != 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Locks a file or directory for this process, without waiting; the lock goes with the descriptor.
pub(super) fn lock(fd: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: no pointers.
    let answer = unsafe { libc::flock(fd.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) };
    if answer != 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Lifts the limit on locked memory, against which kernels before 5.11 count maps.
pub(super) fn lift_memlock() {
    let limit = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: the pointer is to a live value. Refused without privilege: then loading says why it cannot.
    let _ = unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, &raw const limit) };
}

/// What a program made of a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trial {
    /// 0 aborted, 1 drop, 2 pass to the kernel, 3 back, 4 redirect.
    pub verdict: u32,
    /// The frame as it would leave.
    pub frame: Vec<u8>,
    /// Mean time of a run.
    pub nanos: u32,
}

/// Runs an XDP program `repeat` times on a frame as if it had come in on `interface`, without sending it (`BPF_PROG_TEST_RUN`).
pub(super) fn trial(program: BorrowedFd<'_>, frame: &[u8], interface: u32, repeat: u32) -> io::Result<Trial> {
    let mut out = vec![0u8; frame.len() + 256];
    // struct xdp_md: the frame's bounds, then where it came in.
    let context = [0, frame.len() as u32, 0, interface, 0, 0];
    let mut attr = Attr::default();
    attr[0] = number(program);
    (attr[2], attr[3]) = (frame.len() as u32, out.len() as u32);
    attr[8] = repeat;
    attr[10] = size_of_val(&context) as u32;
    for (at, pointer) in [(4, frame.as_ptr() as u64), (6, out.as_mut_ptr() as u64), (12, context.as_ptr() as u64)] {
        (attr[at], attr[at + 1]) = (pointer as u32, (pointer >> 32) as u32);
        if cfg!(target_endian = "big") {
            attr.swap(at, at + 1);
        }
    }
    call(BPF_PROG_TEST_RUN, &mut attr)?;
    out.truncate(attr[3] as usize);
    Ok(Trial { verdict: attr[1], frame: out, nanos: attr[9] })
}

/// Sends a frame `count` times through a program as if it had come in on `interface`; what it redirects or passes goes on its way.
pub(super) fn live(program: BorrowedFd<'_>, frame: &[u8], interface: u32, count: u32) -> io::Result<()> {
    const LIVE_FRAMES: u32 = 2;
    const FRAMES_AT_ONCE: u32 = 64;
    let context = [0, frame.len() as u32, 0, interface, 0, 0];
    let mut attr = Attr::default();
    attr[0] = number(program);
    attr[2] = frame.len() as u32;
    attr[8] = count;
    attr[10] = size_of_val(&context) as u32;
    (attr[16], attr[18]) = (LIVE_FRAMES, FRAMES_AT_ONCE);
    for (at, pointer) in [(4, frame.as_ptr() as u64), (12, context.as_ptr() as u64)] {
        (attr[at], attr[at + 1]) = (pointer as u32, (pointer >> 32) as u32);
        if cfg!(target_endian = "big") {
            attr.swap(at, at + 1);
        }
    }
    call(BPF_PROG_TEST_RUN, &mut attr).map(drop)
}

/// Puts a program into a map of programs.
pub(super) fn set_program(map: BorrowedFd<'_>, key: u32, program: BorrowedFd<'_>) -> io::Result<()> {
    let value = number(program);
    let mut attr = Attr::default();
    attr[0] = number(map);
    for (at, pointer) in [(2, std::ptr::from_ref(&key) as u64), (4, std::ptr::from_ref(&value) as u64)] {
        (attr[at], attr[at + 1]) = (pointer as u32, (pointer >> 32) as u32);
        if cfg!(target_endian = "big") {
            attr.swap(at, at + 1);
        }
    }
    call(BPF_MAP_UPDATE_ELEM, &mut attr).map(drop)
}
