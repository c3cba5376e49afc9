//! The suite of all data planes on the one in memory; `fib_kernel.rs` runs it on the kernel, `fib_xdp.rs` on XDP.

use anyhop_tests::fib::{Ground, Subject, conformance, suite};
use fib_sync::backend::FibBackend;
use fib_sync::memory::{MemoryBackend, Plane};
use ipnet::IpNet;
use rib::IfIndex;

fn ground() -> Ground {
    Ground {
        links: [IfIndex(2), IfIndex(3)],
        v4: ["10.0.0.2", "10.0.1.2"].map(|addr| addr.parse().expect("an address")),
        v6: ["fd00::2", "fd01::2"].map(|addr| addr.parse().expect("an address")),
    }
}

#[test]
fn the_memory_plane_conforms() {
    let plane = Plane::new();
    conformance(&mut MemoryBackend::new(plane.clone()), ground());
    assert_eq!(plane.next_hops(), 0);
}

struct Memory(Plane);

impl Subject for Memory {
    fn open(&mut self) -> Box<dyn FibBackend> {
        Box::new(MemoryBackend::new(self.0.clone()))
    }

    fn ground(&self) -> Ground {
        ground()
    }

    fn steal(&mut self, prefix: IpNet) -> Option<bool> {
        Some(self.0.forget(prefix))
    }

    fn bound(&mut self, routes: Option<usize>) -> bool {
        self.0.set_capacity(routes);
        true
    }

    fn wipe(&mut self) -> bool {
        self.0.wipe();
        true
    }
}

#[test]
fn the_memory_plane_lives_through_the_suite() {
    suite(&mut Memory(Plane::new()), 1, 25);
}
