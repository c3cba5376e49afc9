//! The conformance suite on the data plane in memory; `fib_kernel.rs` runs it on the kernel.

#[path = "fib/conformance.rs"]
mod conformance;

use conformance::{Ground, conformance};
use fib_sync::memory::{MemoryBackend, Plane};
use rib::IfIndex;

#[test]
fn the_memory_plane_conforms() {
    let plane = Plane::new();
    let ground = Ground {
        links: [IfIndex(2), IfIndex(3)],
        v4: ["10.0.0.2", "10.0.1.2"].map(|addr| addr.parse().expect("an address")),
        v6: ["fd00::2", "fd01::2"].map(|addr| addr.parse().expect("an address")),
    };
    conformance(&mut MemoryBackend::new(plane.clone()), ground);
    assert_eq!(plane.next_hops(), 0);
}
