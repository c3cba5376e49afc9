//! Looks at the data plane from within the kernel, for benches and tests: the forwarding program's lookups over the same
//! pinned maps, beside `BPF_MAP_TYPE_LPM_TRIE` and `bpf_fib_lookup`, timed by `BPF_PROG_TEST_RUN`; live frames to many targets;
//! a sink that counts what arrives. The daemon never loads it.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use aya::maps::lpm_trie::{Key, LpmTrie};
use aya::maps::{Map, MapData};
use aya::programs::Xdp;
use aya::{Ebpf, EbpfLoader};
use ipnet::IpNet;
use rib::IfIndex;

use super::area::Area;
use super::backend::XdpBackend;
use super::layout::state;
use super::{load, sys};

static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("CARGO_MANIFEST_DIR"), "/xdp/probe.bpf.o"));

/// Targets of each family that lookups go round.
pub const TARGETS: usize = 1 << 20;
/// Lookups in one run of a program.
const LOOPS: u32 = 64;

/// Words of the map `probe`, as `enum cell` in `fib-sync/xdp/probe.bpf.c`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cell {
    Sum = 1,
    Arrived = 2,
    Wrong = 3,
    Lowest = 4,
    Highest = 5,
    RouterMac = 6,
}

/// What looks an address up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// Nobody: the cost of the loop itself.
    Nobody,
    /// The tables of the forwarding program.
    Stride,
    /// `BPF_MAP_TYPE_LPM_TRIE`, filled by [`Probe::fill`].
    Trie,
    /// `bpf_fib_lookup` without the neighbor, in the kernel's own table.
    Kernel,
    /// The tables, and the answer is judged; see [`Probe::allow`].
    Judge,
}

/// The programs, loaded over the maps of one [`XdpBackend`].
pub struct Probe {
    ebpf: Ebpf,
    cells: Area<AtomicU64>,
    pool4: Area<AtomicU32>,
    pool6: Area<AtomicU32>,
    sinks: Vec<OwnedFd>,
}

impl Probe {
    /// Loads the programs over the maps of `backend`.
    ///
    /// # Errors
    /// When the kernel refuses, or the data plane's maps are not pinned where it said.
    pub fn open(backend: &XdpBackend) -> io::Result<Self> {
        let dir = load::current(backend.pin()).ok_or_else(|| io::Error::other("no XDP tables are pinned"))?;
        let mut loader = EbpfLoader::new();
        for name in ["v4_root", "v4_groups", "v6_root", "v6_groups", "v6_lists"] {
            let entries = MapData::from_pin(dir.join(name)).and_then(|map| Ok(map.info()?.max_entries()));
            loader.map_max_entries(name, entries.map_err(io::Error::other)?).map_pin_path(name, dir.join(name));
        }
        let mut ebpf = loader.load(OBJECT).map_err(io::Error::other)?;
        for (_, program) in ebpf.programs_mut() {
            let program: &mut Xdp = program.try_into().map_err(io::Error::other)?;
            program.load().map_err(io::Error::other)?;
        }
        let cells = load::area(&mut ebpf, "probe", 1)?;
        let pool4 = load::area(&mut ebpf, "pool4", 16)?;
        let pool6 = load::area(&mut ebpf, "pool6", 4)?;
        Ok(Self { ebpf, cells, pool4, pool6, sinks: Vec::new() })
    }

    /// Has the pinned tables say that they are of another version.
    ///
    /// # Errors
    /// When there are none.
    pub fn say_version(pin: &Path, version: u64) -> io::Result<()> {
        let dir = load::current(pin).ok_or_else(|| io::Error::other("no XDP tables are pinned"))?;
        let map = MapData::from_pin(dir.join("state")).map_err(io::Error::other)?;
        let words: Area<AtomicU64> = Area::of_map(map.fd().as_fd(), state::WORDS)?;
        words[state::VERSION].store(version, Ordering::Release);
        Ok(())
    }

    fn program(&self, name: &str) -> io::Result<OwnedFd> {
        let program = self.ebpf.program(name).ok_or_else(|| io::Error::other(format!("no program {name}")))?;
        let program: &Xdp = program.try_into().map_err(io::Error::other)?;
        program.fd().map_err(io::Error::other)?.as_fd().try_clone_to_owned()
    }

    fn cell(&self, cell: Cell) -> &AtomicU64 {
        &self.cells[cell as usize]
    }

    /// The IPv4 targets, used again from the start when there are fewer than [`TARGETS`].
    pub fn targets4(&self, addrs: &[u32]) {
        for (place, addr) in self.pool4.iter().zip(addrs.iter().cycle()) {
            place.store(*addr, Ordering::Relaxed);
        }
    }

