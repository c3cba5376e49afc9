//! A network namespace per test, on a thread of its own; it goes with the thread.

use std::net::IpAddr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::Command;

use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, setsockopt, socket, sockopt,
};
use rib::IfIndex;

use super::Ground;

/// Runs `test` in a new namespace, or says loudly why not.
pub fn in_namespace(test: impl FnOnce() + Send + 'static) {
    if !nix::unistd::geteuid().is_root() {
        println!("skipped: needs root, for network namespaces of its own");
        eprintln!("skipped: needs root, for network namespaces of its own");
        return;
    }
    let thread = std::thread::Builder::new().name("namespace".into());
    let joined = thread
        .spawn(move || {
            unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace");
            ip("link set lo up");
            test();
        })
        .expect("a thread")
        .join();
    if let Err(panic) = joined {
        std::panic::resume_unwind(panic);
    }
}

/// `ip ARGUMENTS` in this thread's namespace.
#[track_caller]
pub fn ip(arguments: &str) -> String {
    let output = Command::new("ip").args(arguments.split_whitespace()).output().expect("iproute2");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "ip {arguments}: {error}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// As [`ip`], several commands.
#[track_caller]
pub fn ips(commands: &str) {
    commands.lines().map(str::trim).filter(|line| !line.is_empty()).for_each(|line| {
        ip(line);
    });
}

/// Sets `net.NAME`, slashes for dots, in this thread's namespace.
///
/// # Panics
/// If there is no such switch.
pub fn sysctl(name: &str, value: &str) {
    std::fs::write(format!("/proc/sys/net/{name}"), value).unwrap_or_else(|e| panic!("sysctl {name}: {e}"));
}

/// The number of the link `name`.
///
/// # Panics
/// If there is none.
pub fn index(name: &str) -> IfIndex {
    let line = ip(&format!("-o link show dev {name}"));
    IfIndex(line.split(':').next().and_then(|n| n.trim().parse().ok()).expect("an interface number"))
}

/// Two links, `v0` and `v1`, to neighbors that never answer.
pub fn two_links() -> Ground {
    for n in 0..2 {
        ips(&format!(
            "link add v{n} type veth peer name p{n}
             addr add 10.0.{n}.1/24 dev v{n}
             link set p{n} up
             link set v{n} up
             -6 addr add fd0{n}::1/64 dev v{n} nodad"
        ));
        // IPv6 addresses outlive a link that goes down, so that its return is what the test sees.
        sysctl(&format!("ipv6/conf/v{n}/keep_addr_on_down"), "1");
    }
    let addr = |text: &str| text.parse::<IpAddr>().expect("an address");
    Ground {
        links: [index("v0"), index("v1")],
        v4: [addr("10.0.0.2"), addr("10.0.1.2")],
        v6: [addr("fd00::2"), addr("fd01::2")],
    }
}

/// Counts the kernel's announcements of routes and next-hop objects: an independent witness of what was written.
pub struct Watch(OwnedFd);

/// What was announced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Announced {
    /// Routes written.
    pub routes: usize,
    /// Routes removed.
    pub removed_routes: usize,
    /// Next-hop objects written.
    pub objects: usize,
    /// Next-hop objects removed.
    pub removed_objects: usize,
}

impl Default for Watch {
    fn default() -> Self {
        Self::new()
    }
}

impl Watch {
    /// Listens from now on.
    ///
    /// # Panics
    /// Without the privilege for a large buffer.
    #[must_use]
    pub fn new() -> Self {
        const ROUTES_AND_OBJECTS: u32 = 1 << 6 | 1 << 10 | 1 << 31;
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let fd = socket(AddressFamily::Netlink, SockType::Raw, flags, SockProtocol::NetlinkRoute).expect("a socket");
        setsockopt(&fd, sockopt::RcvBufForce, &(16 << 20)).expect("a large buffer");
        bind(fd.as_raw_fd(), &NetlinkAddr::new(0, ROUTES_AND_OBJECTS)).expect("multicast groups");
        Self(fd)
    }

    /// Since the last look.
    pub fn announced(&self) -> Announced {
        let mut seen = Announced::default();
        let mut buf = vec![0; 65_536];
        loop {
            let got = match recv(self.0.as_raw_fd(), &mut buf, MsgFlags::empty()) {
                Ok(got) => got,
                Err(Errno::EAGAIN) => return seen,
                Err(error) => panic!("the witness has missed something: {error}"),
            };
            match u16::from_ne_bytes([buf[4], buf[5]]) {
                24 => seen.routes += 1,
                25 => seen.removed_routes += 1,
                104 => seen.objects += 1,
                105 => seen.removed_objects += 1,
                other => panic!("message {other} of {got} octets"),
            }
        }
    }
}
