//! Maps and program: made, or taken up from where an earlier process pinned them.
//!
//! `pin/current` is a link to the directory with the maps, `pin/links/N-MODE` are the attachments. Maps of the right shape whose
//! last writer finished are taken up as they are. Otherwise a new set is made beside the old, its routes are read over as far
//! as they can be, and the attachments change from one program to the other; packets meet either.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use aya::maps::{Map, MapData};
use aya::programs::Xdp;
use aya::{Ebpf, EbpfLoader};
use ipnet::IpNet;
use rib::{FibRoute, Forwarding, NextHopId, NextHopOp};

use super::area::{Area, Word};
use super::book::{Book, Layout, slots_for};
use super::hops::{HopMaps, Hops};
use super::layout::{
    BOOK_SINCE, GROUP_WORDS, LEG_INFO_WORDS, LIST_WORDS, MAGIC, MAX_OBJECTS, PORT_WORDS, PORTS, ROOT_WORDS,
    ROUTE6_WORDS, SLICE, VERSION, state,
};
use super::plane::{FamilyTables, Plane, Table};
use super::ports::Ports;
use super::stride::Stride;
use super::{OBJECT, XdpConfig, XdpTable, sys};
use crate::backend::BackendError;

/// 32-bit words in one value of the tables.
const PACKED: u32 = 16;
/// Every write to a list takes another one. This many writes go by until all that are free were used, and a grace period is due.
const SPARE_LISTS: u32 = 8192;
/// Groups of legs.
const SLICES: u32 = 4096;

/// What has been opened.
pub(super) struct Loaded {
    pub(super) plane: Plane,
    /// The forwarding program.
    pub(super) program: OwnedFd,
    /// Holds the lock on the pin directory.
    pub(super) lock: File,
    /// The maps were taken up from an earlier process.
    pub(super) adopted: bool,
}

pub(super) fn lost(what: &str, error: impl std::fmt::Display) -> BackendError {
    BackendError::Lost(format!("{what}: {error}"))
}

fn refused(what: &str, error: &io::Error) -> BackendError {
    if matches!(error.raw_os_error(), Some(libc::EPERM | libc::EACCES)) {
        return BackendError::Privilege(format!(
            "{what}: {error}; the xdp data plane needs CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON, and write access to \
             fib.xdp.pin: run as root, add them to AmbientCapabilities in the systemd unit, or take \"xdp\" out of fib.backends"
        ));
    }
    lost(what, error)
}

/// Lists for so many routes: one each up to /56, and for those that are longer and lie alone one for every 32 bits more; and some
/// that wait until no packet reads them.
fn lists_for(routes: u32) -> u32 {
    routes.saturating_mul(2).saturating_add(SPARE_LISTS).min(MAX_OBJECTS)
}

/// Every pinned map with its number of entries.
fn sizes(config: &XdpConfig) -> Vec<(&'static str, u32)> {
    let limits = &config.limits;
    let stride = config.table == XdpTable::Stride;
    let of = |on: bool, entries: u32| if on { entries.max(1) } else { 1 };
    let objects = limits.next_hops.saturating_add(2).min(MAX_OBJECTS);
    vec![
        ("v4_root", of(stride, ROOT_WORDS as u32 / PACKED)),
        ("v6_root", of(stride, ROOT_WORDS as u32 / PACKED)),
        ("v4_groups", of(stride, limits.ipv4_groups.saturating_mul(GROUP_WORDS as u32 / PACKED))),
        ("v6_groups", of(stride, limits.ipv6_groups.saturating_mul(GROUP_WORDS as u32 / PACKED))),
        ("v6_lists", of(stride, lists_for(limits.ipv6_routes))),
        ("v4_lpm", of(!stride, limits.ipv4_routes)),
        ("v6_lpm", of(!stride, limits.ipv6_routes)),
        ("objects", objects),
        ("legs", objects),
        ("leg_infos", objects),
        ("buckets", SLICES * SLICE as u32 / PACKED),
        ("group_members", SLICES),
        ("ports", PORTS as u32),
        ("devices", PORTS as u32),
        ("neighbors", limits.neighbors.max(1)),
        ("v4_routes", slots_for(limits.ipv4_routes)),
        ("v6_routes", slots_for(limits.ipv6_routes)),
        ("state", state::WORDS as u32),
        ("counters", super::REASONS.len() as u32),
    ]
}

