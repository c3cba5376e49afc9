//! A whole daemon on a host in memory, listening on loopback.

use std::net::SocketAddr;
use std::path::Path;

use anyhop::config::check_text;
use anyhop::daemon::{Platform, Running, start};
use fib_sync::host::Link;
use fib_sync::memory::MemoryHost;
use rib::IfIndex;
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
    _host: MemoryHost,
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
        let text = format!(
            "[node]\n{node}\n[api]\nlisten = []\n[bgp]\nlisten = [\"127.0.0.1:0\"]\n{bgp}\n[fib]\nbackends = [\"memory\"]\n\
             [[static]]\nprefix = \"10.0.0.0/8\"\ninterface = \"eth0\"\n\
             [[static]]\nprefix = \"2001:db8::/32\"\ninterface = \"eth0\"\n{rest}"
        );
        let model = check_text(Path::new("case.toml"), &text).unwrap_or_else(|errors| panic!("{errors}\n{text}"));
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let (platform, host, _) = Platform::memory();
        host.set_link(Link { index: IfIndex(2), name: "eth0".to_owned(), up: true, mtu: 1500, loopback: false });
        let running = runtime.block_on(start(model, platform, None)).expect("the daemon starts");
        let port = running.node.info.bgp_listen[0].port();
        Self { runtime, running: Some(running), _host: host, port }
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

    /// As [`Rig::connect`]; the daemon may reset it before it stands.
    pub fn try_connect(&self, number: u8) -> std::io::Result<std::net::TcpStream> {
        self.runtime.block_on(async {
            let socket = tokio::net::TcpSocket::new_v4()?;
            socket.bind(SocketAddr::from(([127, 0, 1, number], 0)))?;
            let stream = socket.connect(SocketAddr::from(([127, 0, 0, 1], self.port))).await?.into_std()?;
            stream.set_nonblocking(false)?;
            stream.set_nodelay(true)?;
            Ok(stream)
        })
    }

    /// What the daemon knows of neighbor 127.0.1.`number`.
    pub fn neighbor(&self, number: u8) -> bgpd::speaker::message::NeighborView {
        use bgpd::speaker::message::{Query, Reply};
        let node = &self.running.as_ref().expect("it runs").node;
        match self.runtime.block_on(node.bgp.query(Query::Neighbors(None))) {
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
