//! The way to the owner of the speaker's configuration.

use bgpd::config::SpeakerConfig;
use bgpd::speaker::message::NeighborKey;
use tokio::sync::{mpsc, oneshot};

use super::Gone;

/// Why a neighbor is not added or deleted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NeighborRefusal {
    /// The table is wrong.
    #[error("{0}")]
    Invalid(String),
    /// There is one of that name.
    #[error("{0}")]
    Exists(String),
    /// No more can be added.
    #[error("{0}")]
    TooMany(String),
    /// It is the file's.
    #[error("{0}")]
    Configured(String),
    /// There is none of that name.
    #[error("there is no neighbor {0}; `anyhop show neighbors` lists them")]
    Unknown(NeighborKey),
    /// The speaker has stopped.
    #[error("{0}")]
    Stopped(String),
}

/// A message to the owner of the speaker's configuration.
#[derive(Debug)]
pub(crate) enum NeighborAsk {
    /// The file was read again.
    Configure(Box<SpeakerConfig>, oneshot::Sender<Result<(), String>>),
    Add(String, oneshot::Sender<Result<NeighborKey, NeighborRefusal>>),
    Delete(NeighborKey, oneshot::Sender<Result<(), NeighborRefusal>>),
    Added(oneshot::Sender<Vec<NeighborKey>>),
}

/// The way to the owner of the speaker's configuration.
#[derive(Clone, Debug)]
pub struct NeighborsHandle(pub(crate) mpsc::Sender<NeighborAsk>);

impl NeighborsHandle {
    async fn ask<T>(&self, question: impl FnOnce(oneshot::Sender<T>) -> NeighborAsk) -> Result<T, Gone> {
        let (reply, answer) = oneshot::channel();
        self.0.send(question(reply)).await?;
        Ok(answer.await?)
    }

    /// Takes up what the file says now; neighbors that were added stay.
    ///
    /// # Errors
    /// [`Gone`] when the node stops; the inner error if the speaker has.
    pub(crate) async fn configure(&self, file: SpeakerConfig) -> Result<Result<(), String>, Gone> {
        self.ask(|reply| NeighborAsk::Configure(Box::new(file), reply)).await
    }

    /// Adds the neighbor of a `[[neighbor]]` table until the daemon stops.
    ///
    /// # Errors
    /// [`Gone`] when the node stops; the inner error says why it is refused.
    pub async fn add(&self, content: String) -> Result<Result<NeighborKey, NeighborRefusal>, Gone> {
        self.ask(|reply| NeighborAsk::Add(content, reply)).await
    }

    /// Deletes a neighbor that was added.
    ///
    /// # Errors
    /// [`Gone`] when the node stops; the inner error says why it is refused.
    pub async fn delete(&self, key: NeighborKey) -> Result<Result<(), NeighborRefusal>, Gone> {
        self.ask(|reply| NeighborAsk::Delete(key, reply)).await
    }

    /// The neighbors that were added.
    ///
    /// # Errors
    /// [`Gone`] when the node stops.
    pub async fn added(&self) -> Result<Vec<NeighborKey>, Gone> {
        self.ask(NeighborAsk::Added).await
    }
}
