//! What an operator of OSPF sees and does, with BIRD and FRR at the other end: reasons, databases as they change, one verdict for
//! both protocols, routers that ask to be routed around, links that are announced and silent.

#![allow(clippy::disallowed_methods, reason = "the lab runs in real time, with real daemons")]

use std::time::Duration;

use anyhop_tests::lab::net::{Lab, Node};
use anyhop_tests::lab::services::http_server;
use anyhop_tests::lab::wait::never;
use anyhop_tests::lab::{Anyhop, Bird, Frr, lab, wait_for};
use nix::sys::signal::Signal;
use proto::v1;
use proto::v1::ospf_service_client::OspfServiceClient;
use tokio::runtime::Runtime;
use tonic::transport::Endpoint;

/// Two hosts with a link, 10.96.0.1 and 10.96.0.2.
fn pair(lab: &mut Lab) -> (Node, Node) {
    let (ours, theirs) = (lab.node("anyhop"), lab.node("peer"));
    lab.link((&ours, "e0", "10.96.0.1/24 2001:db8:96::1/64"), (&theirs, "e0", "10.96.0.2/24 2001:db8:96::2/64"));
    (ours, theirs)
}

/// anyhop with e0 in the backbone; keys of `[ospf]`, and more tables.
fn ours(keys: &str, more: &str) -> String {
    format!(
        "[node]\nasn = 65001\nrouter_id = \"10.96.0.1\"\n[ospf]\n{keys}\n[[ospf.area]]\nid = 0\n[[ospf.interface]]\nname = \"e0\"\n\
         area = 0\nnetwork = \"point-to-point\"\nhello_interval = \"1s\"\ndead_interval = \"4s\"\ncost = 7\n{more}\n"
    )
}

/// BIRD with e0 in the backbone, of OSPFv2.
fn bird(more: &str) -> String {
    format!(
        "log stderr all;\ntimeformat log iso long ms;\nrouter id 10.96.0.2;\nprotocol device {{ scan time 1; }}\n\
         protocol ospf v2 o2 {{ debug {{ packets }}; ipv4 {{ import all; export none; }};\n\
         area 0 {{ interface \"e0\" {{ type ptp; hello 1; dead 4; }}; stubnet 203.0.113.1/32; }}; }}\n{more}\n"
    )
}

#[track_caller]
fn full(anyhop: &Anyhop) {
    wait_for("a full adjacency", || {
        let said = anyhop.ask(&["show", "ospf", "neighbors"]);
        match said["neighbors"].as_array().map(Vec::as_slice) {
            Some([one]) if one["state"] == "full" => Ok(()),
            _ => Err(said.to_string()),
        }
    });
}

/// The cost of the way to anyhop in what anyhop says of its links, as BIRD has it.
fn metric_of_link(bird: &Bird) -> Option<u32> {
    let said = bird.ask("show ospf state all");
    let ours = said.split("router 10.96.0.1").nth(1)?.split("\n\trouter ").next()?.to_owned();
    let line = ours.lines().find(|line| line.contains("router 10.96.0.2"))?;
    line.split_whitespace().last()?.parse().ok()
}

