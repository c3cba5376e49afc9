//! The end of the channel that a monitor, or a script in memory, puts [`HostEvent`]s into. A carrier: it waits.

use tokio::sync::mpsc;

use super::HostEvent;

/// What happens on a host, as a stream.
pub struct HostEvents(Stream);

enum Stream {
    Kernel(mpsc::Receiver<HostEvent>),
    Script(mpsc::UnboundedReceiver<HostEvent>),
}

impl HostEvents {
    pub(crate) fn from_kernel(received: mpsc::Receiver<HostEvent>) -> Self {
        Self(Stream::Kernel(received))
    }

    pub(crate) fn from_script(received: mpsc::UnboundedReceiver<HostEvent>) -> Self {
        Self(Stream::Script(received))
    }

    /// The next event; `None` when the monitor has ended. May be dropped and called again without loss.
    pub async fn recv(&mut self) -> Option<HostEvent> {
        match &mut self.0 {
            Stream::Kernel(received) => received.recv().await,
            Stream::Script(received) => received.recv().await,
        }
    }

    /// The next event, if it has happened already.
    pub fn try_recv(&mut self) -> Option<HostEvent> {
        match &mut self.0 {
            Stream::Kernel(received) => received.try_recv().ok(),
            Stream::Script(received) => received.try_recv().ok(),
        }
    }
}