/// Makes the pin directory usable and ours.
fn prepare(pin: &Path) -> Result<File, BackendError> {
    let root = Path::new("/sys/fs/bpf");
    let mut there = pin;
    while !there.exists() {
        there = there.parent().unwrap_or(Path::new("/"));
    }
    let on_bpffs = |path: &Path| sys::is_bpffs(path).unwrap_or(false);
    if there == root && !on_bpffs(there) {
        sys::mount_bpffs(root).map_err(|error| refused("cannot mount the BPF file system on /sys/fs/bpf", &error))?;
    }
    if !on_bpffs(there) {
        return Err(BackendError::Lost(format!(
            "fib.xdp.pin = {:?} is not on a BPF file system; `mount -t bpf bpf {}` makes one there, or choose a directory under \
             /sys/fs/bpf",
            pin.display().to_string(),
            there.display()
        )));
    }
    fs::create_dir_all(pin.join("links")).map_err(|error| refused("cannot make fib.xdp.pin", &error))?;
    let lock = File::open(pin).map_err(|error| refused("cannot open fib.xdp.pin", &error))?;
    sys::lock(lock.as_fd()).map_err(|error| {
        let who = if error.kind() == io::ErrorKind::WouldBlock { "another anyhop uses it" } else { "cannot lock it" };
        lost(&format!("fib.xdp.pin = {:?}: {who}", pin.display().to_string()), error)
    })?;
    Ok(lock)
}

/// Opens the tables and loads the program, which is attached nowhere yet.
pub(super) fn open(config: &XdpConfig) -> Result<Loaded, BackendError> {
    sys::lift_memlock();
    let lock = prepare(&config.pin)?;
    let current = fs::read_link(config.pin.join("current")).ok();
    let current = current.map(|name| config.pin.join(name)).filter(|dir| dir.is_dir());
    remove_sets(&config.pin, current.as_deref());
    if let Some(dir) = &current
        && fits(dir, config)
    {
        let (mut plane, program) = load(config, dir, None)?;
        if plane.adopt() {
            return Ok(Loaded { plane, program, lock, adopted: true });
        }
        tracing::warn!("the pinned XDP tables contradict each other; building them anew");
    }
    let found = current.as_deref().and_then(salvage);
    let number = current.as_deref().and_then(set_number).map_or(1, |number| number + 1);
    let dir = config.pin.join(format!("v{VERSION}-{number}"));
    fs::create_dir(&dir).map_err(|error| refused("cannot make a directory under fib.xdp.pin", &error))?;
    let loaded = load(config, &dir, Some(fresh_seed()));
    let (mut plane, program) = match loaded {
        Ok(loaded) => loaded,
        Err(error) => {
            let _ = fs::remove_dir_all(&dir);
            return Err(error);
        }
    };
    if let Some(found) = found {
        tracing::info!(routes = found.len(), "routes of an earlier run are read over into new XDP tables");
        import(&mut plane, found);
    }
    let next = config.pin.join("next");
    let _ = fs::remove_file(&next);
    let name = dir.file_name().unwrap_or_default();
    std::os::unix::fs::symlink(name, &next)
        .and_then(|()| fs::rename(&next, config.pin.join("current")))
        .map_err(|error| lost("cannot name the new XDP tables", error))?;
    Ok(Loaded { plane, program, lock, adopted: false })
}

fn set_number(dir: &Path) -> Option<u32> {
    dir.file_name()?.to_str()?.split_once('-')?.1.parse().ok()
}

/// Removes all sets of maps but one.
pub(super) fn remove_sets(pin: &Path, but: Option<&Path>) {
    for entry in fs::read_dir(pin).into_iter().flatten().flatten() {
        let path = entry.path();
        if set_number(&path).is_some() && Some(path.as_path()) != but {
            let _ = fs::remove_dir_all(&path);
        }
    }
}

/// The set of maps in use, once it is.
pub(super) fn current(pin: &Path) -> Option<PathBuf> {
    fs::read_link(pin.join("current")).ok().map(|name| pin.join(name))
}

fn fresh_seed() -> u64 {
    // The standard library's hasher keys come from the system's randomness.
    use std::hash::{BuildHasher, Hasher};
    std::hash::RandomState::new().build_hasher().finish()
}

fn pinned(dir: &Path, name: &str) -> Option<MapData> {
    MapData::from_pin(dir.join(name)).ok()
}

/// True if the maps in `dir` are all there, of this version and these sizes, and their last writer finished.
fn fits(dir: &Path, config: &XdpConfig) -> bool {
    let sized = |(name, entries): &(&str, u32)| {
        pinned(dir, name).and_then(|map| map.info().ok()).is_some_and(|info| info.max_entries() == *entries)
    };
    let Some(words) = state_words(dir, VERSION) else { return false };
    let word = |at: usize| words[at].load(Ordering::Acquire);
    let mode = u64::from(config.table == XdpTable::LpmTrie);
    word(state::WRITING) == 0 && word(state::LPM_MODE) == mode && sizes(config).iter().all(sized)
}