#[test]
fn one_verdict_takes_a_service_out_of_both_protocols_at_once() {
    let Some(mut lab) = lab("one_verdict_takes_a_service_out_of_both_protocols") else { return };
    let (node, peer) = pair(&mut lab);
    let bgp = "protocol bgp b1 { debug { packets }; local 10.96.0.2 as 65002; neighbor 10.96.0.1 as 65001; direct;\n\
               connect delay time 1; error wait time 1, 2;\nipv4 { table tb; import all; export none; }; }";
    let bird = Bird::start(&peer, &format!("ipv4 table tb;\n{}", bird(bgp)));
    let mut web = http_server(&node, 8080);
    let more = "[[neighbor]]\naddress = \"10.96.0.2\"\nasn = 65002\nconnect_retry = \"500ms\"\n\
                [[service]]\nname = \"dns\"\nvips = [\"192.0.2.53/32\"]\nvia = [\"bgp\", \"ospf\"]\nbind = \"lo\"\n\
                checks = [ { type = \"http\", target = \"127.0.0.1:8080\", interval = \"200ms\", timeout = \"150ms\", rise = 1, fall = 2 } ]\n";
    let anyhop = Anyhop::start(&node, &ours("", &format!("versions = [\"v2\"]\n{more}")));
    full(&anyhop);
    let has = |wanted: bool| {
        let (of_ospf, of_bgp) = (bird.ask("show route protocol o2"), bird.ask("show route table tb"));
        let there = [&of_ospf, &of_bgp].map(|said| said.contains("192.0.2.53/32"));
        if there == [wanted; 2] { Ok(()) } else { Err(format!("{of_ospf}\n{of_bgp}")) }
    };
    wait_for("the service by both protocols", || has(true));
    let before = bird.process.log().len();
    web.kill();
    wait_for("the service to be gone from both protocols", || has(false));
    let log = bird.process.log()[before..].to_owned();
    let first = |words: &str| {
        let line = log.lines().find(|line| line.contains(words)).unwrap_or_else(|| panic!("no {words:?} in\n{log}"));
        time_of_day(line).unwrap_or_else(|| panic!("no time in {line:?}"))
    };
    let (of_ospf, of_bgp) = (first("LSUPD packet received"), first("b1: Got UPDATE"));
    let apart = of_ospf.abs_diff(of_bgp);
    assert!(apart < Duration::from_millis(100), "{apart:?} apart\n{log}");
}

/// The time in a line of BIRD's log, `2026-11-30 21:00:00.123 …`, since midnight.
fn time_of_day(line: &str) -> Option<Duration> {
    let time = line.split_whitespace().find(|word| word.len() == 12 && word.as_bytes().get(2) == Some(&b':'))?;
    let mut parts = time.split(':');
    let (hours, minutes) = (parts.next()?.parse::<u32>().ok()?, parts.next()?.parse::<u32>().ok()?);
    let seconds = Duration::try_from_secs_f64(parts.next()?.parse().ok()?).ok()?;
    Some(Duration::from_secs(60) * (hours * 60 + minutes) + seconds)
}

#[test]
fn bird_sees_a_starting_and_a_draining_router_ask_to_be_routed_around() {
    let Some(mut lab) = lab("bird_sees_a_starting_and_a_draining_router") else { return };
    let (node, peer) = pair(&mut lab);
    let bird = Bird::start(&peer, &bird(""));
    let service = "[[service]]\nname = \"dns\"\nvips = [\"192.0.2.53/32\"]\nvia = [\"ospf\"]\nbind = \"lo\"\ndrain = { gshut = \"4s\" }\n";
    let keys = "max_metric = { on_startup = \"4s\", on_drain = true }";
    let mut anyhop = Anyhop::start(&node, &ours(keys, &format!("versions = [\"v2\"]\n{service}")));
    let says = |metric: u32| match metric_of_link(&bird) {
        Some(said) if said == metric => Ok(()),
        other => Err(format!("{other:?} instead of {metric}\n{}", bird.ask("show ospf state all"))),
    };
    wait_for("the largest metric at the start", || says(65535));
    assert!(anyhop.ask(&["status"])["ospf"][0]["max_metric"] == true);
    wait_for("the configured metric", || says(7));
    anyhop.process.signal(Signal::SIGTERM);
    wait_for("the largest metric while the service drains", || says(65535));
    assert!(anyhop.process.is_running());
}

