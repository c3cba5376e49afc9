//! Two hosts with a router between them whose data plane is on trial: what both labs of such data planes ask and do. The right
//! host has two links to the router, and addresses beyond them.

use std::time::Duration;

use serde_json::Value;

use crate::lab::{Anyhop, Node, wait_for};

/// The way to what lies beyond the right host.
pub const TARGETS: &str = "[[static]]\nprefix = \"192.0.2.0/24\"\nvia = [\"10.2.0.2\"]\n\
                           [[static]]\nprefix = \"2001:db8::/48\"\nvia = [\"fd02::2\"]\n";

/// Addresses beyond the links, and the hosts' routes to each other.
pub fn hosts(left: &Node, right: &Node) {
    right.ip("addr add 192.0.2.1/24 dev lo");
    right.ip("addr add 2001:db8::1/48 dev lo nodad");
    left.ip("route add default via 10.1.0.1");
    left.ip("-6 route add default via fd01::1");
    right.ip("route add default via 10.2.0.1");
    right.ip("-6 route add default via fd02::1");
    for key in ["all", "default", "eth0", "eth1"] {
        right.sysctl(&format!("net.ipv4.conf.{key}.rp_filter"), "0");
    }
}

/// What `anyhop show fib` says of a data plane.
///
/// # Panics
/// If there is none of that name.
#[must_use]
pub fn plane(anyhop: &Anyhop, name: &str) -> Value {
    let said = anyhop.ask(&["show", "fib"]);
    let backends = said["backends"].as_array().expect("data planes");
    backends.iter().find(|backend| backend["name"] == name).expect("the data plane").clone()
}

/// How many packets went that way.
///
/// # Panics
/// If that is not counted.
#[must_use]
pub fn counted(anyhop: &Anyhop, name: &str, reason: &str) -> u64 {
    let plane = plane(anyhop, name);
    plane["counters"][reason].as_u64().unwrap_or_else(|| panic!("no {reason}: {plane}"))
}

/// Waits until the data plane holds all that it should: the links' networks at least.
pub fn settled(anyhop: &Anyhop, name: &str) {
    wait_for("the data plane to hold what it should", || {
        let plane = plane(anyhop, name);
        let number = |key: &str| plane[key].as_u64().unwrap_or(0);
        let whole = number("desired") >= 6 && number("installed") == number("desired");
        if whole { Ok(()) } else { Err(plane.to_string()) }
    });
}

/// Has the router answer. The first packets to a host whose address is not known yet are the kernel's, which drops them where it may not
/// forward.
pub fn acquaint(node: &Node, with: &[&str]) {
    for to in with {
        wait_for("the router to answer", || {
            if node.succeeds(&format!("ping -c 1 -W 1 {to}")) { Ok(()) } else { Err((*to).to_owned()) }
        });
    }
}

/// A ping passes, over one router.
///
/// # Panics
/// If it passes over more.
pub fn reaches(from: &Node, to: &str) {
    wait_for("a ping to pass", || {
        let output = from.command("ping").args(["-c", "2", "-i", "0.1", "-W", "1", to]).output().expect("ping");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        if !output.status.success() {
            return Err(said);
        }
        assert!(said.contains("ttl=63"), "one router lies between: {said}");
        Ok(())
    });
}

/// Sends so many octets by TCP and compares what came with what was sent.
///
/// # Panics
/// If it differs.
pub fn transfers(from: &Node, to: &Node, addr: &str, octets: u32) {
    let family = if addr.contains(':') { "AF_INET6" } else { "AF_INET" };
    let server = format!(
        "import socket,hashlib\ns=socket.socket(socket.{family});s.setsockopt(1,2,1);s.bind(('{addr}',7777));s.listen()\n\
         print('ready',flush=True)\nc,_=s.accept();h=hashlib.sha256();n=0\n\
         while True:\n  d=c.recv(65536)\n  if not d: break\n  h.update(d);n+=len(d)\nprint(n,h.hexdigest(),flush=True)\n"
    );
    let client = format!(
        "import socket,hashlib,random\nd=random.Random(7).randbytes({octets})\ns=socket.socket(socket.{family})\n\
         s.settimeout(20);s.connect(('{addr}',7777));s.sendall(d);s.close();print(len(d),hashlib.sha256(d).hexdigest())\n"
    );
    let name = format!("tcp-{}", addr.replace(':', "_"));
    let mut receiving = to.spawn(&name, to.command("python3").args(["-c", &server]));
    wait_for("the server", || if receiving.log().contains("ready") { Ok(()) } else { Err(receiving.log()) });
    let output = from.command("python3").args(["-c", &client]).output().expect("python");
    let sent = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(receiving.wait(Duration::from_secs(30)).success());
    assert_eq!(receiving.log().lines().last(), Some(sent.as_str()));
}

/// Packets that the right host got by each of its links.
///
/// # Panics
/// If `ip` does not say.
#[must_use]
pub fn came(right: &Node) -> [u64; 2] {
    ["eth0", "eth1"].map(|port| {
        let text = right.ip(&format!("-s -j link show {port}"));
        let json: Value = serde_json::from_str(&text).expect("JSON");
        json[0]["stats64"]["rx"]["packets"].as_u64().expect("a count")
    })
}

