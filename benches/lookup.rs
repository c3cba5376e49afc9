//! Lookups through the API beside a full-table load: do they slow the load down, and does the load slow them down?
//!
//! Runs `bgp-load` (`benches/bgp-load`, built with `cargo build --release` there) against a daemon several times: without lookups,
//! with `LookupBatch`, and with single `Lookup`s, in turn, and compares the times to convergence. Lookups are sent at fixed times
//! whether earlier ones were answered or not, and each is timed from the moment it was due, so that a stall counts for all that it
//! delays. Needs root, as `bgp-load` does.
//!
//! ```text
//! cargo build --release && cargo bench --bench lookup -- --bgp-load PATH [--anyhop PATH] [--prefixes 1000000] [--rounds 5]
//!     [--rate 50000] [--single-rate 20000] [--batch 100] [--backends '"memory"'] [--only none,batch,single,elsewhere]
//! ```

#![allow(clippy::disallowed_methods, reason = "a benchmark is a carrier: it reads the clock")]

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::{Buf as _, BufMut as _, Bytes};
use prost::Message as _;
use proto::v1;
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

struct Options {
    bgp_load: PathBuf,
    anyhop: PathBuf,
    prefixes: usize,
    rounds: usize,
    rate: u32,
    single_rate: u32,
    batch: u32,
    backends: String,
    only: Vec<Kind>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    None,
    Batch,
    Single,
    /// As `Batch`, asked of another daemon that has nothing to do: what the machine's processors cost, not the shared RIB.
    Elsewhere,
}

const KINDS: [(&str, Kind); 4] =
    [("none", Kind::None), ("batch", Kind::Batch), ("single", Kind::Single), ("elsewhere", Kind::Elsewhere)];

fn options() -> Options {
    let mut options = Options {
        bgp_load: "benches/bgp-load/target/release/bgp-load".into(),
        anyhop: "target/release/anyhop".into(),
        prefixes: 1_000_000,
        rounds: 5,
        rate: 50_000,
        single_rate: 20_000,
        batch: 100,
        backends: String::new(),
        only: KINDS.map(|(_, kind)| kind).to_vec(),
    };
    let mut args = std::env::args().skip(1);
    while let Some(name) = args.next() {
        // Cargo's own.
        if name == "--bench" {
            continue;
        }
        let value = args.next().unwrap_or_else(|| panic!("{name} needs a value"));
        let number = || value.parse().unwrap_or_else(|_| panic!("{name} needs a number"));
        match name.as_str() {
            "--bgp-load" => options.bgp_load = value.into(),
            "--anyhop" => options.anyhop = value.into(),
            "--prefixes" => options.prefixes = number() as usize,
            "--rounds" => options.rounds = number() as usize,
            "--rate" => options.rate = number(),
            "--single-rate" => options.single_rate = number(),
            "--batch" => options.batch = number(),
            "--backends" => options.backends = value,
            "--only" => {
                let kind = |word: &str| KINDS.iter().find(|(name, _)| *name == word).expect("none, batch or single").1;
                options.only = value.split(',').map(kind).collect();
            }
            other => panic!("{other} is no option; see the head of benches/lookup.rs"),
        }
    }
    options
}

/// What the lookups of one run met.
#[derive(Default)]
struct Seen {
    /// When each was due, since the first answer with a route, and how long after that it was answered.
    samples: Vec<(Duration, Duration)>,
    /// Addresses in each request.
    per_request: u32,
}

/// How long lookups are sent after the first one that found a route: longer than a load takes.
const LOOKUPS_LAST: Duration = Duration::from_secs(4);

struct Shared {
    stop: AtomicBool,
    /// Nanoseconds since `began` of the first answer with a route; 0 before.
    first: AtomicU64,
    /// Seed for addresses.
    next: AtomicU64,
    began: Instant,
}

impl Shared {
    /// Addresses spread evenly over those that a table may cover.
    fn address(&self) -> String {
        let number = self.next.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 33;
        let number = u32::try_from(number).expect("31 bits");
        Ipv4Addr::from(0x0100_0000 + number % 0xde00_0000).to_string()
    }