#[test]
fn a_passive_link_is_told_of_and_nothing_is_said_on_it() {
    let Some(mut lab) = lab("a_passive_link_is_told_of") else { return };
    let (node, peer) = pair(&mut lab);
    let edge = lab.node("edge");
    lab.link((&node, "e1", "198.51.100.1/24 2001:db8:51::1/64"), (&edge, "e0", "198.51.100.2/24 2001:db8:51::2/64"));
    let listener = Bird::start(&edge, &bird("").replace("10.96.0.2", "198.51.100.2"));
    let bird = Bird::start(&peer, &bird(""));
    let passive = "[[ospf.interface]]\nname = \"e1\"\narea = 0\npassive = true\n";
    let anyhop = Anyhop::start(&node, &ours("", passive));
    wait_for("the passive link's network", || {
        let said = bird.ask("show route protocol o2");
        if said.contains("198.51.100.0/24") { Ok(()) } else { Err(said) }
    });
    never("a word on the passive link", Duration::from_secs(3), || {
        let log = listener.process.log();
        log.contains("HELLO packet received").then_some(log)
    });
    let interfaces = anyhop.ask(&["show", "ospf", "interfaces"]);
    let rows = interfaces["interfaces"].as_array().cloned().unwrap_or_default();
    assert!(rows.iter().any(|one| one["name"] == "e1" && one["passive"] == true), "{interfaces}");
}

#[test]
fn a_neighbor_with_another_mtu_is_named_with_both_numbers_in_the_log_and_the_status() {
    // Ours smaller, then theirs: each side refuses the other's larger one.
    for (ours_mtu, theirs_mtu) in [(1400, 1500), (1500, 1400)] {
        let Some(mut lab) = lab("a_neighbor_with_another_mtu") else { return };
        let (node, peer) = pair(&mut lab);
        node.ip(&format!("link set e0 mtu {ours_mtu}"));
        peer.ip(&format!("link set e0 mtu {theirs_mtu}"));
        let v2 = "interface e0\n ip ospf area 0\n ip ospf network point-to-point\n ip ospf hello-interval 1\n ip ospf dead-interval 4\n\
                  exit\nrouter ospf\n ospf router-id 10.96.0.2\nexit\n";
        let v3 = "interface e0\n ipv6 ospf6 area 0\n ipv6 ospf6 network point-to-point\n ipv6 ospf6 hello-interval 1\n\
                  ipv6 ospf6 dead-interval 4\nexit\nrouter ospf6\n ospf6 router-id 10.96.0.2\nexit\n";
        let _frr = Frr::start_with_ospf(&peer, "", v2, v3);
        let anyhop = Anyhop::start(&node, &ours("", "retransmit_interval = \"1s\""));
        let reason = format!("its MTU is {theirs_mtu}, ours is {ours_mtu}");
        for version in ["OSPFv2", "OSPFv3"] {
            wait_for("the reason in the status", || {
                let said = anyhop.ask(&["status"]);
                let problems = said["problems"].as_array().cloned().unwrap_or_default();
                let told = |problem: &serde_json::Value| {
                    problem.as_str().is_some_and(|text| text.starts_with(version) && text.contains(&reason))
                };
                if problems.iter().any(told) { Ok(()) } else { Err(said.to_string()) }
            });
        }
        let text = anyhop.client(&["status"]);
        let text = String::from_utf8_lossy(&text.stdout).into_owned();
        assert!(text.contains("OSPFv2: 0 of 1 neighbors full"), "{text}");
        wait_for("the reason in the log", || {
            let log = anyhop.process.log();
            let line = log.lines().find(|line| line.contains(&reason) && line.contains("WARN"));
            line.map(|_| ()).ok_or(log.clone())
        });
        peer.ip(&format!("link set e0 mtu {ours_mtu}"));
        wait_for("both adjacencies", || {
            let said = anyhop.ask(&["status"]);
            let full = said["ospf"].as_array().is_some_and(|all| all.iter().all(|one| one["full"] == 1));
            if full && said["ospf_not_full"].as_array().is_some_and(Vec::is_empty) {
                Ok(())
            } else {
                Err(said.to_string())
            }
        });
    }
}

/// A database as a watcher knows it.
#[derive(Default)]
struct Watched {
    lsas: std::collections::BTreeMap<(i32, String, u32, String, String), i32>,
    token: String,
    snapshots: usize,
}