/// The state of a set of this version, or of one since `oldest`.
fn state_words(dir: &Path, oldest: u64) -> Option<Area<AtomicU64>> {
    let words: Area<AtomicU64> = Area::of_map(pinned(dir, "state")?.fd().as_fd(), state::WORDS).ok()?;
    let word = |at: usize| words[at].load(Ordering::Acquire);
    (word(state::MAGIC) == MAGIC && (oldest..=VERSION).contains(&word(state::VERSION))).then_some(words)
}

/// Loads the program over the maps in `dir`, which are made if they are not there; `seed` is given for a new set.
fn load(config: &XdpConfig, dir: &Path, seed: Option<u64>) -> Result<(Plane, OwnedFd), BackendError> {
    let kept = || state_words(dir, VERSION).map(|words| words[state::FLOW_SEED].load(Ordering::Acquire));
    let flow_seed = seed.or_else(kept).unwrap_or_default();
    let lpm_mode = u32::from(config.table == XdpTable::LpmTrie);
    let mut loader = EbpfLoader::new();
    loader.override_global("flow_seed", &flow_seed, true).override_global("lpm_mode", &lpm_mode, true);
    for (name, entries) in sizes(config) {
        loader.map_max_entries(name, entries).map_pin_path(name, dir.join(name));
    }
    let mut ebpf = loader.load(OBJECT).map_err(bpf_error)?;
    let program: &mut Xdp = ebpf
        .program_mut("anyhop")
        .and_then(|program| program.try_into().ok())
        .ok_or_else(|| BackendError::Lost("the embedded XDP object has no program".into()))?;
    program.load().map_err(bpf_error)?;
    let fd = program.fd().map_err(bpf_error)?;
    let program = fd.as_fd().try_clone_to_owned().map_err(|error| lost("cannot keep the XDP program", error))?;
    let plane = plane(config, &mut ebpf).map_err(|error| lost("cannot map the XDP tables", error))?;
    if seed.is_some()
        && let Some(words) = pinned(dir, "state")
    {
        let words: Area<AtomicU64> =
            Area::of_map(words.fd().as_fd(), state::WORDS).map_err(|error| lost("cannot map the XDP state", error))?;
        words[state::VERSION].store(VERSION, Ordering::Relaxed);
        words[state::FLOW_SEED].store(flow_seed, Ordering::Relaxed);
        words[state::LPM_MODE].store(u64::from(lpm_mode), Ordering::Relaxed);
        words[state::MAGIC].store(MAGIC, Ordering::Release);
    }
    Ok((plane, program))
}

#[allow(clippy::needless_pass_by_value)] // As `map_err` hands it over.
fn bpf_error<E: std::error::Error>(error: E) -> BackendError {
    // What the kernel said lies at the end of the chain.
    let mut text = error.to_string();
    let mut cause = error.source();
    let mut errno = None;
    while let Some(inner) = cause {
        errno = inner.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error).or(errno);
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    match errno {
        Some(errno @ (libc::EPERM | libc::EACCES)) if !text.contains("Verifier") => {
            refused("cannot load the XDP program", &io::Error::from_raw_os_error(errno))
        }
        Some(libc::ENOMEM) => lost("no memory for the XDP tables (fib.xdp.limits)", text),
        _ => lost("cannot load the XDP program", text),
    }
}

fn take(ebpf: &mut Ebpf, name: &str) -> io::Result<Map> {
    ebpf.take_map(name).ok_or_else(|| io::Error::other(format!("the embedded object has no map {name}")))
}

pub(super) fn area<W: Word>(ebpf: &mut Ebpf, name: &str, words_per_entry: usize) -> io::Result<Area<W>> {
    let Map::Array(map) = take(ebpf, name)? else { return Err(io::Error::other(format!("{name} is no array"))) };
    area_of(&map, words_per_entry)
}

fn area_of<W: Word>(map: &MapData, words_per_entry: usize) -> io::Result<Area<W>> {
    let entries = map.info().map_err(io::Error::other)?.max_entries();
    Area::of_map(map.fd().as_fd(), entries as usize * words_per_entry)
}

