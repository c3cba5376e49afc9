//! Floods a synthetic OSPFv2 area into a device under test over one point-to-point adjacency and times the routes appearing in its
//! kernel. See README.md. `floor` times a plain Dijkstra on the same graph.

mod dut;
mod graph;
mod lsa;
mod sys;

use graph::{Csr, Graph};
use lsa::{Area, INIT_SEQ};
use std::collections::{HashMap, HashSet};
use sys::{now, Routes};

const ALL: u32 = 0xe000_0005;
const MTU: usize = 1480;

struct Args(HashMap<String, String>);

impl Args {
    fn get<T: std::str::FromStr>(&self, k: &str, d: T) -> T {
        self.0.get(k).map(|v| v.parse().unwrap_or_else(|_| panic!("bad --{k}"))).unwrap_or(d)
    }
    fn ip(&self, k: &str, d: &str) -> u32 {
        let a: std::net::Ipv4Addr = self.get(k, d.parse().unwrap());
        a.into()
    }
}

fn main() {
    let mut it = std::env::args().skip(1).peekable();
    let mode = it.next().unwrap_or_default();
    let mut m = HashMap::new();
    while let Some(k) = it.next() {
        m.insert(k.trim_start_matches("--").to_string(), it.next().unwrap_or_default());
    }
    let a = Args(m);
    match mode.as_str() {
        "floor" => floor(&a),
        "run" => run(&a),
        _ => eprintln!("usage: ospf-scale run --dut anyhop|bird|frr --bin PROGRAM --routers N --ext E [--seed S] [--rounds R] | floor --routers N"),
    }
}

fn floor(a: &Args) {
    let n = a.get("routers", 1000usize);
    let g = Graph::new(n, a.get("seed", 42));
    let c = Csr::new(&g);
    let (mut dist, mut parent) = (vec![0; n + 1], vec![0; n + 1]);
    let mut t: Vec<f64> = (0..31)
        .map(|_| {
            let s = now();
            assert_eq!(c.dijkstra(0, &mut dist, &mut parent), n + 1);
            (now() - s) * 1e3
        })
        .collect();
    t.sort_by(f64::total_cmp);
    println!("{{\"dut\":\"floor\",\"routers\":{n},\"edges\":{},\"dijkstra_ms_median\":{:.3},\"dijkstra_ms_min\":{:.3}}}", g.edges(), t[15], t[0]);
}

#[derive(PartialEq, PartialOrd, Clone, Copy, Debug)]
enum St {
    Down,
    ExStart,
    Exchange,
    Done,
}

struct Speaker<'a> {
    fd: i32,
    area: Area<'a>,
    hello: u16,
    dead: u32,
    st: St,
    nbr: u32,
    keys: Vec<(u8, u32, u32)>,             // type, id, adv: order of the summary list
    index: HashMap<(u8, u32, u32), usize>, // into keys
    seq: HashMap<usize, (u32, Option<u32>)>, // changed LSAs: sequence and left-out neighbour
    sent: usize,                           // summary headers sent
    last_dd: Vec<u8>,
    last_seq: u32,
    pending: HashSet<usize>,
    t: HashMap<&'static str, f64>,
    served: u64,
    lsrs: u64,
    acks: u64,
    restarts: u32,
}

impl<'a> Speaker<'a> {
    fn stamp(&mut self, k: &'static str) {
        self.t.entry(k).or_insert_with(now);
    }

    fn packet(&self, typ: u8, body: &[u8]) {
        let mut p = vec![2, typ];
        p.extend_from_slice(&(24 + body.len() as u16).to_be_bytes());
        p.extend_from_slice(&self.area.rid(0).to_be_bytes());
        p.extend_from_slice(&[0; 16]);
        p.extend_from_slice(body);
        let c = lsa::inet_sum(&p);
        p[12..14].copy_from_slice(&c.to_be_bytes());
        sys::send(self.fd, &p, ALL);
    }

    fn hello(&self) {
        let mut b = self.area.net.1.to_be_bytes().to_vec();
        b.extend_from_slice(&self.hello.to_be_bytes());
        b.extend_from_slice(&[2, 1]);
        b.extend_from_slice(&self.dead.to_be_bytes());
        b.extend_from_slice(&[0; 8]);
        if self.nbr != 0 {
            b.extend_from_slice(&self.nbr.to_be_bytes());
        }
        self.packet(1, &b);
    }

