//! A whole daemon on a host in memory, listening on loopback.

use std::net::SocketAddr;
use std::path::Path;

use anyhop::config::check_text;
use anyhop::daemon::handles::Node;
use anyhop::daemon::{Platform, Running, start};
use bgpd::speaker::message::{Command, NeighborKey, NeighborView, Query, Reply, SessionState};
use fib_sync::host::Link;
use fib_sync::memory::{MemoryHost, Plane};
use rib::{Forwarding, IfIndex};
use tokio::runtime::Runtime;

/// Our AS in nearly all cases.
pub const OUR_AS: u32 = 65000;
/// Our router id.
pub const OUR_ID: &str = "10.255.0.1";

/// A running daemon in AS 65000 with router id 10.255.0.1, listening on 127.0.0.1.
///
/// Next hops in 10.0.0.0/8 and 2001:db8::/32 resolve, others do not.
pub struct Rig {
    runtime: Runtime,
    running: Option<Running>,
    host: MemoryHost,
    /// What it forwards by; stays when the daemon is gone.
    plane: Plane,
    text: String,
    /// Where it listens.
    pub port: u16,
}

impl Rig {
    /// With keys of `[bgp]` and the rest of the configuration.
    #[track_caller]
    pub fn with_bgp(bgp: &str, rest: &str) -> Self {
        Self::with_node(&format!("asn = {OUR_AS}\nrouter_id = \"{OUR_ID}\""), bgp, rest)
    }

    #[track_caller]
    pub fn with_node(node: &str, bgp: &str, rest: &str) -> Self {
        Self::start(text(node, "\"127.0.0.1:0\"", bgp, rest), Plane::new())
    }

    /// The same configuration in another daemon that finds what this one has left in the data plane.
    #[track_caller]
    pub fn again(&self) -> Self {
        Self::start(self.text.clone(), self.plane.clone())
    }

    #[track_caller]
    fn start(text: String, plane: Plane) -> Self {
        let model = check_text(Path::new("case.toml"), &text).unwrap_or_else(|errors| panic!("{errors}\n{text}"));
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let (host, events) = MemoryHost::new();
        let platform = Platform::Memory { host: host.clone(), events, plane: plane.clone() };
        host.set_link(Link { index: IfIndex(2), name: "eth0".to_owned(), up: true, mtu: 1500, loopback: false });
        let running = runtime.block_on(start(model, platform, None)).expect("the daemon starts");
        let port = running.node.info.bgp_listen[0].port();
        Self { runtime, running: Some(running), host, plane, text, port }
    }

    /// The host gets this address on eth0, or loses it.
    #[track_caller]
    pub fn set_address(&self, address: &str, there: bool) {
        let address = address.parse().expect("an address and a prefix length");
        let host = &self.host;
        let changed = if there { host.add_address("eth0", address) } else { host.remove_address("eth0", address) };
        assert_eq!(changed, Ok(true));
    }

    /// Listening on ::1 too.
    #[track_caller]
    pub fn with_ipv6(rest: &str) -> Self {
        let node = format!("asn = {OUR_AS}\nrouter_id = \"{OUR_ID}\"");
        Self::start(text(&node, "\"127.0.0.1:0\", \"[::1]:0\"", "", rest), Plane::new())
    }

    /// Where it listens on ::1.
    pub fn port6(&self) -> u16 {
        self.node().info.bgp_listen[1].port()
    }

    #[track_caller]
    pub fn new(rest: &str) -> Self {
        Self::with_bgp("", rest)
    }

    /// A TCP connection from 127.0.1.`number`.
    #[track_caller]
    pub fn connect(&self, number: u8) -> std::net::TcpStream {
        self.try_connect(number).expect("it listens")
    }

    /// A connection that takes little while nobody reads from it.
    #[track_caller]
    pub fn connect_narrow(&self, number: u8) -> std::net::TcpStream {
        self.connect_with(number, Some(8192)).expect("it listens")
    }

    /// As [`Rig::connect`]; the daemon may reset it before it stands.
    pub fn try_connect(&self, number: u8) -> std::io::Result<std::net::TcpStream> {
        self.connect_with(number, None)
    }

    fn connect_with(&self, number: u8, buffer: Option<u32>) -> std::io::Result<std::net::TcpStream> {
        self.runtime.block_on(async {
            let socket = tokio::net::TcpSocket::new_v4()?;
            buffer.map_or(Ok(()), |octets| socket.set_recv_buffer_size(octets))?;
            socket.bind(SocketAddr::from(([127, 0, 1, number], 0)))?;
            let stream = socket.connect(SocketAddr::from(([127, 0, 0, 1], self.port))).await?.into_std()?;
            stream.set_nonblocking(false)?;
            stream.set_nodelay(true)?;
            Ok(stream)
        })
    }

    /// What the daemon knows of neighbor 127.0.1.`number`.
    pub fn neighbor(&self, number: u8) -> NeighborView {
        match self.runtime.block_on(self.node().bgp.query(Query::Neighbors(None))) {
            Ok(Reply::Neighbors(views)) => {
                let wanted = format!("127.0.1.{number}");
                views
                    .into_iter()
                    .find(|view| view.address.is_some_and(|address| address.to_string() == wanted))
                    .expect("a neighbor")
            }
            other => panic!("{other:?}"),
        }
    }

