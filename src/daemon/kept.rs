//! What a node keeps on disk from one life to the next: how far the sequence numbers of OSPF's authentication have come, and how
//! the last life ended. One small file in `node.state_dir`, only where one of both matters.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use serde::{Deserialize, Serialize};

use crate::config::model::Model;

/// The file.
const FILE: &str = "ospf.json";
/// Seconds of sequence numbers that are put aside in advance, so that a life that ends without a word has not used more.
const AHEAD_SECS: u32 = 3600;
/// How often that is done.
const EVERY: Duration = Duration::from_secs(1800);

/// How a life ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum End {
    /// It has not; or nobody had the time to say so.
    Running,
    /// For good: neighbors were told to forget us.
    Left,
    /// For a short time: neighbors were asked to keep us.
    Restart,
}

/// The file's contents.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    /// Sequence numbers of the next life begin above this.
    reached: u32,
    end: End,
    /// Seconds since 1970 of that end.
    at: u64,
    router_id: String,
    /// The versions that were spoken.
    versions: Vec<String>,
}

/// What the last life left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Last {
    /// Nothing that this one could go on with.
    #[default]
    Nothing,
    /// It asked neighbors to keep us, so long ago.
    Restarting(Duration),
    /// It ended without a word.
    Lost,
}

/// The file, and what of it is in force.
#[derive(Debug)]
pub(super) struct Kept {
    path: PathBuf,
    /// Something depends on it.
    needed: AtomicBool,
    /// Where the sequence numbers of this life begin.
    pub(super) boot: u32,
    /// What the last one left.
    pub(super) last: Last,
    started: Instant,
    router_id: String,
    versions: Vec<String>,
}

#[allow(clippy::disallowed_methods)] // The roof reads the time of day; sequence numbers follow it.
fn day() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}

#[allow(clippy::disallowed_methods)]
fn clock() -> Instant {
    Instant::now()
}

/// Seconds since 1970 in 32 bits.
fn short(secs: u64) -> u32 {
    u32::try_from(secs).unwrap_or(u32::MAX)
}

impl Kept {
    /// Reads what the last life left, and begins this one. Where nothing depends on it, nothing is read or written.
    pub(super) fn open(model: &Model) -> Arc<Self> {
        let ospf = model.ospf.iter().flat_map(|ospf| &ospf.versions);
        let versions = ospf.map(|config| format!("{:?}", config.version)).collect();
        let router_id = model.node.router_id.to_string();
        Arc::new(Self::begin(&model.node.state_dir, needs(model), day(), router_id, versions))
    }

    fn begin(dir: &Path, needed: bool, now: u64, router_id: String, versions: Vec<String>) -> Self {
        let (path, needed, started) = (dir.join(FILE), AtomicBool::new(needed), clock());
        let mut kept = Self { path, needed, boot: short(now), last: Last::Nothing, started, router_id, versions };
        if kept.needed.load(Ordering::Relaxed) {
            match read(&kept.path) {
                Ok(Some(record)) => {
                    kept.boot = kept.boot.max(record.reached.saturating_add(1));
                    kept.last = kept.judge(&record, now);
                }
                Ok(None) => {}
                Err(error) => tracing::warn!(path = %kept.path.display(), %error, "cannot read what the last run kept"),
            }
            kept.write(End::Running, AHEAD_SECS);
        }
        kept
    }

    /// A reload may have made it needed.
    pub(super) fn configured(&self, model: &Model) {
        if needs(model) && !self.needed.swap(true, Ordering::Relaxed) {
            self.write(End::Running, AHEAD_SECS);
        }
    }

    fn judge(&self, record: &Record, now: u64) -> Last {
        if record.router_id != self.router_id || record.versions != self.versions {
            return Last::Nothing;
        }
        match record.end {
            End::Running => Last::Lost,
            End::Left => Last::Nothing,
            // A clock that went back says nothing of how long we were away.
            End::Restart if record.at > now => Last::Nothing,
            End::Restart => Last::Restarting(Duration::from_secs(now - record.at)),
        }
    }