    fn encode(&self, k: usize, out: &mut Vec<u8>) {
        let (typ, id, _) = self.keys[k];
        let (seq, without) = self.seq.get(&k).copied().unwrap_or((INIT_SEQ, None));
        if typ == 1 {
            self.area.router(id - self.area.base, seq, without, out);
        } else {
            self.area.external((id - Area::prefix(0)) >> 8, seq, out);
        }
    }

    fn input(&mut self, p: &[u8]) {
        let p = &p[((p[0] & 15) as usize) * 4..];
        if p.len() < 24 || p[0] != 2 {
            return;
        }
        let rid = u32::from_be_bytes(p[4..8].try_into().unwrap());
        if rid == self.area.rid(0) {
            return;
        }
        let len = u16::from_be_bytes([p[2], p[3]]) as usize;
        let body = &p[24..len.min(p.len())];
        match p[1] {
            1 => self.on_hello(rid, body),
            2 => self.on_dd(body),
            3 => self.on_lsr(body),
            4 => self.on_lsu(body),
            5 => self.on_ack(body),
            _ => {}
        }
    }

    fn on_hello(&mut self, rid: u32, b: &[u8]) {
        let first = self.nbr == 0;
        self.nbr = rid;
        assert_eq!(rid, self.area.dut, "the device must use the router id given with --dut-rid");
        let two_way = b[20..].chunks_exact(4).any(|c| c == self.area.rid(0).to_be_bytes());
        if first || !two_way {
            self.stamp("first_hello");
            self.hello();
        }
        if !two_way && self.st != St::Down {
            self.st = St::Down;
            self.restarts += 1;
        }
        if two_way && self.st == St::Down {
            self.stamp("two_way");
            self.st = St::ExStart;
            let mut dd = 1500u16.to_be_bytes().to_vec();
            dd.extend_from_slice(&[2, 7]);
            dd.extend_from_slice(&7777u32.to_be_bytes());
            self.packet(2, &dd);
        }
    }

    /// We always are the slave: our router id is the lower one.
    fn on_dd(&mut self, b: &[u8]) {
        let (flags, seq) = (b[3], u32::from_be_bytes(b[4..8].try_into().unwrap()));
        if self.st == St::Down {
            return;
        }
        if flags & 4 != 0 && (self.st == St::ExStart || seq != self.last_seq) {
            if self.st > St::ExStart {
                self.restarts += 1;
            }
            self.st = St::Exchange;
            self.sent = 0;
            self.stamp("first_dd");
        } else if self.st == St::ExStart {
            return;
        } else if seq == self.last_seq {
            let dd = self.last_dd.clone();
            self.packet(2, &dd);
            return;
        }
        let upto = (self.sent + (MTU - 32) / 20).min(self.keys.len());
        let more = upto < self.keys.len();
        let mut dd = 1500u16.to_be_bytes().to_vec();
        dd.extend_from_slice(&[2, if more { 2 } else { 0 }]);
        dd.extend_from_slice(&seq.to_be_bytes());
        let mut tmp = Vec::new();
        for k in self.sent..upto {
            tmp.clear();
            self.encode(k, &mut tmp);
            dd.extend_from_slice(&tmp[..20]);
        }
        self.sent = upto;
        self.last_seq = seq;
        self.packet(2, &dd);
        self.last_dd = dd;
        if !more && flags & 2 == 0 {
            self.st = St::Done;
            self.stamp("exchange_done");
        }
    }

    fn on_lsr(&mut self, b: &[u8]) {
        self.stamp("first_lsr");
        self.lsrs += 1;
        let ks: Vec<usize> = b
            .chunks_exact(12)
            .filter_map(|c| {
                let w = |o: usize| u32::from_be_bytes(c[o..o + 4].try_into().unwrap());
                self.index.get(&(w(0) as u8, w(4), w(8))).copied()
            })
            .collect();
        self.served += ks.len() as u64;
        self.t.insert("last_lsr", now());
        self.flood(&ks);
    }

