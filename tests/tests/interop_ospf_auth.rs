//! Authentication of OSPF with BIRD, FRR and ourselves on real links: the right key brings adjacencies up, a wrong one never does
//! and says so, keys change while adjacencies stay, and who restarts is taken again.

use std::time::Duration;

use anyhop_tests::lab::net::{Lab, Node};
use anyhop_tests::lab::wait::never;
use anyhop_tests::lab::{Anyhop, Bird, Frr, lab, wait_for};
use nix::sys::signal::Signal;
use serde_json::Value;

fn pair(lab: &mut Lab) -> (Node, Node) {
    let (ours, theirs) = (lab.node("anyhop"), lab.node("peer"));
    lab.link((&ours, "e0", "10.96.0.1/24 2001:db8:96::1/64"), (&theirs, "e0", "10.96.0.2/24 2001:db8:96::2/64"));
    (ours, theirs)
}

fn config(node: &Node, router: u8, auth: &str) -> String {
    format!(
        "[node]\nasn = 65001\nrouter_id = \"10.96.0.{router}\"\nstate_dir = \"{}\"\n[ospf]\n[[ospf.area]]\nid = 0\n\
         [[ospf.interface]]\nname = \"e0\"\narea = 0\nnetwork = \"point-to-point\"\nhello_interval = \"1s\"\n{auth}\n",
        node.path("state").display()
    )
}

fn rows(anyhop: &Anyhop, what: &str) -> Vec<Value> {
    anyhop.ask(&["show", "ospf", what])[what].as_array().cloned().unwrap_or_default()
}

#[track_caller]
fn full(anyhop: &Anyhop, count: usize) {
    wait_for("full adjacencies", || {
        let all = rows(anyhop, "neighbors");
        let full = all.iter().filter(|one| one["state"] == "full").count();
        if full == count && all.len() == count {
            Ok(())
        } else {
            Err(format!("{all:?}\n{:?}", rows(anyhop, "interfaces")))
        }
    });
}

/// Nobody is adjacent, and every interface says why.
#[track_caller]
fn refused(anyhop: &Anyhop, words: &str) {
    wait_for("the refusal", || {
        let (neighbors, interfaces) = (rows(anyhop, "neighbors"), rows(anyhop, "interfaces"));
        let counted = |one: &Value| {
            let drops = one["drops"].as_object().cloned().unwrap_or_default();
            drops.iter().any(|(reason, count)| reason.contains("authentication") && count.as_u64() > Some(1))
        };
        let said = |one: &Value| one["status"].as_str().is_some_and(|status| status.contains(words));
        let all = !interfaces.is_empty() && interfaces.iter().all(|one| said(one) && counted(one));
        if neighbors.is_empty() && all { Ok(()) } else { Err(format!("{neighbors:?}\n{interfaces:?}")) }
    });
    never("an adjacency with a wrong key", Duration::from_secs(3), || {
        let neighbors = rows(anyhop, "neighbors");
        (!neighbors.is_empty()).then(|| format!("{neighbors:?}"))
    });
}

fn reload(anyhop: &mut Anyhop, config: &str) {
    anyhop.write_config(config);
    let before = anyhop.process.log().matches("reloaded").count();
    anyhop.process.signal(Signal::SIGHUP);
    wait_for("the reload", || {
        let log = anyhop.process.log();
        if log.matches("reloaded").count() > before { Ok(()) } else { Err(log) }
    });
}

fn bird(v2: &str, v3: &str) -> String {
    let interface = |auth: &str| format!("interface \"e0\" {{ type ptp; hello 1; dead 4; {auth} }};");
    format!(
        "router id 10.96.0.2;\nprotocol device {{ scan time 1; }}\n\
         protocol ospf v2 o2 {{ ipv4 {{ import all; export none; }}; area 0 {{ {} }}; }}\n\
         protocol ospf v3 o3 {{ ipv6 {{ import all; export none; }}; area 0 {{ {} }}; }}\n",
        interface(v2),
        interface(v3)
    )
}