    /// The IPv6 targets.
    pub fn targets6(&self, addrs: &[u128]) {
        for (place, addr) in self.pool6.chunks_exact(4).zip(addrs.iter().cycle()) {
            for (word, octets) in place.iter().zip(addr.to_be_bytes().chunks_exact(4)) {
                word.store(u32::from_ne_bytes([octets[0], octets[1], octets[2], octets[3]]), Ordering::Relaxed);
            }
        }
    }

    /// Writes prefixes into the tries.
    ///
    /// # Errors
    /// When the kernel refuses one.
    pub fn fill(&mut self, prefixes: &[IpNet]) -> io::Result<()> {
        for (name, v4) in [("trie4", true), ("trie6", false)] {
            let map = self.ebpf.map_mut(name).ok_or_else(|| io::Error::other("no trie"))?;
            for prefix in prefixes.iter().filter(|prefix| prefix.addr().is_ipv4() == v4) {
                let length = u32::from(prefix.prefix_len());
                match prefix {
                    IpNet::V4(net) => LpmTrie::<_, [u8; 4], u32>::try_from(&mut *map)
                        .and_then(|mut trie| trie.insert(&Key::new(length, net.network().octets()), 1, 0)),
                    IpNet::V6(net) => LpmTrie::<_, [u8; 16], u32>::try_from(&mut *map)
                        .and_then(|mut trie| trie.insert(&Key::new(length, net.network().octets()), 1, 0)),
                }
                .map_err(io::Error::other)?;
            }
        }
        Ok(())
    }

    /// Nanoseconds of one lookup, loop included, and how many of all found a route; `rounds` times 64 lookups.
    ///
    /// # Errors
    /// When the kernel cannot run it.
    pub fn lookups(&self, who: Lookup, v4: bool, interface: IfIndex, rounds: u32) -> io::Result<(f64, u64)> {
        let who = match who {
            Lookup::Nobody => "empty",
            Lookup::Stride => "stride",
            Lookup::Trie => "trie",
            Lookup::Kernel => "kernel",
            Lookup::Judge => "judge",
        };
        let program = self.program(&format!("{who}_{}", if v4 { "v4" } else { "v6" }))?;
        self.cell(Cell::Sum).store(0, Ordering::Relaxed);
        self.cells[0].store(0, Ordering::Relaxed);
        let trial = sys::trial(program.as_fd(), &[0; 64], interface.0, rounds)?;
        if trial.verdict != 1 {
            return Err(io::Error::other(format!("the probe answered {}", trial.verdict)));
        }
        Ok((f64::from(trial.nanos) / f64::from(LOOPS), self.cell(Cell::Sum).load(Ordering::Relaxed)))
    }

    /// Answers of [`Lookup::Judge`] outside these objects, by the numbers in the maps, are wrong from now on.
    pub fn allow(&self, objects: std::ops::RangeInclusive<u32>) {
        self.cell(Cell::Lowest).store(u64::from(*objects.start()), Ordering::Relaxed);
        self.cell(Cell::Highest).store(u64::from(*objects.end()), Ordering::Relaxed);
    }

    /// Wrong answers so far.
    #[must_use]
    pub fn wrong(&self) -> u64 {
        self.cell(Cell::Wrong).load(Ordering::Relaxed)
    }

    /// Counts and drops whatever comes in on an interface, natively.
    ///
    /// # Errors
    /// When the program cannot be attached.
    pub fn sink(&mut self, interface: IfIndex) -> io::Result<()> {
        self.sinks.push(sys::link(self.program("sink")?.as_fd(), interface.0, 1 << 2)?);
        Ok(())
    }

    /// UDP frames that came to a sink.
    #[must_use]
    pub fn arrived(&self) -> u64 {
        self.cell(Cell::Arrived).load(Ordering::Relaxed)
    }

    /// Sends `count` live frames (an Ethernet frame with IPv4 and UDP in it) to the targets in turn, as if they came in on
    /// `interface`, whose MAC address is `mac`; forwarded by `forwarder`, or by the kernel. Returns when all have been sent.
    ///
    /// # Errors
    /// When the kernel cannot run it.
    pub fn send(
        &mut self,
        forwarder: Option<&XdpBackend>,
        frame: &[u8],
        (interface, mac): (IfIndex, [u8; 6]),
        count: u32,
    ) -> io::Result<()> {
        self.cell(Cell::RouterMac).store(super::layout::mac_word(mac), Ordering::Relaxed);
        let Some(Map::ProgramArray(next)) = self.ebpf.map("next") else {
            return Err(io::Error::other("no map of programs"));
        };
        match forwarder {
            Some(backend) => sys::set_program(next.fd().as_fd(), 0, backend.program())?,
            None => drop(sys::delete(next.fd().as_fd(), 0)),
        }
        sys::live(self.program("generate")?.as_fd(), frame, interface.0, count)
    }
}