fn plane(config: &XdpConfig, ebpf: &mut Ebpf) -> io::Result<Plane> {
    let table = |ebpf: &mut Ebpf, v4: bool| -> io::Result<Table> {
        match (config.table, v4) {
            (XdpTable::LpmTrie, true) => Ok(Table::Trie4(take(ebpf, "v4_lpm")?.try_into().map_err(io::Error::other)?)),
            (XdpTable::LpmTrie, false) => Ok(Table::Trie6(take(ebpf, "v6_lpm")?.try_into().map_err(io::Error::other)?)),
            (XdpTable::Stride, _) => {
                let [root, groups] = if v4 { ["v4_root", "v4_groups"] } else { ["v6_root", "v6_groups"] };
                let root: Area<AtomicU32> = area(ebpf, root, PACKED as usize)?;
                let groups = area(ebpf, groups, PACKED as usize)?;
                let lists = if v4 { None } else { Some(area(ebpf, "v6_lists", LIST_WORDS)?) };
                Ok(Table::Stride(Box::new(Stride::new(root, groups, lists))))
            }
        }
    };
    let limits = &config.limits;
    let book4 = Book::new(Layout::V4, area(ebpf, "v4_routes", 1)?, limits.ipv4_routes as usize);
    let book6 = Book::new(Layout::V6, area(ebpf, "v6_routes", ROUTE6_WORDS)?, limits.ipv6_routes as usize);
    let families = [
        FamilyTables { book: book4, table: table(ebpf, true)? },
        FamilyTables { book: book6, table: table(ebpf, false)? },
    ];
    let hops = HopMaps {
        objects: area(ebpf, "objects", 1)?,
        legs: area(ebpf, "legs", 1)?,
        infos: area(ebpf, "leg_infos", LEG_INFO_WORDS)?,
        buckets: area(ebpf, "buckets", PACKED as usize)?,
        members: take(ebpf, "group_members")?.try_into().map_err(io::Error::other)?,
    };
    let devices = take(ebpf, "devices")?;
    let Map::DevMap(data) = &devices else { return Err(io::Error::other("devices is no DEVMAP")) };
    let devices_fd = data.fd().as_fd().try_clone_to_owned()?;
    let ports = Ports::new(
        area(ebpf, "ports", PORT_WORDS)?,
        devices.try_into().map_err(io::Error::other)?,
        devices_fd,
        take(ebpf, "neighbors")?.try_into().map_err(io::Error::other)?,
    );
    let counters = take(ebpf, "counters")?.try_into().map_err(io::Error::other)?;
    Ok(Plane::new(families, Hops::new(hops), ports, area(ebpf, "state", 1)?, counters))
}

type Found = Vec<(IpNet, Forwarding)>;

/// The routes in a set that cannot be taken up as it is, of this version or one whose books are alike.
fn salvage(dir: &Path) -> Option<Found> {
    state_words(dir, BOOK_SINCE)?;
    let hops = HopMaps {
        objects: area_of(&pinned(dir, "objects")?, 1).ok()?,
        legs: area_of(&pinned(dir, "legs")?, 1).ok()?,
        infos: area_of(&pinned(dir, "leg_infos")?, LEG_INFO_WORDS).ok()?,
        buckets: area_of(&pinned(dir, "buckets")?, PACKED as usize).ok()?,
        members: Map::from_map_data(pinned(dir, "group_members")?).ok()?.try_into().ok()?,
    };
    let mut hops = Hops::new(hops);
    let mut meanings: HashMap<u32, Option<Forwarding>> = HashMap::new();
    let mut found = Found::new();
    for (family, (name, layout, words)) in
        [("v4_routes", Layout::V4, 1), ("v6_routes", Layout::V6, ROUTE6_WORDS)].into_iter().enumerate()
    {
        let book = Book::new(layout, area_of(&pinned(dir, name)?, words).ok()?, usize::MAX);
        for record in book.records() {
            let meaning =
                meanings.entry(record.object).or_insert_with(|| hops.read(record.object).map(|(meaning, ..)| meaning));
            if let Some(forwarding) = meaning.clone().filter(|forwarding| *forwarding != Forwarding::Local) {
                found.push((super::plane::prefix(family, record), forwarding));
            }
        }
    }
    Some(found)
}

/// Writes what was read over, under numbers of our own.
fn import(plane: &mut Plane, found: Found) {
    let mut numbers: HashMap<Forwarding, NextHopId> = HashMap::new();
    let mut objects = Vec::new();
    let mut routes = Vec::with_capacity(found.len());
    for (prefix, forwarding) in found {
        let next = NextHopId(numbers.len() as u32 + 1);
        let id = *numbers.entry(forwarding).or_insert_with_key(|forwarding| {
            objects.push(NextHopOp { id: next, forwarding: Some(forwarding.clone()) });
            next
        });
        routes.push(FibRoute { prefix, next_hop: Some(id) });
    }
    let mut refused = Vec::new();
    plane.apply(&objects, &routes, &[], &mut refused);
    if !refused.is_empty() {
        tracing::warn!(routes = refused.len(), "did not fit into the new XDP tables (fib.xdp.limits)");
    }
}
