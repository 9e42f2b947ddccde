//! The way back from the core to one asker.

use serde_json::Value;
use tokio::sync::mpsc;

use super::access::Peer;
use super::frame::{Fault, Response};

/// The asker does not read its events as fast as they come; it has been cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("send an event: the reader is too slow or gone")]
pub struct SlowReader;

/// A request with its sender and the way back.
#[derive(Debug)]
pub struct ControlRequest {
    /// What is asked; `[a-z0-9_.]{1,64}`.
    pub verb: String,
    /// Strictly read JSON: at most 64 KiB, depth 16, no duplicate keys.
    pub data: Value,
    /// Who asks.
    pub peer: Peer,
    /// Where the answer goes.
    pub reply: Reply,
}

/// Answers one request.
///
/// Any number of [`Reply::event`], then one of [`Reply::done`] and [`Reply::refuse`]. None of them waits, so the core can
/// call them. **Each request gets exactly one last line**: its place in the queue is reserved before the request is
/// delivered, and a reply that is dropped unanswered says `internal`.
#[derive(Debug)]
pub struct Reply {
    id: u64,
    events: mpsc::Sender<Response>,
    last: Option<mpsc::OwnedPermit<Response>>,
}

impl Reply {
    pub(super) fn new(
        id: u64,
        events: mpsc::Sender<Response>,
        last: mpsc::OwnedPermit<Response>,
    ) -> Self {
        Self {
            id,
            events,
            last: Some(last),
        }
    }

    /// Sends one of a stream.
    ///
    /// # Errors
    /// [`SlowReader`]: stop streaming and drop the reply.
    pub fn event(&self, data: Value) -> Result<(), SlowReader> {
        self.events
            .try_send(Response::event(self.id, data))
            .map_err(|_| SlowReader)
    }

    /// Whether the asker is still connected.
    #[must_use]
    pub fn is_open(&self) -> bool {
        !self.events.is_closed()
    }

    /// The request was carried out.
    pub fn done(mut self, data: Value) {
        self.finish(Response::ok(self.id, data));
    }

    /// The request was not carried out.
    pub fn refuse(mut self, fault: Fault) {
        self.finish(Response::error(Some(self.id), fault));
    }

    fn finish(&mut self, response: Response) {
        if let Some(place) = self.last.take() {
            place.send(response);
        }
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        if self.last.is_some() {
            let fault = Fault::new("internal", "the daemon gave no answer")
                .advise("see `journalctl -u drawbridge`");
            self.finish(Response::error(Some(self.id), fault));
        }
    }
}
