//! What XDP tests stand on: a BPF file system of their own.

use std::path::PathBuf;

use fib_sync::xdp::XdpConfig;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

/// Gives this thread, and what it starts, a mount namespace with an empty BPF file system; its path.
pub(crate) fn bpffs() -> PathBuf {
    unshare(CloneFlags::CLONE_NEWNS).expect("a mount namespace");
    let none: Option<&str> = None;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).expect("mounts of our own");
    // Not /sys/fs/bpf: `ip netns exec` puts a /sys of its own over it.
    let at = PathBuf::from("/mnt");
    std::fs::create_dir_all(&at).expect("a directory");
    mount(Some("bpf"), &at, Some("bpf"), MsFlags::empty(), none).expect("a BPF file system");
    at
}

#[allow(dead_code, reason = "the lab writes its configuration as text")]
/// A configuration for tests: small maps, pinned in `bpffs`.
pub(crate) fn config(bpffs: &std::path::Path, interfaces: &[&str]) -> XdpConfig {
    let mut config = XdpConfig {
        interfaces: interfaces.iter().map(|name| (*name).to_owned()).collect(),
        pin: bpffs.join("anyhop"),
        ..XdpConfig::default()
    };
    config.limits.ipv4_routes = 100_000;
    config.limits.ipv6_routes = 100_000;
    config.limits.ipv4_groups = 1024;
    config.limits.ipv6_groups = 8192;
    config.limits.next_hops = 4096;
    config
}