/// Sends 600 flows of two datagrams each.
///
/// # Panics
/// If they cannot be sent.
pub fn spray(from: &Node, to: &str) {
    let family = if to.contains(':') { "AF_INET6" } else { "AF_INET" };
    let script = format!(
        "import socket\nfor p in range(600):\n  s=socket.socket(socket.{family},2);s.bind(('',20000+p))\n  \
         [s.sendto(b'x'*64,('{to}',9)) for _ in range(2)]\n  s.close()\n"
    );
    assert!(from.command("python3").args(["-c", &script]).status().expect("python").success());
}

/// What two pings say, in small letters.
#[must_use]
pub fn says(from: &Node, arguments: &str) -> String {
    from.sh(&format!("ping -c 2 -i 0.2 -W 1 {arguments} 2>&1 || true")).to_lowercase()
}

/// Both pings are answered.
///
/// # Panics
/// If not.
#[track_caller]
pub fn arrives(from: &Node, arguments: &str) {
    let said = says(from, arguments);
    assert!(said.contains(" 0% packet loss"), "ping {arguments}: {said}");
}

/// By how much a count of a data plane rises while something is done.
///
/// # Panics
/// If it does not.
#[track_caller]
pub fn rises(anyhop: &Anyhop, name: &str, reason: &str, what: &mut dyn FnMut()) -> u64 {
    let before = counted(anyhop, name, reason);
    what();
    let after = counted(anyhop, name, reason);
    assert!(after > before, "{reason}: {before} -> {after}");
    after - before
}

/// Sets the MTU of the first link between the router and the right host, at both ends.
pub fn set_mtu(router: &Node, right: &Node, octets: u32) {
    for (node, interface) in [(router, "r0"), (right, "eth0")] {
        node.ip(&format!("link set {interface} mtu {octets}"));
    }
}

/// The administrator makes the way narrower, RFC 1191, RFC 8201: the left host hears of it, or its packets are cut.
pub fn narrows(anyhop: &Anyhop, name: &str, left: &Node, router: &Node, right: &Node) {
    set_mtu(router, right, 1400);
    wait_for("the MTU", || {
        let said = says(left, "-M do -s 1440 192.0.2.1");
        if said.contains("mtu = 1400") || said.contains("mtu=1400") { Ok(()) } else { Err(said) }
    });
    rises(anyhop, name, "mtu", &mut || assert!(says(left, "-M do -s 1440 2001:db8::1").contains("mtu")));
    left.sh("ip route flush cache");
    rises(anyhop, name, "mtu", &mut || arrives(left, "-M dont -s 1440 192.0.2.1"));
}

/// The administrator gives the router's links to both hosts other MAC addresses: frames for the old one are forwarded no more, those
/// for the new one are, and those that leave come from it.
///
/// # Panics
/// If the data plane does otherwise.
pub fn changes_address(anyhop: &Anyhop, name: &str, left: &Node, router: &Node, right: &Node) {
    let (near, far) = ("02:00:00:00:aa:01", "02:00:00:00:aa:02");
    let link: Value = serde_json::from_str(&router.ip("-j link show l0")).expect("JSON");
    let old = link[0]["address"].as_str().expect("an address").to_owned();
    arrives(left, "192.0.2.1");
    for (interface, address) in [("l0", near), ("r0", far)] {
        router.ip(&format!("link set {interface} address {address}"));
    }
    left.ip(&format!("neigh replace 10.1.0.1 lladdr {old} dev eth0 nud reachable"));
    wait_for("frames for the old address to be forwarded no more", || {
        let before = counted(anyhop, name, "forwarded-ipv4");
        let said = says(left, "192.0.2.1");
        let after = counted(anyhop, name, "forwarded-ipv4");
        if after == before && said.contains("100% packet loss") { Ok(()) } else { Err(said) }
    });
    for (host, interface, gateway) in [(left, "eth0", "10.1.0.1"), (right, "eth0", "10.2.0.1")] {
        host.ip(&format!("neigh flush dev {interface}"));
        acquaint(host, &[gateway]);
    }
    let script = "import socket\ns=socket.socket(17,3,8);s.bind(('eth0',2048));print('ready',flush=True)\n\
                  while True:\n  f=s.recv(2048)\n  if f[23]==1 and f[34]==8: print(f[6:12].hex(':'),flush=True);break\n";
    let mut witness = right.spawn("witness", right.command("python3").args(["-c", script]));
    wait_for("the witness", || if witness.log().contains("ready") { Ok(()) } else { Err(witness.log()) });
    assert!(rises(anyhop, name, "forwarded-ipv4", &mut || arrives(left, "192.0.2.1")) >= 4, "both ways");
    assert!(witness.wait(Duration::from_secs(10)).success());
    assert_eq!(witness.log().lines().last(), Some(far), "where the frames come from");
}