    fn flood(&self, ks: &[usize]) {
        let (mut body, mut count) = (vec![0; 4], 0u32);
        for &k in ks {
            let mark = body.len();
            self.encode(k, &mut body);
            if body.len() + 24 > MTU && count > 0 {
                let tail = body.split_off(mark);
                body[..4].copy_from_slice(&count.to_be_bytes());
                self.packet(4, &body);
                body.truncate(4);
                body.extend_from_slice(&tail);
                count = 0;
            }
            count += 1;
        }
        if count > 0 {
            body[..4].copy_from_slice(&count.to_be_bytes());
            self.packet(4, &body);
        }
    }

    /// Acknowledge whatever the device floods.
    fn on_lsu(&mut self, b: &[u8]) {
        if self.st < St::Exchange || b.len() < 4 {
            return;
        }
        let (mut o, mut ack) = (4, Vec::new());
        while o + 20 <= b.len() {
            ack.extend_from_slice(&b[o..o + 20]);
            o += (u16::from_be_bytes([b[o + 18], b[o + 19]]) as usize).max(20);
        }
        self.packet(5, &ack);
    }

    fn on_ack(&mut self, b: &[u8]) {
        for h in b.chunks_exact(20) {
            self.acks += 1;
            let w = |o: usize| u32::from_be_bytes(h[o..o + 4].try_into().unwrap());
            if let Some(k) = self.index.get(&(h[3], w(4), w(8))) {
                if self.seq.get(k).is_some_and(|s| s.0 == w(12)) {
                    self.pending.remove(k);
                }
            }
        }
    }

    /// Removes (or restores) the link between two synthetic routers.
    fn flap(&mut self, link: (u32, u32), down: bool) {
        let mut ks = Vec::new();
        for (x, other) in [link, (link.1, link.0)] {
            let k = self.index[&(1, self.area.rid(x), self.area.rid(x))];
            let e = self.seq.entry(k).or_insert((INIT_SEQ, None));
            *e = (e.0 + 1, down.then_some(other));
            self.pending.insert(k);
            ks.push(k);
        }
        self.flood(&ks);
    }
}