    /// The daemon must come to rest for `bgp-load` to see that it is done, so the lookups end some time after the load has.
    fn is_over(&self) -> bool {
        let first = Duration::from_nanos(self.first.load(Ordering::Relaxed));
        !first.is_zero() && self.began.elapsed() > first + LOOKUPS_LAST
    }

    fn found(&self) {
        let now = u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let _ = self.first.compare_exchange(0, now, Ordering::Relaxed, Ordering::Relaxed);
    }
}

/// Octets as they are. The client stands for others on machines of their own: what it costs to write questions and to read answers
/// must not be taken from the processors that are measured.
#[derive(Clone, Copy, Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, dst: &mut EncodeBuf<'_>) -> Result<(), Status> {
        dst.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, src: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(src.copy_to_bytes(src.remaining())))
    }
}

/// Questions that are written already, asked in turn.
struct Questions {
    path: &'static str,
    written: Vec<Bytes>,
}

impl Questions {
    fn new(kind: Kind, batch: u32, shared: &Shared) -> Self {
        const DIFFERENT: usize = 4096;
        let single = || v1::LookupRequest { address: shared.address() }.encode_to_vec();
        let many = || {
            let addresses = (0..batch).map(|_| shared.address()).collect();
            v1::LookupBatchRequest { addresses }.encode_to_vec()
        };
        let (path, write): (_, &dyn Fn() -> Vec<u8>) = match kind {
            Kind::Single => ("/anyhop.v1.RibService/Lookup", &single),
            Kind::None | Kind::Batch | Kind::Elsewhere => ("/anyhop.v1.RibService/LookupBatch", &many),
        };
        Self { path, written: (0..DIFFERENT).map(|_| write().into()).collect() }
    }

    /// One request; false once the daemon is gone.
    async fn ask(&self, channel: Channel, shared: &Shared, turn: usize) -> bool {
        let mut client = Grpc::new(channel);
        let question = self.written[turn % self.written.len()].clone();
        if client.ready().await.is_err() {
            return false;
        }
        match client.unary(Request::new(question), PathAndQuery::from_static(self.path), Raw).await {
            Ok(answer) => {
                if shared.first.load(Ordering::Relaxed) == 0 && self.found(answer.into_inner()) {
                    shared.found();
                }
                true
            }
            Err(status) => status.code() == tonic::Code::NotFound,
        }
    }

    fn found(&self, answer: Bytes) -> bool {
        if self.path.ends_with("Batch") {
            let answer = v1::LookupBatchResponse::decode(answer).expect("an answer to the question");
            answer.results.iter().any(|result| result.route.is_some())
        } else {
            v1::LookupResponse::decode(answer).is_ok_and(|answer| answer.route.is_some())
        }
    }
}

