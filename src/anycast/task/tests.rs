//! The carrier with a real check on a real socket, a host of paper, and channels for the RIB and the speaker.

use std::collections::BTreeSet;

use tokio::net::TcpListener;

use super::*;
use crate::anycast::service::Drain;
use crate::anycast::view::ServiceState;
use crate::health::{CheckSpec, Probe, TcpProbe};

const VIP: &str = "192.0.2.53/32";
const PATIENCE: Duration = Duration::from_secs(20);

type Bound = Arc<Mutex<BTreeSet<(String, IpAddr)>>>;

/// Interfaces on paper, of which only `lo` exists.
struct Paper(Bound);

impl AddressControl for Paper {
    fn add(&mut self, interface: &str, address: IpAddr) -> Result<bool, String> {
        if interface != "lo" {
            return Err(format!("cannot put {address} on {interface}: there is no such interface"));
        }
        Ok(self.0.lock().unwrap().insert((interface.to_owned(), address)))
    }

    fn remove(&mut self, interface: &str, address: IpAddr) -> Result<bool, String> {
        Ok(self.0.lock().unwrap().remove(&(interface.to_owned(), address)))
    }
}

struct Site {
    handle: AnycastHandle,
    bound: Bound,
    rib: mpsc::Receiver<rib::message::Input>,
    bgp: mpsc::Receiver<LocalBatch>,
}

impl Site {
    fn new() -> Self {
        let bound = Bound::default();
        let (to_rib, rib) = mpsc::channel(64);
        let (to_bgp, bgp) = mpsc::channel(64);
        let handle = AnycastHandle::spawn(Carriers {
            addresses: Box::new(Paper(Arc::clone(&bound))),
            rib: Box::new(move |input| {
                let to_rib = to_rib.clone();
                Box::pin(async move { to_rib.send(input).await.unwrap() })
            }),
            bgp: Box::new(move |batch| {
                let to_bgp = to_bgp.clone();
                Box::pin(async move { to_bgp.send(batch).await.unwrap() })
            }),
            ospf: Box::new(|routes| panic!("nothing is announced by OSPF: {routes:?}")),
            vips: watch::channel(BTreeSet::new()).0,
        });
        Self { handle, bound, rib, bgp }
    }

    /// The host and the RIB say that the VIP is here and installed.
    fn open_gates(&self) {
        self.handle.local_address("192.0.2.53".parse().unwrap(), true);
        self.handle.installed(VIP.parse().unwrap(), Vec::new());
    }

    /// The next word to the speaker: announced or withdrawn.
    async fn next(&mut self) -> bool {
        let batch = tokio::time::timeout(PATIENCE, self.bgp.recv()).await.expect("in time").expect("the task lives");
        assert_eq!(batch.changes.len(), 1);
        assert_eq!(batch.changes[0].0, VIP.parse::<IpNet>().unwrap());
        batch.changes[0].1.is_some()
    }
}

fn service(target: std::net::SocketAddr, bind: &str) -> ServiceSpec {
    let check = CheckSpec { interval: Duration::from_millis(20), ..CheckSpec::new(Probe::Tcp(TcpProbe::new(target))) };
    ServiceSpec {
        bind: Some(bind.to_owned()),
        checks: vec![check],
        ..ServiceSpec::new("dns", vec![VIP.parse().unwrap()])
    }
}

#[tokio::test]
async fn a_server_that_dies_is_withdrawn_and_a_server_that_returns_is_announced() {
    let mut site = Site::new();
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = server.local_addr().unwrap();
    site.handle.configure(vec![service(target, "lo")], None).await;
    assert_eq!(site.bound.lock().unwrap().len(), 1, "bound when configure returns");
    let prefix = VIP.parse().unwrap();
    assert!(
        matches!(site.rib.recv().await, Some(rib::message::Input::AwaitInstalled { on: true, prefix: p }) if p == prefix)
    );
    assert!(
        matches!(site.rib.recv().await, Some(rib::message::Input::Routes(batch)) if batch.changes[0].prefix == prefix)
    );
    assert!(site.bgp.try_recv().is_err());
    site.open_gates();
    assert!(site.next().await, "announced");
    drop(server);
    assert!(!site.next().await, "withdrawn");
    assert_eq!(site.handle.service("dns").await.unwrap().state, ServiceState::Withdrawn);
    assert_eq!(site.bound.lock().unwrap().len(), 1, "the VIP stays bound");
    let _server = TcpListener::bind(target).await.unwrap();
    assert!(site.next().await, "announced again");
}

#[tokio::test]
async fn a_stop_withdraws_waits_the_drain_and_takes_our_addresses_off() {
    let mut site = Site::new();
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gshut = Duration::from_millis(100);
    let spec = ServiceSpec { drain: Drain { gshut }, ..service(server.local_addr().unwrap(), "lo") };
    site.handle.configure(vec![spec], None).await;
    site.open_gates();
    assert!(site.next().await);
    let stop = tokio::spawn({
        let handle = site.handle.clone();
        async move { handle.shutdown().await }
    });
    assert!(site.next().await, "GRACEFUL_SHUTDOWN");
    assert_eq!(site.bound.lock().unwrap().len(), 1);
    assert!(!site.next().await, "withdrawn");
    tokio::time::timeout(PATIENCE, stop).await.expect("the stop ends").unwrap();
    assert!(site.bound.lock().unwrap().is_empty());
    assert_eq!(site.handle.operate("dns", Operation::Announce).await, Err(OperatorError::Stopping));
    tokio::time::timeout(PATIENCE, site.handle.shutdown()).await.expect("a second stop is answered too");
}

#[tokio::test]
async fn an_address_that_was_there_before_stays_when_we_stop() {
    let site = Site::new();
    site.bound.lock().unwrap().insert(("lo".to_owned(), "192.0.2.53".parse().unwrap()));
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    site.handle.configure(vec![service(server.local_addr().unwrap(), "lo")], None).await;
    site.handle.shutdown().await;
    assert_eq!(site.bound.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn operators_get_the_service_back_or_the_reason() {
    let mut site = Site::new();
    let mut events = site.handle.subscribe();
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    site.handle.configure(vec![service(server.local_addr().unwrap(), "eth7")], None).await;
    let view = site.handle.service("dns").await.unwrap();
    assert!(view.reason.contains("no such interface"), "{}", view.reason);
    assert!(events.recv().await.unwrap().what.contains("no such interface"));
    let withdraw = Operation::Withdraw { reason: "test".into(), force: false };
    assert_eq!(site.handle.operate("dns", withdraw.clone()).await.unwrap().state, ServiceState::Held);
    assert_eq!(site.handle.operate("nds", withdraw).await, Err(OperatorError::NoSuchService("nds".into())));
    let api = ServiceSpec::new("www", vec!["192.0.2.80/32".parse().unwrap()]);
    assert_eq!(site.handle.register(api).await.unwrap().state, ServiceState::Waiting);
    site.handle.delete("www").await.unwrap();
    assert_eq!(site.handle.services().await.len(), 1);
    assert!(site.bgp.try_recv().is_err(), "nothing was ever announced");
    assert!(!site.handle.history(Some("dns"), 0, 10).await.is_empty());
}