impl Watched {
    fn take(&mut self, message: v1::WatchLsdbResponse) {
        let key =
            |lsa: &v1::Lsa| (lsa.version, lsa.area.clone(), lsa.r#type, lsa.id.clone(), lsa.advertising_router.clone());
        if message.snapshot {
            self.lsas.clear();
            self.snapshots += 1;
        }
        for lsa in &message.updated {
            self.lsas.insert(key(lsa), lsa.sequence);
        }
        for lsa in &message.removed {
            self.lsas.remove(&key(lsa));
        }
        if !message.resume_token.is_empty() {
            self.token = message.resume_token;
        }
    }

    /// Whether an LSA of AS scope with that address is known.
    fn has(&self, id: &str) -> bool {
        self.lsas.keys().any(|(_, area, _, lsa, _)| area.is_empty() && lsa == id)
    }

    async fn until(&mut self, stream: &mut tonic::Streaming<v1::WatchLsdbResponse>, done: impl Fn(&Self) -> bool) {
        while !done(self) {
            let message =
                tokio::time::timeout(Duration::from_secs(10), stream.message()).await.expect("a message soon");
            self.take(message.expect("the watch goes on").expect("the watch goes on"));
        }
    }
}

#[test]
fn a_watcher_of_the_database_hears_of_each_change_and_goes_on_where_it_stopped() {
    let Some(mut lab) = lab("a_watcher_of_the_database") else { return };
    let (node, peer) = pair(&mut lab);
    let _bird = Bird::start(&peer, &bird(""));
    let redistribute = "redistribute = [ { from = \"api\", policy = \"accept\" } ]";
    let anyhop = Anyhop::start(&node, &ours(redistribute, ""));
    full_v2(&anyhop);
    let add = |prefix: &str| {
        let done = anyhop.client(&["route", "add", prefix, "--blackhole"]);
        assert!(done.status.success(), "{done:?}");
    };
    let delete = |prefix: &str| assert!(anyhop.client(&["route", "del", prefix]).status.success());
    let runtime = Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let uri = format!("unix:{}", node.path("anyhop.sock").display());
        let channel = Endpoint::from_shared(uri).expect("an address").connect().await.expect("the API");
        let mut client = OspfServiceClient::new(channel);
        let mut watched = Watched::default();
        let mut stream = client.watch_lsdb(v1::WatchLsdbRequest::default()).await.expect("a watch").into_inner();
        // Both routers' LSAs, of both versions.
        watched.until(&mut stream, |watched| !watched.token.is_empty()).await;
        assert!(watched.lsas.len() >= 3, "{:?}", watched.lsas);
        add("198.51.100.0/24");
        watched.until(&mut stream, |watched| watched.has("198.51.100.0")).await;
        drop(stream);
        // The connection broke; meanwhile one comes and one goes.
        add("203.0.113.0/24");
        delete("198.51.100.0/24");
        let request = v1::WatchLsdbRequest { version: 0, resume_token: watched.token.clone() };
        let mut stream = client.watch_lsdb(request.clone()).await.expect("a watch").into_inner();
        watched.until(&mut stream, |watched| watched.has("203.0.113.0") && !watched.has("198.51.100.0")).await;
        assert_eq!(watched.snapshots, 1, "it went on where it stopped");
        // Somebody else's token is no use: the database comes again.
        let other = v1::WatchLsdbRequest { resume_token: "1.2.3".to_owned(), ..request.clone() };
        let mut stream = client.watch_lsdb(other).await.expect("a watch").into_inner();
        watched.until(&mut stream, |watched| watched.snapshots == 2).await;
        let wrong = v1::WatchLsdbRequest { resume_token: "nonsense".to_owned(), ..request };
        let refused = client.watch_lsdb(wrong).await.expect_err("never was a token");
        assert!(refused.message().contains("resume_token"), "{refused}");
    });
}

/// The adjacency of OSPFv2 stands.
#[track_caller]
fn full_v2(anyhop: &Anyhop) {
    wait_for("a full adjacency", || {
        let said = anyhop.ask(&["show", "ospf", "neighbors", "--ospf", "v2"]);
        if said["neighbors"][0]["state"] == "full" { Ok(()) } else { Err(said.to_string()) }
    });
}