async fn connect(socket: &Path, stop: &AtomicBool) -> Option<Channel> {
    let endpoint = Endpoint::from_shared(format!("unix:{}", socket.display())).expect("a path");
    while !stop.load(Ordering::Relaxed) {
        if let Ok(channel) = endpoint.connect().await {
            return Some(channel);
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    None
}

/// Waits until the load has begun: until the daemon under load finds a route.
async fn begun(socket: &Path, shared: &Shared, batch: u32) {
    let Some(channel) = connect(socket, &shared.stop).await else { return };
    let questions = Questions::new(Kind::Batch, batch, shared);
    let mut turn = 0;
    while shared.first.load(Ordering::Relaxed) == 0 && questions.ask(channel.clone(), shared, turn).await {
        turn += 1;
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Raises the priority of this thread: it stands for clients on other machines, so what it waits for a processor does not count.
fn ahead_of_others() {
    let thread = nix::unistd::gettid().to_string();
    let _ =
        Command::new("renice").args(["-n", "-20", "-p", &thread]).stdout(Stdio::null()).stderr(Stdio::null()).status();
}

/// Asks at fixed times until told to stop.
async fn drive(socket: PathBuf, shared: Arc<Shared>, kind: Kind, rate: u32, batch: u32) -> Seen {
    /// Requests under way at most; beyond, the next ones are late, and that counts.
    const UNDER_WAY: usize = 512;
    let Some(channel) = connect(&socket, &shared.stop).await else { return Seen::default() };
    let per_request = if kind == Kind::Single { 1 } else { batch };
    let questions = Arc::new(Questions::new(kind, batch, &shared));
    let mut turn = 0;
    let (results, mut gathered) = tokio::sync::mpsc::unbounded_channel();
    let room = Arc::new(tokio::sync::Semaphore::new(UNDER_WAY));
    // A thread of its own says when: the runtime's timer has only milliseconds.
    let (due, mut dues) = tokio::sync::mpsc::unbounded_channel();
    let interval = Duration::from_secs_f64(f64::from(per_request) / f64::from(rate));
    let clock = {
        let shared = Arc::clone(&shared);
        std::thread::spawn(move || {
            ahead_of_others();
            let mut at = Instant::now();
            while !shared.stop.load(Ordering::Relaxed) && !shared.is_over() {
                at += interval;
                std::thread::sleep(at.saturating_duration_since(Instant::now()));
                if due.send(at).is_err() {
                    break;
                }
            }
        })
    };
    while let Some(at) = dues.recv().await {
        let Ok(place) = Arc::clone(&room).acquire_owned().await else { break };
        let (channel, questions, shared, results) =
            (channel.clone(), Arc::clone(&questions), Arc::clone(&shared), results.clone());
        turn += 1;
        tokio::spawn(async move {
            if questions.ask(channel, &shared, turn).await {
                let _ = results.send((at, at.elapsed()));
            } else {
                shared.stop.store(true, Ordering::Relaxed);
            }
            drop(place);
        });
    }
    clock.join().expect("the clock ends");
    drop(results);
    let first = shared.began + Duration::from_nanos(shared.first.load(Ordering::Relaxed));
    let mut samples = Vec::new();
    while let Some((at, took)) = gathered.recv().await {
        samples.extend(at.checked_duration_since(first).map(|since| (since, took)));
    }
    Seen { samples, per_request }
}

fn template(socket: &Path, backends: &str) -> String {
    format!(
        "[node]\nasn = @dut_asn@\nrouter_id = \"@dut_ip@\"\n[api]\nlisten = [\"unix:{}\"]\n[bgp]\nlisten = [\"@dut_ip@:179\"]\n\
         [fib]\nbackends = [{backends}]\n@peers\n[[neighbor]]\naddress = \"@ip@\"\nasn = @asn@\npassive = true\n\
         families = [\"ipv4-unicast\"]\nimport = \"accept\"\nexport = \"accept\"\n@end\n",
        socket.display()
    )
}

/// A daemon without neighbors, all of whose lookups find a route.
struct Idle(std::process::Child);

impl Idle {
    fn start(anyhop: &Path, dir: &Path) -> (Self, PathBuf) {
        let (conf, socket) = (dir.join("idle.conf"), dir.join("idle.sock"));
        let halves = ["0.0.0.0/1", "128.0.0.0/1"];
        let routes: String =
            halves.iter().map(|half| format!("[[static]]\nprefix = \"{half}\"\nblackhole = true\n")).collect();
        let text = format!(
            "[node]\nasn = 64512\nrouter_id = \"192.0.2.9\"\n[api]\nlisten = [\"unix:{}\"]\n[fib]\nbackends = []\n{routes}",
            socket.display()
        );
        std::fs::write(&conf, text).expect("a file is written");
        let child = Command::new(anyhop).args(["run", "-c"]).arg(&conf).stderr(Stdio::null()).spawn();
        (Self(child.expect("a second daemon starts")), socket)
    }
}

impl Drop for Idle {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What one load took.
struct Load {
    /// Seconds to convergence.
    converged: f64,
    /// Processor seconds of the daemon, of the load generator, and of all others: the lookups' client first of all.
    processor: [f64; 3],
}

/// One run: the load, and what the lookups met until it was done.
fn run(options: &Options, kind: Kind) -> (Load, Seen) {
    let dir = tempfile::tempdir().expect("a directory");
    let (conf, socket) = (dir.path().join("conf"), dir.path().join("api.sock"));
    std::fs::write(&conf, template(&socket, &options.backends)).expect("a file is written");
    let anyhop = std::fs::canonicalize(&options.anyhop).expect("a release build of anyhop is there");
    let idle = (kind == Kind::Elsewhere).then(|| Idle::start(&anyhop, dir.path()));
    let load = Command::new(&options.bgp_load)
        .args(["--dut-cmd", &format!("exec {} run -c @conf@", anyhop.display()), "--label", "anyhop"])
        .args([std::ffi::OsStr::new("--dut-conf"), conf.as_os_str()])
        .args(["--prefixes", &options.prefixes.to_string(), "--phases", "converge"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("bgp-load starts: build it, and say where it is with --bgp-load");
    let shared = Arc::new(Shared {
        stop: AtomicBool::new(kind == Kind::None),
        first: AtomicU64::new(0),
        next: AtomicU64::new(0),
        began: Instant::now(),
    });
    let rate = if kind == Kind::Single { options.single_rate } else { options.rate };
    let driver = {
        let other = idle.as_ref().map(|(_, other)| other.clone());
        let (shared, batch) = (Arc::clone(&shared), options.batch);
        std::thread::spawn(move || {
            ahead_of_others();
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let Some(other) = other else { return drive(socket, shared, kind, rate, batch).await };
                begun(&socket, &shared, batch).await;
                drive(other, shared, kind, rate, batch).await
            })
        })
    };
    let output = load.wait_with_output().expect("bgp-load ends");
    shared.stop.store(true, Ordering::Relaxed);
    let mut seen = driver.join().expect("the lookups end");
    let text = String::from_utf8_lossy(&output.stdout);
    let line =
        text.lines().rev().find(|line| line.starts_with('{')).expect("bgp-load prints a JSON line; are you root?");
    let figures: serde_json::Value = serde_json::from_str(line).expect("JSON");
    let figure = |name| figures[name].as_f64().unwrap_or_else(|| panic!("no {name} in {line}"));
    let converged = figure("converge_s");
    seen.samples.retain(|(at, _)| at.as_secs_f64() < converged);
    let processor = ["converge_dut_cpu_s", "converge_own_cpu_s", "converge_others_cpu_s"].map(figure);
    (Load { converged, processor }, seen)
}

fn quantile(sorted: &[f64], share: f64) -> f64 {
    let at = (sorted.len() as f64 * share) as usize;
    sorted.get(at.min(sorted.len().saturating_sub(1))).copied().unwrap_or(f64::NAN)
}

fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut all: Vec<f64> = values.collect();
    all.sort_by(f64::total_cmp);
    all
}

fn main() {
    let options = options();
    let mut converged: Vec<Vec<f64>> = vec![Vec::new(); KINDS.len()];
    let mut took: Vec<Vec<(f64, u32)>> = vec![Vec::new(); KINDS.len()];
    let mut rates: Vec<Vec<f64>> = vec![Vec::new(); KINDS.len()];
    for round in 0..options.rounds {
        // Another order each time, so that no kind always comes after the same one.
        for step in 0..options.only.len() {
            let kind = options.only[(round + step) % options.only.len()];
            let at = kind as usize;
            let (load, seen) = run(&options, kind);
            let seconds = load.converged;
            converged[at].push(seconds);
            let answered = seen.samples.len() as f64 * f64::from(seen.per_request);
            rates[at].push(answered / seconds);
            took[at].extend(seen.samples.iter().map(|(_, took)| (took.as_secs_f64() * 1e6, seen.per_request)));
            let [daemon, generator, others] = load.processor;
            eprintln!(
                "round {round}: {kind:?}: converged in {seconds:.3} s, {:.0} lookups/s; processor: daemon {daemon:.2} s, \
                 generator {generator:.2} s, others {others:.2} s",
                answered / seconds
            );
        }
    }
    let median = |kind: Kind| quantile(&sorted(converged[kind as usize].iter().copied()), 0.5);
    for kind in &options.only {
        let at = *kind as usize;
        let times = sorted(took[at].iter().map(|(micros, _)| *micros));
        print!("{kind:?}: convergence median {:.3} s", median(*kind));
        if *kind != Kind::None {
            let rate = quantile(&sorted(rates[at].iter().copied()), 0.5);
            print!(", {:.3} of that without lookups", median(*kind) / median(Kind::None));
            print!("; {rate:.0} addresses/s; from due to answered p50 {:.0} us", quantile(&times, 0.5));
            print!(", p99 {:.0} us, p99.9 {:.0} us", quantile(&times, 0.99), quantile(&times, 0.999));
            print!(", most {:.0} us", times.last().copied().unwrap_or(f64::NAN));
        }
        println!();
    }
}