    /// Waits until the daemon says so of neighbor 127.0.1.`number`.
    #[track_caller]
    #[allow(clippy::disallowed_methods, reason = "a neighbor lives in real time")]
    pub fn until(&self, number: u8, state: SessionState) {
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(5);
        while self.neighbor(number).state != state {
            assert!(std::time::Instant::now() < deadline, "{:?} instead of {state:?}", self.neighbor(number).state);
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
    }

    fn node(&self) -> &Node {
        &self.running.as_ref().expect("it runs").node
    }

    /// Carries out an operator's wish as `anyhop neighbor` does.
    #[track_caller]
    pub fn command(&self, command: Command) {
        self.runtime.block_on(self.node().bgp.command(command)).expect("it is carried out");
    }

    /// Adds a `[[neighbor]]` as the API does.
    #[track_caller]
    pub fn add_neighbor(&self, table: &str) {
        let added = self.runtime.block_on(self.node().neighbors.add(table.to_owned()));
        added.expect("it runs").expect("it is added");
    }

    /// Deletes one that was added.
    #[track_caller]
    pub fn delete_neighbor(&self, number: u8) {
        let deleted = self.runtime.block_on(self.node().neighbors.delete(key(number)));
        deleted.expect("it runs").expect("it is deleted");
    }

    /// Takes up a configuration in which `from` became `to`, as SIGHUP does.
    #[track_caller]
    pub fn reload(&mut self, from: &str, to: &str) {
        assert!(self.text.contains(from), "{from} in {}", self.text);
        self.text = self.text.replace(from, to);
        let model = check_text(Path::new("case.toml"), &self.text).unwrap_or_else(|errors| panic!("{errors}"));
        let running = self.running.as_mut().expect("it runs");
        self.runtime.block_on(running.reload(model)).expect("it is taken up");
    }

    /// Waits until the data plane forwards `prefix` so: gateways with their weights, sorted, or what is done with packets.
    #[track_caller]
    pub fn await_forwarding(&self, prefix: &str, expected: &str) {
        let prefix: ipnet::IpNet = prefix.parse().expect("a prefix");
        let now = || {
            let found = self.plane.routes().into_iter().find(|(of, _)| *of == prefix).map(|(_, how)| how);
            match found {
                None => "nothing".to_owned(),
                Some(Forwarding::Discard(how)) => format!("{how:?}").to_lowercase(),
                Some(Forwarding::Local) => "local".to_owned(),
                Some(Forwarding::Legs(legs)) => {
                    let leg = |leg: &rib::ResolvedLeg| {
                        format!("{}*{}", leg.gateway.map_or("-".to_owned(), |g| g.to_string()), leg.weight)
                    };
                    let mut legs: Vec<String> = legs.iter().map(leg).collect();
                    legs.sort();
                    legs.join(" ")
                }
            }
        };
        for _ in 0..1000 {
            if now() == expected {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        assert_eq!(now(), expected, "{prefix}");
    }

    /// Routes that the data plane holds beside the static ones.
    pub fn neighbor_routes(&self) -> usize {
        let fixed = ["10.0.0.0/8", "2001:db8::/32"];
        self.plane.routes().iter().filter(|(prefix, _)| !fixed.contains(&prefix.to_string().as_str())).count()
    }

    /// Stops it as SIGTERM does.
    pub fn stop(&mut self) {
        if let Some(running) = self.running.take() {
            self.runtime.block_on(running.stop());
        }
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        // A panic is on its way: nobody waits for an orderly stop then.
        if !std::thread::panicking() {
            self.stop();
        }
    }
}

fn text(node: &str, listen: &str, bgp: &str, rest: &str) -> String {
    format!(
        "[node]\n{node}\n[api]\nlisten = []\n[bgp]\nlisten = [{listen}]\n{bgp}\n[fib]\nbackends = [\"memory\"]\n\
         [[static]]\nprefix = \"10.0.0.0/8\"\ninterface = \"eth0\"\n\
         [[static]]\nprefix = \"2001:db8::/32\"\ninterface = \"eth0\"\n{rest}"
    )
}

/// The name of neighbor 127.0.1.`number`.
pub fn key(number: u8) -> NeighborKey {
    std::net::IpAddr::from([127, 0, 1, number]).into()
}

/// `[[neighbor]]` 127.0.1.`number` in `asn` that is dialled at `port` too.
pub fn dialled(number: u8, asn: u32, port: u16, more: &str) -> String {
    neighbor(number, asn, more).replace("passive = true", &format!("port = {port}\nconnect_retry = \"1s\""))
}

/// `[[neighbor]]` 127.0.1.`number` in `asn` that waits for our connection, imports and exports all; `more` keys.
pub fn neighbor(number: u8, asn: u32, more: &str) -> String {
    let has = |key: &str| more.lines().any(|line| line.trim_start().starts_with(key));
    let mut text = format!("[[neighbor]]\naddress = \"127.0.1.{number}\"\nasn = {asn}\npassive = true\n");
    for key in ["import", "export"] {
        if !has(key) {
            text += &format!("{key} = \"accept\"\n");
        }
    }
    text + more + "\n"
}

/// A neighbor without any policy.
pub fn bare_neighbor(number: u8, asn: u32, more: &str) -> String {
    format!("[[neighbor]]\naddress = \"127.0.1.{number}\"\nasn = {asn}\npassive = true\n{more}\n")
}
