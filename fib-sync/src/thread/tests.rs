//! The carrier: lanes, answers, endings.

use std::sync::mpsc;
use std::time::Duration;

use rib::{FibRoute, Forwarding, NextHopId, NextHopOp};

use super::*;
use crate::memory::{MemoryBackend, Plane};

const SOON: Duration = Duration::from_secs(10);

fn delta(n: u32) -> FibDelta {
    let next_hops =
        vec![NextHopOp { id: NextHopId(1), forwarding: Some(Forwarding::Discard(rib::Discard::Blackhole)) }];
    let prefix = IpNet::V4(ipnet::Ipv4Net::new_assert((n << 8).into(), 24));
    let routes = vec![FibRoute { prefix, next_hop: Some(NextHopId(1)) }];
    FibDelta { next_hops, routes, unused: vec![], walk_done: n == 0, through: u64::from(n) + 1 }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

#[test]
fn a_full_lane_hands_the_delta_back_and_a_slow_reader_of_progress_holds_the_plane() {
    let plane = Plane::new();
    let (tell, told) = mpsc::sync_channel(0);
    let backend =
        spawn(Box::new(MemoryBackend::new(plane.clone())), BackendId(0), move |progress| tell.send(progress).unwrap())
            .unwrap();
    // Before its first batch a plane is being read, and takes a load in.
    backend.offer(delta(0)).unwrap();
    while plane.routes().is_empty() {
        std::thread::yield_now();
    }
    let mut offered = 1;
    let returned = loop {
        match backend.offer(delta(offered)) {
            Ok(()) => offered += 1,
            Err(Refused::Full(delta)) => break delta,
            Err(Refused::Stopped) => panic!("stopped"),
        }
    };
    assert!(offered as usize <= DELTAS + 1, "one in hand, the lane behind it");
    assert_eq!(returned, delta(offered));
    let mut through = 0;
    while through < u64::from(offered) {
        through = told.recv_timeout(SOON).unwrap().through;
    }
    assert_eq!(plane.routes().len(), offered as usize);
    assert!(backend.has_room());
    drop(told);
}

#[test]
fn a_refused_route_is_tried_again_without_anybody_asking() {
    let plane = Plane::new();
    let prefix = delta(1).routes[0].prefix;
    plane.refuse(prefix, rib::FibFault::Errno(101), 2);
    let (tell, told) = mpsc::channel();
    let backend = spawn(Box::new(MemoryBackend::new(plane)), BackendId(0), move |p| drop(tell.send(p))).unwrap();
    backend.offer(delta(1)).unwrap();
    assert_eq!(told.recv_timeout(SOON).unwrap().failed.len(), 1);
    assert_eq!(told.recv_timeout(SOON).unwrap().recovered, [prefix]);
}

#[test]
fn after_the_stop_every_question_is_answered() {
    let plane = Plane::new();
    let backend = spawn(Box::new(MemoryBackend::new(plane.clone())), BackendId(0), |_| {}).unwrap();
    block_on(async {
        while !backend.has_room() || backend.view().await.unwrap().through < 3 {
            for n in 0..3 {
                let _ = backend.offer(delta(n));
            }
        }
        assert_eq!(backend.stop(OnStop::Remove).await, Ok(3));
        assert_eq!(backend.stop(OnStop::Remove).await, Ok(0));
        assert!(backend.view().await.is_none());
        assert!(backend.diff(1).await.is_err());
    });
    assert!(plane.routes().is_empty());
    assert!(matches!(backend.offer(delta(9)), Err(Refused::Stopped)));
}

#[test]
fn a_carrier_that_panics_leaves_nobody_waiting() {
    let backend = spawn(Box::new(MemoryBackend::new(Plane::new())), BackendId(0), |_| panic!("by intent")).unwrap();
    backend.offer(delta(0)).unwrap();
    let answer = block_on(async { backend.diff(1).await });
    // Either it was asked before the end, or after; never without an answer.
    assert!(answer.is_ok() || answer.unwrap_err().contains("stopped"));
    block_on(async { while backend.view().await.is_some() {} });
    assert!(matches!(backend.offer(delta(1)), Err(Refused::Stopped)));
}