#[test]
fn bird_and_anyhop_authenticate_each_other_in_every_way_that_both_know() {
    let crypt = |id: u8, algorithm: &str| {
        format!("authentication cryptographic; password \"hush-hush\" {{ id {id}; algorithm {algorithm}; }};")
    };
    for (v2, v3, first, second) in [
        ("authentication simple; password \"hush\";".to_owned(), crypt(9, "hmac sha1"), "simple\", key = \"hush", "1"),
        (crypt(3, "keyed md5"), crypt(9, "hmac sha256"), "md5\", key_id = 3, key = \"hush-hush", "256"),
        (crypt(3, "hmac sha1"), crypt(9, "hmac sha384"), "hmac-sha-1\", key_id = 3, key = \"hush-hush", "384"),
        (crypt(3, "hmac sha256"), crypt(9, "hmac sha512"), "hmac-sha-256\", key_id = 3, key = \"hush-hush", "512"),
        (crypt(3, "hmac sha384"), crypt(9, "hmac sha256"), "hmac-sha-384\", key_id = 3, key = \"hush-hush", "256"),
        (crypt(3, "hmac sha512"), crypt(9, "hmac sha256"), "hmac-sha-512\", key_id = 3, key = \"hush-hush", "256"),
    ] {
        let Some(mut lab) = lab("bird_and_anyhop_authenticate_each_other") else { return };
        let (ours, theirs) = pair(&mut lab);
        let _bird = Bird::start(&theirs, &bird(&v2, &v3));
        // OSPFv2 signs with the first one; OSPFv3 leaves out what it does not know.
        let auth = if first.contains("hmac") {
            // Each version has an interface's keys in common order, so v3's key stands where v2 does not sign with it.
            format!(
                "auth = [ {{ type = \"{first}\" }}, {{ type = \"hmac-sha-{second}\", key_id = 9, key = \"hush-hush\" }} ]\nversions = [\"v2\"]"
            )
        } else {
            format!(
                "auth = [ {{ type = \"{first}\" }}, {{ type = \"hmac-sha-{second}\", key_id = 9, key = \"hush-hush\" }} ]"
            )
        };
        let count = if first.contains("hmac") { 1 } else { 2 };
        let mut anyhop = Anyhop::start(&ours, &config(&ours, 1, &auth));
        full(&anyhop, count);
        if count == 1 {
            // The same key for v3 alone.
            anyhop.process.signal(Signal::SIGTERM);
            anyhop.process.wait(Duration::from_secs(10));
            let auth = format!(
                "versions = [\"v3\"]\nauth = [ {{ type = \"hmac-sha-{second}\", key_id = 9, key = \"hush-hush\" }} ]"
            );
            let again = Anyhop::start_named(&ours, "again", &config(&ours, 1, &auth));
            full(&again, 1);
        } else {
            // Another secret, and back.
            reload(&mut anyhop, &config(&ours, 1, &auth.replace("hush", "hash")));
            refused(&anyhop, "is wrong: set the same key on both");
            reload(&mut anyhop, &config(&ours, 1, &auth));
            full(&anyhop, 2);
        }
    }
}

#[test]
fn frr_and_anyhop_authenticate_each_other() {
    let v3 = "interface e0\n ipv6 ospf6 area 0\n ipv6 ospf6 network point-to-point\n ipv6 ospf6 hello-interval 1\n \
              ipv6 ospf6 dead-interval 4\n ipv6 ospf6 authentication key-id 7 hash-algo hmac-sha-256 key hush-hush\n\
              exit\nrouter ospf6\n ospf6 router-id 10.96.0.2\nexit\n";
    for (theirs, first) in [
        (
            "ip ospf authentication message-digest\n ip ospf message-digest-key 3 md5 hush-hush",
            "md5\", key_id = 3, key = \"hush-hush",
        ),
        ("ip ospf authentication\n ip ospf authentication-key hush", "simple\", key = \"hush"),
    ] {
        let Some(mut lab) = lab("frr_and_anyhop_authenticate_each_other") else { return };
        let (ours, peer) = pair(&mut lab);
        let v2 = format!(
            "interface e0\n ip ospf area 0\n ip ospf network point-to-point\n ip ospf hello-interval 1\n ip ospf dead-interval 4\n \
             {theirs}\nexit\nrouter ospf\n ospf router-id 10.96.0.2\nexit\n"
        );
        let _frr = Frr::start_with_ospf(&peer, "", &v2, v3);
        let auth = format!(
            "auth = [ {{ type = \"{first}\" }}, {{ type = \"hmac-sha-256\", key_id = 7, key = \"hush-hush\", frr8 = true }} ]"
        );
        let mut anyhop = Anyhop::start(&ours, &config(&ours, 1, &auth));
        full(&anyhop, 2);
        reload(&mut anyhop, &config(&ours, 1, &auth.replace("hush", "hash")));
        refused(&anyhop, "is wrong: set the same key on both");
        reload(&mut anyhop, &config(&ours, 1, "auth = [ { type = \"none\" } ]"));
        refused(&anyhop, "it sends");
        reload(&mut anyhop, &config(&ours, 1, &auth));
        full(&anyhop, 2);
    }
}

