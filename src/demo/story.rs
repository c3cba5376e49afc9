//! The story: sessions up, both sites announce, one server dies, its route goes, it comes back, its route comes back.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use bgpd::speaker::message::{Query, Reply, SessionState};
use proto::v1::LookupRequest;
use proto::v1::rib_service_client::RibServiceClient;
use rib::Forwarding;
use tonic::transport::Channel;

use super::dns::DnsServer;
use super::nodes::{self, DemoNode, SITES, VIP};
use super::{Timeline, now};
use crate::anycast::CheckView;
use crate::daemon::handles::Node;
use crate::health::HealthState;

/// Longest wait for one step.
const STEP: Duration = Duration::from_secs(5);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(2);

/// Everything that runs.
pub(super) struct Scene {
    edge: DemoNode,
    sites: Vec<DemoNode>,
    servers: Vec<DnsServer>,
    api: RibServiceClient<Channel>,
}

/// Looks until there is something to see.
async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Result<Option<T>, String>) -> Result<T, String> {
    let began = now();
    loop {
        if let Some(seen) = look().await? {
            return Ok(seen);
        }
        if began.elapsed() > STEP {
            return Err(format!("{what} did not happen within {STEP:?}"));
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// The story from the first line to the last.
pub(super) async fn tell(log: &mut Timeline) -> Result<Scene, String> {
    log.plain(
        "Three anyhop nodes in this process: real BGP over TCP on loopback, each with its own RIB and a data plane in\n\
         memory. Both sites serve the anycast address 192.0.2.53 by a DNS server of their own.\n\n    \
         DNS server -- ams1 (AS 64501) --.\n                                    \
         >-- edge (AS 64500)\n    \
         DNS server -- fra1 (AS 64501) --'\n",
    );
    let mut scene = Scene::begin(log).await?;
    scene.sessions_come_up(log).await?;
    scene.both_announce(log, "announce").await?;
    scene.one_server_dies(log).await?;
    scene.it_recovers(log).await?;
    Ok(scene)
}

impl Scene {
    async fn begin(log: &mut Timeline) -> Result<Self, String> {
        let edge = nodes::edge().await?;
        let info = &edge.running.node.info;
        let bgp = info.bgp_listen.first().copied().ok_or("the edge does not listen for BGP")?;
        let api = info.api_listen.first().cloned().ok_or("the edge has no API")?;
        log.say("start", &format!("edge: BGP on {bgp}, gRPC on {api}"));
        let mut sites = Vec::new();
        let mut servers = Vec::new();
        for site in SITES {
            let server = DnsServer::start(vip_v4()?).await.map_err(|error| format!("no DNS server: {error}"))?;
            let dns = server.address();
            sites.push(nodes::site(site, bgp.port(), dns).await?);
            servers.push(server);
            log.say("start", &format!("{}: DNS server on {dns}, asked every 200 ms", site.name));
        }
        let api = RibServiceClient::connect(format!("http://{api}"))
            .await
            .map_err(|error| format!("the edge's gRPC API does not answer: {error}"))?;
        Ok(Self { edge, sites, servers, api })
    }

    async fn sessions_come_up(&mut self, log: &mut Timeline) -> Result<(), String> {
        for site in SITES {
            let address: IpAddr = site.bgp.parse().map_err(|_| "a site's address")?;
            let bgp = &self.edge.running.node.bgp;
            until(&format!("the BGP session with {}", site.name), async || {
                match bgp.query(Query::Neighbors(Some(address.into()))).await {
                    Ok(Reply::Neighbors(views)) => {
                        Ok(views.iter().any(|view| view.state == SessionState::Established).then_some(()))
                    }
                    other => Err(format!("the edge's speaker answered {other:?}")),
                }
            })
            .await?;
            log.say("session", &format!("edge <-> {}: BGP established over TCP with {address}", site.name));
        }
        Ok(())
    }

    async fn both_announce(&mut self, log: &mut Timeline, topic: &str) -> Result<(), String> {
        for (site, node) in SITES.iter().zip(&self.sites) {
            let check = until(&format!("the check at {} rising", site.name), async || {
                Ok(check(&node.running.node).await?.filter(|check| check.state == HealthState::Up))
            })
            .await?;
            log.say("check", &format!("{}: {} is healthy", site.name, check.what));
        }
        let both: BTreeSet<String> = SITES.iter().map(|site| site.next_hop.to_owned()).collect();
        self.edge_forwards_to(&both).await?;
        log.say(topic, &format!("both sites announce {VIP}/32 to the edge"));
        self.look_up(log, &both).await
    }

    async fn one_server_dies(&mut self, log: &mut Timeline) -> Result<(), String> {
        let (dying, other) = (SITES[0], SITES[1]);
        self.servers.first_mut().ok_or("no DNS server")?.kill().await;
        let died = now();
        log.say("failure", &format!("{}: DNS server killed", dying.name));
        let fell = self.check_falls(log).await?;
        let left = BTreeSet::from([other.next_hop.to_owned()]);
        let gone = self.edge_forwards_to(&left).await?;
        let after_fall = gone.saturating_duration_since(fell).as_secs_f64() * 1e3;
        let after_death = gone.saturating_duration_since(died).as_millis();
        log.say(
            "withdraw",
            &format!("the withdrawal is in the edge's data plane {after_fall:.1} ms after the check fell, {after_death} ms after the death"),
        );
        self.look_up(log, &left).await?;
        for site in SITES {
            let address: IpAddr = site.bgp.parse().map_err(|_| "a site's address")?;
            match self.edge.running.node.bgp.query(Query::Neighbors(Some(address.into()))).await {
                Ok(Reply::Neighbors(views))
                    if views
                        .iter()
                        .all(|view| view.state == SessionState::Established && view.established_count == 1) => {}
                other => return Err(format!("the session with {} did not stay up: {other:?}", site.name)),
            }
        }
        log.say("session", "both BGP sessions stayed up all the while");
        Ok(())
    }

    /// Tells each failed run of the dying site's check; the time when it counted as down.
    async fn check_falls(&self, log: &mut Timeline) -> Result<Instant, String> {
        let node = self.sites.first().ok_or("no site")?.running.node.clone();
        let name = SITES[0].name;
        let (mut told, mut fall) = (0, 0);
        until(&format!("the check at {name} falling"), async || {
            let Some(check) = check(&node).await? else { return Ok(None) };
            let fell = check.state == HealthState::Down;
            let (mut count, of) = check.progress;
            if fell {
                // From here on the progress is that of rising again.
                count = fall;
            } else {
                fall = of;
            }
            if count > told {
                told = count;
                let why = check.last.as_ref().map(|(_, why, _)| why.as_str()).unwrap_or_default();
                log.say("check", &format!("{name}: failed {count}/{fall}: {why}"));
            }
            Ok(check.since.filter(|_| fell))
        })
        .await
    }

    async fn it_recovers(&mut self, log: &mut Timeline) -> Result<(), String> {
        let server = self.servers.first_mut().ok_or("no DNS server")?;
        server.revive().await.map_err(|error| format!("the DNS server does not come back: {error}"))?;
        log.say("recovery", &format!("{}: DNS server started again", SITES[0].name));
        self.both_announce(log, "announce").await
    }

    /// Waits until the edge's data plane forwards the VIP to exactly these next hops; when that was seen.
    async fn edge_forwards_to(&self, next_hops: &BTreeSet<String>) -> Result<Instant, String> {
        let vip = IpAddr::V4(vip_v4()?);
        let plane = &self.edge.plane;
        let mut last = BTreeSet::new();
        let seen = until("the edge's data plane following", async || {
            last = match plane.lookup(vip) {
                Some((_, Forwarding::Legs(legs))) => {
                    legs.iter().filter_map(|leg| leg.gateway).map(|gateway| gateway.to_string()).collect()
                }
                _ => BTreeSet::new(),
            };
            Ok((last == *next_hops).then(now))
        })
        .await;
        seen.map_err(|error| format!("{error}: it forwards {VIP} to {last:?}, not to {next_hops:?}"))
    }

    /// Asks the edge's gRPC API, as any client would, and shows the answer.
    async fn look_up(&mut self, log: &mut Timeline, expected: &BTreeSet<String>) -> Result<(), String> {
        let request = LookupRequest { address: VIP.to_owned() };
        let answer = self.api.lookup(request).await.map_err(|status| format!("lookup {VIP}: {status}"))?;
        let route = answer.into_inner().route.ok_or("lookup: an answer without a route")?;
        let via: BTreeSet<String> = route.resolved.iter().map(|hop| hop.gateway.clone()).collect();
        if via != *expected || route.prefix != format!("{VIP}/32") {
            return Err(format!("lookup {VIP} says {} via {via:?}, not via {expected:?}", route.prefix));
        }
        let named: Vec<String> = SITES
            .iter()
            .filter(|site| via.contains(site.next_hop))
            .map(|site| format!("{} ({})", site.next_hop, site.name))
            .collect();
        log.say("lookup", &format!("edge, by gRPC: {VIP} -> {} via {}", route.prefix, named.join(" and ")));
        Ok(())
    }

    /// Stays until interrupted.
    pub(super) async fn hold(&self, log: &mut Timeline) {
        log.say("hold", "still running; try these in another terminal, and end with Ctrl-C:");
        for (name, node) in
            std::iter::once(("edge", &self.edge)).chain(SITES.map(|site| site.name).into_iter().zip(&self.sites))
        {
            let api = node.running.node.info.api_listen.join(", ");
            log.plain(&format!("             {name:<5} anyhop --api {api} status"));
        }
        // Without a handler for the signal the process ends by it.
        let _ = tokio::signal::ctrl_c().await;
    }

    /// Stops every node in good order.
    pub(super) async fn end(self) {
        for node in self.sites {
            node.running.stop().await;
        }
        self.edge.running.stop().await;
    }
}

fn vip_v4() -> Result<Ipv4Addr, String> {
    VIP.parse().map_err(|_| format!("{VIP} is no address"))
}

/// The one check of a site's service.
async fn check(node: &Node) -> Result<Option<CheckView>, String> {
    let service = node.anycast.service("dns").await.ok_or("the site has lost its service")?;
    Ok(service.checks.into_iter().next())
}
