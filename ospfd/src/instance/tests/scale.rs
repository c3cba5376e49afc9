//! Large databases, which must cost time in proportion.

use std::time::Instant;

use super::world::World;
use crate::config::NetworkType::PointToPoint;
use crate::id::Version::{V2, V3};
use crate::message::{ExternalRoute, Input};

#[test]
#[allow(clippy::disallowed_methods)] // the test measures real time
fn fifty_thousand_lsas_are_flooded_described_and_flushed_in_linear_time() {
    const ROUTE: ExternalRoute = ExternalRoute { metric: 20, type2: true, tag: 0, forwarding: None };
    for version in [V2, V3] {
        let mut spent = Vec::new();
        for count in [5_000_u32, 50_000] {
            let routes = |route| {
                let net = |number: u32| match version {
                    V2 => format!("{}.{}.{}.0/24", 20 + number / 65536, number / 256 % 256, number % 256),
                    V3 => format!("2001:db8:{:x}:{:x}::/64", number / 65536, number % 65536),
                };
                (0..count).map(|number| (net(number).parse().unwrap(), route)).collect::<Vec<_>>()
            };
            let mut world = World::new(version, 3);
            world.wire(&[0, 1], PointToPoint, 0);
            world.wire(&[1, 2], PointToPoint, 0);
            world.start();
            world.kill(2);
            world.run_secs(1);
            let start = Instant::now();
            world.tell(0, Input::Redistribute(routes(Some(ROUTE))));
            world.run_secs(5);
            let flooded = start.elapsed();
            assert_eq!(
                world.lsdb(1).iter().filter(|row| row.interface.is_none() && row.area.is_none()).count(),
                count as usize
            );
            let start = Instant::now();
            world.reboot(2, |_| {});
            world.run_secs(5);
            let loaded = start.elapsed();
            world.expect_full(&[1, 2, 1]);
            world.expect_equal();
            let start = Instant::now();
            world.tell(0, Input::Redistribute(routes(None)));
            world.run_secs(20);
            let flushed = start.elapsed();
            assert!(world.lsdb(2).iter().all(|row| row.area.is_some()));
            eprintln!("{version:?} {count}: flooded {flooded:?}, loaded {loaded:?}, flushed {flushed:?}");
            spent.push(flooded + loaded + flushed);
        }
        // Ten times as many: well under the hundred times of anything quadratic.
        assert!(spent[1] < spent[0] * 40, "{spent:?}");
    }
}