    /// Puts sequence numbers aside from time to time, for as long as somebody holds the other end.
    pub(super) fn tend(self: &Arc<Self>) {
        let kept = Arc::downgrade(self);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(EVERY).await;
                let Some(kept) = kept.upgrade() else { return };
                kept.write(End::Running, AHEAD_SECS);
            }
        });
    }

    /// This life ends: for good, or for a short time.
    pub(super) fn end(&self, restarts: bool) {
        self.write(if restarts { End::Restart } else { End::Left }, 1);
    }

    fn write(&self, end: End, ahead: u32) {
        if !self.needed.load(Ordering::Relaxed) {
            return;
        }
        let age = short(clock().saturating_duration_since(self.started).as_secs());
        let record = Record {
            reached: self.boot.saturating_add(age).saturating_add(ahead),
            end,
            at: day(),
            router_id: self.router_id.clone(),
            versions: self.versions.clone(),
        };
        if let Err(error) = write(&self.path, &record) {
            self.complain(&error);
        }
    }

    fn complain(&self, error: &io::Error) {
        tracing::warn!(
            path = %self.path.display(),
            %error,
            "cannot keep what OSPF must remember over a restart: sequence numbers follow the clock alone, and a graceful restart is \
             not possible; set node.state_dir to a directory that can be written"
        );
    }
}

/// Whether something must be remembered: what is signed has numbers, and who restarts gracefully comes back.
fn needs(model: &Model) -> bool {
    model.ospf.iter().flat_map(|ospf| &ospf.versions).any(|config| {
        config.graceful_restart.enabled
            || config.interfaces.iter().any(|interface| !interface.auth.is_empty())
            || config.areas.iter().any(|area| !area.virtual_auth.is_empty())
    })
}

fn read(path: &Path) -> io::Result<Option<Record>> {
    match fs::read(path) {
        Ok(octets) => serde_json::from_slice(&octets).map(Some).map_err(io::Error::other),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// All of it or nothing, also if the machine loses its power.
fn write(path: &Path, record: &Record) -> io::Result<()> {
    let text = serde_json::to_vec(record).map_err(io::Error::other)?;
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir)?;
    }
    let fresh = path.with_extension("new");
    let mut file = fs::File::create(&fresh)?;
    file.write_all(&text)?;
    file.sync_all()?;
    fs::rename(&fresh, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begin(dir: &Path, now: u64) -> Kept {
        Kept::begin(dir, true, now, "10.0.0.1".to_owned(), vec!["V2".to_owned()])
    }

    #[test]
    fn sequence_numbers_never_go_back_whatever_the_clock_does() {
        let dir = tempfile::tempdir().expect("a directory");
        let dir = dir.path().join("not/there/yet");
        let first = begin(&dir, 1_000_000);
        assert_eq!((first.boot, first.last), (1_000_000, Last::Nothing));
        // It dies, and the clock has lost a year; then it is right again.
        let second = begin(&dir, 500);
        assert_eq!((second.boot, second.last), (1_003_601, Last::Lost));
        second.end(false);
        let third = begin(&dir, 500);
        assert_eq!((third.boot, third.last), (1_003_603, Last::Nothing));
        let fourth = begin(&dir, 2_000_000);
        assert_eq!((fourth.boot, fourth.last), (2_000_000, Last::Lost));
    }

    #[test]
    fn a_planned_restart_is_known_to_the_next_life_and_to_no_other_router() {
        let dir = tempfile::tempdir().expect("a directory");
        let now = day();
        begin(dir.path(), now).end(true);
        let other = Kept::begin(dir.path(), true, now + 5, "10.0.0.2".to_owned(), vec!["V2".to_owned()]);
        assert_eq!(other.last, Last::Nothing);
        begin(dir.path(), now).end(true);
        let Last::Restarting(away) = begin(dir.path(), now + 7).last else { panic!("not known") };
        assert!(away <= Duration::from_secs(7) && away >= Duration::from_secs(5), "{away:?}");
        begin(dir.path(), now).end(true);
        assert_eq!(begin(dir.path(), now - 1000).last, Last::Nothing, "a clock that went back");
    }

    #[test]
    fn what_cannot_be_read_or_written_is_no_reason_to_stop() {
        let dir = tempfile::tempdir().expect("a directory");
        fs::write(dir.path().join(FILE), "{ nonsense").expect("written");
        assert_eq!(begin(dir.path(), 7_000).boot, 7_000);
        let file = dir.path().join("file");
        fs::write(&file, "").expect("written");
        let kept = begin(&file, 8_000);
        assert_eq!((kept.boot, kept.last), (8_000, Last::Nothing));
        kept.end(true);
    }
}
