//! XDP as a data plane, seen from the trait and by trial runs of the program: conformance, what becomes of each kind of packet,
//! lookups during churn, restart. `fib_xdp_lab.rs` has the daemon with real traffic.

#[path = "fib/conformance.rs"]
mod conformance;
#[path = "fib/namespace.rs"]
#[allow(dead_code)] // Parts of it serve the kernel's tests.
mod namespace;
#[path = "fib/xdp_ground.rs"]
mod xdp_ground;

use conformance::conformance;
use fib_sync::xdp::{XdpBackend, XdpMode, XdpTable};
use namespace::{in_namespace, two_links};
use xdp_ground::{bpffs, config};

#[test]
fn xdp_conforms() {
    in_namespace(|| {
        let bpffs = bpffs();
        let ground = two_links();
        let mut backend = XdpBackend::open(config(&bpffs, &["v0", "v1"])).expect("XDP");
        conformance(&mut backend, ground);
        assert_eq!(backend.groups_used(), [0, 0]);
    });
}

#[test]
fn xdp_conforms_over_lpm_tries_and_in_generic_mode() {
    in_namespace(|| {
        let bpffs = bpffs();
        let ground = two_links();
        let mut config = config(&bpffs, &["v0", "v1"]);
        config.table = XdpTable::LpmTrie;
        config.mode = XdpMode::Generic;
        conformance(&mut XdpBackend::open(config).expect("XDP"), ground);
    });
}