#[test]
fn who_restarts_is_taken_again_because_its_numbers_have_grown() {
    let Some(mut lab) = lab("who_restarts_is_taken_again") else { return };
    let (ours, theirs) = pair(&mut lab);
    let crypt = "authentication cryptographic; password \"hush-hush\" { id 3; algorithm hmac sha256; };";
    let mut first = Bird::start(&theirs, &bird(crypt, crypt));
    let auth = "auth = [ { type = \"hmac-sha-256\", key_id = 3, key = \"hush-hush\" } ]";
    let mut anyhop = Anyhop::start(&ours, &config(&ours, 1, auth));
    full(&anyhop, 2);
    first.process.kill();
    let bird = Bird::start(&theirs, &bird(crypt, crypt));
    let both = || {
        for version in ["o2", "o3"] {
            wait_for("BIRD's adjacency", || {
                let said = bird.ask(&format!("show ospf neighbors {version}"));
                if said.contains("Full") { Ok(()) } else { Err(said) }
            });
        }
    };
    both();
    full(&anyhop, 2);
    // And so is anyhop, however it ends, and though its clock knows only seconds.
    for number in 0..3 {
        anyhop.process.kill();
        anyhop = Anyhop::start_named(&ours, &format!("again-{number}"), &config(&ours, 1, auth));
        full(&anyhop, 2);
        both();
    }
}

#[test]
fn two_of_us_use_extended_numbers_and_keys_from_files_and_change_them_while_adjacent() {
    let Some(mut lab) = lab("two_of_us_use_extended_numbers") else { return };
    let (ours, theirs) = pair(&mut lab);
    for node in [&ours, &theirs] {
        node.write("old.key", "the-old-secret\n");
        node.write("new.key", "the-new-secret\n");
    }
    let key = |id: u8, file: &str| {
        format!("{{ type = \"hmac-sha-256\", key_id = {id}, key_file = \"{file}.key\", extended_sequence = true }}")
    };
    let steps = [
        format!("auth = [ {} ]", key(1, "old")),
        format!("auth = [ {}, {} ]", key(1, "old"), key(2, "new")),
        format!("auth = [ {}, {} ]", key(2, "new"), key(1, "old")),
        format!("auth = [ {} ]", key(2, "new")),
    ];
    let mut routers = [(1, &ours), (2, &theirs)]
        .map(|(number, node)| (number, node, Anyhop::start(node, &config(node, number, &steps[0]))));
    for (_, _, anyhop) in &routers {
        full(anyhop, 2);
    }
    for step in &steps[1..] {
        for (number, node, anyhop) in &mut routers {
            reload(anyhop, &config(node, *number, step));
            // Longer than the dead interval of 4 s.
            std::thread::sleep(Duration::from_secs(5));
        }
    }
    for (_, _, anyhop) in &routers {
        let all = rows(anyhop, "neighbors");
        assert!(all.len() == 2 && all.iter().all(|one| one["ups"] == 1 && one["state"] == "full"), "{all:?}");
        assert!(!anyhop.process.log().contains("-secret"), "{}", anyhop.process.log());
    }
}
