//! Checks run in their rhythm, never two at once, and stop when told.

#![allow(clippy::disallowed_methods, reason = "a test has to begin at some time")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::*;
use crate::health::{ExecProbe, Probe, TcpProbe};

fn spec(probe: Probe, interval_ms: u64, timeout_ms: u64) -> CheckSpec {
    let (interval, timeout) = (Duration::from_millis(interval_ms), Duration::from_millis(timeout_ms));
    CheckSpec { interval, timeout, ..CheckSpec::new(probe) }
}

async fn collect(verdicts: &mut mpsc::Receiver<Verdict>, count: usize) -> Vec<Verdict> {
    let mut seen = Vec::new();
    while seen.len() < count {
        let next = tokio::time::timeout(Duration::from_secs(10), verdicts.recv()).await;
        seen.push(next.expect("a verdict in time").expect("the scheduler lives"));
    }
    seen
}

#[tokio::test]
async fn a_check_reports_every_run_and_falls_silent_when_stopped() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let probe = Probe::Tcp(TcpProbe::new(listener.local_addr().unwrap()));
    let (tx, mut rx) = mpsc::channel(16);
    let mut scheduler = Scheduler::new(tx);
    scheduler.start(CheckId(7), &Arc::from("dns"), spec(probe, 20, 500));
    let seen = collect(&mut rx, 3).await;
    assert!(seen.iter().all(|verdict| verdict.ok && verdict.check == CheckId(7) && &*verdict.service == "dns"));
    drop(listener);
    tokio::time::timeout(Duration::from_secs(10), async { while collect(&mut rx, 1).await[0].ok {} }).await.unwrap();
    scheduler.stop(CheckId(7));
    tokio::time::sleep(Duration::from_millis(60)).await;
    while rx.try_recv().is_ok() {}
    tokio::time::sleep(Duration::from_millis(60)).await;
    assert!(rx.try_recv().is_err(), "a stopped check is silent");
}

#[tokio::test]
async fn runs_that_outlast_the_interval_never_overlap() {
    let slow = Probe::Exec(ExecProbe { command: vec!["sleep".into(), "0.1".into()] });
    let (tx, mut rx) = mpsc::channel(16);
    let mut scheduler = Scheduler::new(tx);
    scheduler.start(CheckId(1), &Arc::from("slow"), spec(slow, 10, 5000));
    let seen = collect(&mut rx, 3).await;
    assert!(seen.windows(2).all(|pair| pair[0].at <= pair[1].started), "{seen:?}");
}

#[tokio::test]
async fn first_runs_are_spread() {
    let phases: std::collections::BTreeSet<Duration> =
        (0..50).map(|index| phase(&format!("service-{index}"), CheckId(1), Duration::from_secs(10))).collect();
    assert!(phases.len() > 40, "{phases:?}");
    assert!(phases.iter().all(|phase| *phase < LONGEST_PHASE));
    let again = phase("service-1", CheckId(1), Duration::from_secs(10));
    assert_eq!(again, phase("service-1", CheckId(1), Duration::from_secs(10)), "the same at every start");
}

#[tokio::test]
async fn a_full_inbox_holds_checks_back_and_loses_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let probe = Probe::Tcp(TcpProbe::new(listener.local_addr().unwrap()));
    let (tx, mut rx) = mpsc::channel(1);
    let mut scheduler = Scheduler::new(tx);
    scheduler.start(CheckId(1), &Arc::from("dns"), spec(probe, 5, 500));
    tokio::time::sleep(Duration::from_millis(100)).await;
    let before = Instant::now();
    let seen = collect(&mut rx, 5).await;
    assert!(seen.windows(2).all(|pair| pair[0].at <= pair[1].started));
    let waiting = seen.iter().filter(|verdict| verdict.at < before).count();
    assert!(waiting <= 2, "one in the channel and one in hand, not {waiting}");
}