fn run(a: &Args) {
    let n = a.get("routers", 1000usize);
    let ext = a.get("ext", 0u32);
    let limit = a.get("limit", 120.0f64);
    let g = Graph::new(n, a.get("seed", 42));
    let own = a.ip("addr", "192.0.2.1");
    let area = Area {
        g: &g,
        base: a.ip("rid", "10.0.0.1"),
        dut: a.ip("dut-rid", "250.0.0.1"),
        own_addr: own,
        net: (own & !3, 0xffff_fffc, 10),
        ext,
    };
    let name = a.get("dut", "anyhop".to_string());
    let at = if name == "frr" { "/usr/lib/frr".to_string() } else { name.clone() };
    let dut = dut::Dut::start(&name, &a.get("bin", at));
    let pids = dut.pids();
    assert!(!pids.is_empty(), "the daemon did not start: {}", dut.log());
    let idle = sys::usage(&pids).1;
    let mut routes = Routes::new(&dut.netns[0]);
    let fd = sys::in_ns(&dut.netns[1], || sys::ospf_socket("x0", own));
    let mut keys = Vec::with_capacity(n + 1 + ext as usize);
    for i in 0..=n as u32 {
        keys.push((1, area.rid(i), area.rid(i)));
    }
    for k in 0..ext {
        keys.push((5, Area::prefix(k), area.rid(area.asbr(k))));
    }
    let index = keys.iter().enumerate().map(|(i, k)| (*k, i)).collect();
    let mut s = Speaker {
        fd, area, hello: a.get("hello", 1), dead: a.get("dead", 30), st: St::Down, nbr: 0, keys, index,
        seq: HashMap::new(), sent: 0, last_dd: vec![], last_seq: 0, pending: HashSet::new(),
        t: HashMap::new(), served: 0, lsrs: 0, acks: 0, restarts: 0,
    };
    let want = n + 1 + ext as usize;
    let (mut next_hello, mut next_rx) = (now(), now() + 1.0);
    let mut buf = vec![0u8; 65536];
    let mut turn = |s: &mut Speaker, r: &mut Routes, ms: i32| {
        sys::poll(&[(fd, libc::POLLIN), (r.fd, libc::POLLIN)], ms);
        // a bounded batch, so that hellos and route stamps stay on time
        for _ in 0..64 {
            match sys::recv(fd, &mut buf) {
                Some(k) => s.input(&buf[..k]),
                None => break,
            }
        }
        r.drain();
        let t = now();
        if t >= next_hello {
            s.hello();
            next_hello = t + s.hello as f64;
        }
        if t >= next_rx {
            let ks: Vec<usize> = s.pending.iter().copied().collect();
            s.flood(&ks);
            next_rx = t + 1.0;
        }
    };
    let c0 = sys::usage(&pids);
    let start = now();
    let mut installed = 0.0;
    while now() - start < limit {
        turn(&mut s, &mut routes, 20);
        if routes.set.len() >= want {
            installed = routes.last;
            break;
        }
    }
    let ok = installed > 0.0;
    let first = routes.first;
    let quiet = |s: &mut Speaker, r: &mut Routes, turn: &mut dyn FnMut(&mut Speaker, &mut Routes, i32), secs: f64| {
        let end = now() + secs;
        while now() < end {
            turn(s, r, 20);
        }
    };
    quiet(&mut s, &mut routes, &mut turn, a.get("settle", 6.0));
    let c1 = sys::usage(&pids);
    let mut rows = Vec::new();
    if ok {
        let (leaf, bridge) = (g.leaf, g.bridge);
        let rounds = a.get("rounds", 2);
        for (name, link) in [("leaf", leaf), ("half", bridge)] {
            for k in 0..rounds * 2 {
                let down = k % 2 == 0;
                let before = routes.set.len();
                let c = sys::usage(&pids).0;
                routes.mark();
                let t0 = now();
                s.flap(link, down);
                let (mut t_ack, mut done) = (0.0, 0.0);
                while now() - t0 < 60.0 {
                    turn(&mut s, &mut routes, 20);
                    if t_ack == 0.0 && s.pending.is_empty() {
                        t_ack = now();
                    }
                    let moved = if down { routes.set.len() < before } else { routes.set.len() >= want };
                    if moved && (!down || now() - routes.last > 1.5) && t_ack > 0.0 {
                        done = routes.last;
                        break;
                    }
                }
                let ms = |t: f64| if t > 0.0 { (t - t0) * 1e3 } else { -1.0 };
                let gone = before as i64 - routes.set.len() as i64;
                rows.push(format!(
                    "{{\"flap\":\"{name} {}\",\"routes_moved\":{},\"ack_ms\":{:.1},\"first_route_ms\":{:.1},\"last_route_ms\":{:.1},\"cpu_ms\":{:.1},\"events\":{}}}",
                    if down { "down" } else { "up" }, gone.abs(), ms(t_ack), ms(routes.first), ms(done), sys::usage(&pids).0 - c, routes.events));
                quiet(&mut s, &mut routes, &mut turn, a.get("gap", 6.0));
            }
        }
    }
    let c2 = sys::usage(&pids);
    let idle0 = now();
    quiet(&mut s, &mut routes, &mut turn, 3.0);
    let idle_cpu = (sys::usage(&pids).0 - c2.0) / (now() - idle0) / 10.0;
    let t0 = s.t.get("first_dd").copied().unwrap_or(start);
    let rel = |k: &str| s.t.get(k).map(|t| (t - t0) * 1e3).unwrap_or(-1.0);
    println!(
        "{{\"dut\":\"{name}\",\"routers\":{n},\"ext\":{ext},\"ok\":{ok},\"have\":{},\"want\":{want},\"exchange_ms\":{:.1},\"last_lsr_ms\":{:.1},\"first_route_ms\":{:.1},\"installed_ms\":{:.1},\"cpu_up_ms\":{:.0},\"rss_kb\":{},\"rss_over_idle_kb\":{},\"peak_kb\":{},\"idle_cpu_pct\":{:.2},\"lsr\":{},\"served\":{},\"acks\":{},\"restarts\":{},\"flaps\":[{}]}}",
        routes.set.len(), rel("exchange_done"), rel("last_lsr"),
        if first > 0.0 { (first - t0) * 1e3 } else { -1.0 },
        if ok { (installed - t0) * 1e3 } else { -1.0 },
        c1.0 - c0.0, c1.1, c1.1.saturating_sub(idle), c2.2, idle_cpu, s.lsrs, s.served, s.acks, s.restarts, rows.join(","));
}
