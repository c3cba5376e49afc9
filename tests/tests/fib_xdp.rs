//! XDP as a data plane, seen from the trait and by trial runs of the program: conformance, what becomes of each kind of packet,
//! lookups during churn, restart. `fib_xdp_lab.rs` has the daemon with real traffic.

#[path = "fib/xdp_ground.rs"]
mod xdp_ground;

use std::path::PathBuf;
use std::process::Command;

use anyhop_tests::fib::namespace::{in_namespace, two_links};
use anyhop_tests::fib::{Ground, Subject, conformance, suite};
use fib_sync::backend::FibBackend;
use fib_sync::xdp::{XdpBackend, XdpMode, XdpTable};
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

/// The pinned tables, whoever owns them at the time.
struct Pinned {
    bpffs: PathBuf,
    ground: Ground,
}

impl Subject for Pinned {
    fn open(&mut self) -> Box<dyn FibBackend> {
        Box::new(XdpBackend::open(config(&self.bpffs, &["v0", "v1"])).expect("XDP"))
    }

    fn ground(&self) -> Ground {
        self.ground
    }

    fn steal(&mut self, _: ipnet::IpNet) -> Option<bool> {
        // Nobody else can tell where the words of a prefix lie.
        None
    }
}

#[test]
fn xdp_lives_through_the_suite() {
    in_namespace(|| {
        let bpffs = bpffs();
        let ground = two_links();
        suite(&mut Pinned { bpffs, ground }, 200, 4);
    });
}

/// The compiler that built the committed objects: another one's code is as good and yet not the same.
const CLANG: &str = "14.";

#[test]
fn the_committed_objects_are_what_the_sources_say() {
    let skipped = |why: &str| eprintln!("\n*** the_committed_objects_are_what_the_sources_say: skipped: {why} ***\n");
    let Ok(version) = Command::new("clang").arg("--version").output() else {
        return skipped("needs clang 14 and llvm (Debian 12: apt-get install clang llvm)");
    };
    let version = String::from_utf8_lossy(&version.stdout).into_owned();
    if !version.contains(&format!("version {CLANG}")) {
        return skipped(&format!("the objects were built with clang {CLANG}x, this is {version}"));
    }
    let sources = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../fib-sync/xdp"));
    let built = tempfile::tempdir().expect("a directory");
    let output = Command::new("sh").arg(sources.join("build.sh")).arg(built.path()).output().expect("a shell");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for object in ["anyhop.bpf.o", "probe.bpf.o"] {
        let [fresh, committed] = [built.path(), &sources].map(|dir| std::fs::read(dir.join(object)).expect(object));
        assert!(fresh == committed, "{object} is not what its source says: run fib-sync/xdp/build.sh and commit");
    }
}
