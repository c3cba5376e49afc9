//! The owner of the speaker's configuration while the node runs: what the file says, and the neighbors that were added through
//! the API beside it. Both reach the speaker as one, so that a reload of the file leaves the added ones alone.

use std::path::PathBuf;
use std::sync::Arc;

use bgpd::config::{NeighborConfig, SpeakerConfig};
use bgpd::io::Handle;
use bgpd::speaker::message::NeighborKey;
use tokio::sync::{Notify, mpsc};

use super::handles::{NeighborAsk, NeighborRefusal, NeighborsHandle};
use crate::config;

/// Asks that may wait. Full: the caller waits.
const ASKS: usize = 16;
/// Most neighbors of the API, so that a client in a loop cannot fill the memory.
const ADDED_MAX: usize = 4096;

struct Owner {
    bgp: Handle,
    /// What the file says.
    file: SpeakerConfig,
    /// Where relative paths in an added table begin.
    base: PathBuf,
    added: Vec<NeighborConfig>,
    /// Told when the speaker has a new configuration.
    configured: Arc<Notify>,
}

/// Starts the owner on the current runtime; it ends with the last handle. The speaker runs with `file` already; `configured` is
/// told whenever it runs with something else.
pub(super) fn spawn(bgp: Handle, file: SpeakerConfig, base: PathBuf, configured: Arc<Notify>) -> NeighborsHandle {
    let (asks, mut received) = mpsc::channel(ASKS);
    let mut owner = Owner { bgp, file, base, added: Vec::new(), configured };
    tokio::spawn(async move {
        while let Some(ask) = received.recv().await {
            owner.ask(ask).await;
        }
    });
    NeighborsHandle(asks)
}

impl Owner {
    async fn ask(&mut self, ask: NeighborAsk) {
        match ask {
            NeighborAsk::Configure(file, reply) => {
                let _ = reply.send(self.configure(*file).await);
            }
            NeighborAsk::Add(content, reply) => {
                let _ = reply.send(self.add(&content).await);
            }
            NeighborAsk::Delete(key, reply) => {
                let _ = reply.send(self.delete(&key).await);
            }
            NeighborAsk::Added(reply) => {
                let _ = reply.send(self.added.iter().map(NeighborConfig::key).collect());
            }
        }
    }

    /// The file's configuration with what was added.
    fn whole(&self) -> SpeakerConfig {
        let mut whole = self.file.clone();
        whole.neighbors.extend(self.added.iter().cloned());
        whole
    }

    async fn tell(&self) -> Result<(), String> {
        self.bgp.configure(self.whole()).await.map_err(|error| error.to_string())?;
        self.configured.notify_one();
        Ok(())
    }

    /// A new file. A neighbor that it names now is the file's from here on.
    async fn configure(&mut self, file: SpeakerConfig) -> Result<(), String> {
        self.file = file;
        let configured: Vec<NeighborKey> = self.file.neighbors.iter().map(NeighborConfig::key).collect();
        self.added.retain(|neighbor| {
            let stays = !configured.contains(&neighbor.key());
            if !stays {
                tracing::info!(neighbor = %neighbor.key(), "the neighbor added through the API stands in the file now");
            }
            stays
        });
        self.tell().await
    }

    async fn add(&mut self, content: &str) -> Result<NeighborKey, NeighborRefusal> {
        let neighbor = config::neighbor(&self.base, content, &self.file).map_err(|errors| {
            // Places are those of a text that the client may not have written in lines; keys and words are what it can use.
            let said: Vec<_> = errors.list().iter().map(|found| format!("{}: {}", found.key, found.message)).collect();
            NeighborRefusal::Invalid(said.join("; "))
        })?;
        let key = neighbor.key();
        if self.file.neighbors.iter().any(|configured| configured.key() == key) {
            return Err(NeighborRefusal::Exists(format!("neighbor {key} stands in the configuration file")));
        }
        if self.added.iter().any(|added| added.key() == key) {
            return Err(NeighborRefusal::Exists(format!("neighbor {key} was added already; delete it first")));
        }
        if self.added.len() >= ADDED_MAX {
            return Err(NeighborRefusal::TooMany(format!("{ADDED_MAX} neighbors were added, which is the most")));
        }
        self.added.push(neighbor);
        self.tell().await.map_err(NeighborRefusal::Stopped)?;
        tracing::info!(neighbor = %key, "neighbor added through the API");
        Ok(key)
    }

    async fn delete(&mut self, key: &NeighborKey) -> Result<(), NeighborRefusal> {
        let Some(at) = self.added.iter().position(|added| added.key() == *key) else {
            let configured = self.file.neighbors.iter().any(|configured| configured.key() == *key);
            return Err(if configured {
                NeighborRefusal::Configured(format!(
                    "neighbor {key} stands in the configuration file: remove it there and reload, or disable it"
                ))
            } else {
                NeighborRefusal::Unknown(key.clone())
            });
        };
        self.added.remove(at);
        self.tell().await.map_err(NeighborRefusal::Stopped)?;
        tracing::info!(neighbor = %key, "neighbor deleted through the API");
        Ok(())
    }
}
