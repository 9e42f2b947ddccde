//! A hub for tests: a script says what it answers, and everything that was asked is kept.

use std::collections::VecDeque;
use std::time::Duration;

use drawbridge_protocol::ids::LockId;
use serde_json::Value;

use super::{Carrier, CarryError, Stream};

type Asked<'a> = dyn FnMut(&str, &Value) -> Result<Value, CarryError> + 'a;
type Sent<'a> = dyn FnMut(&[u8]) -> Vec<Value> + 'a;

/// The hub. `on_ask` answers requests, `on_send` says which results follow a command.
pub(in crate::cli) struct FakeHub<'a> {
    pub(in crate::cli) hub: Option<String>,
    pub(in crate::cli) on_ask: Box<Asked<'a>>,
    pub(in crate::cli) on_send: Box<Sent<'a>>,
    pub(in crate::cli) sent: Vec<Vec<u8>>,
    /// What the first sending, the next waits for a result and the later sendings fail with.
    pub(in crate::cli) unsent: Option<CarryError>,
    pub(in crate::cli) broken: VecDeque<CarryError>,
    pub(in crate::cli) unsendable: VecDeque<CarryError>,
    results: VecDeque<Value>,
}

impl<'a> FakeHub<'a> {
    pub(in crate::cli) fn new(
        on_ask: impl FnMut(&str, &Value) -> Result<Value, CarryError> + 'a,
        on_send: impl FnMut(&[u8]) -> Vec<Value> + 'a,
    ) -> Self {
        Self {
            hub: Some("h1".to_owned()),
            on_ask: Box::new(on_ask),
            on_send: Box::new(on_send),
            sent: Vec::new(),
            unsent: None,
            broken: VecDeque::new(),
            unsendable: VecDeque::new(),
            results: VecDeque::new(),
        }
    }
}

pub(in crate::cli) fn refused(code: &str) -> CarryError {
    CarryError::Refused {
        verb: "x".into(),
        code: code.into(),
        message: "m".into(),
        advice: None,
    }
}

pub(in crate::cli) fn broken() -> CarryError {
    CarryError::Broken {
        place: "a fake hub".into(),
        reason: "the connection was lost".into(),
    }
}

pub(in crate::cli) fn silence() -> CarryError {
    CarryError::NoAnswer {
        place: "the hub".into(),
        verb: "x".into(),
        within: Duration::from_secs(1),
    }
}

impl Carrier for FakeHub<'_> {
    fn place(&self) -> String {
        "a fake hub".to_owned()
    }

    fn hub(&self) -> Option<&str> {
        self.hub.as_deref()
    }

    fn ask(&mut self, verb: &str, data: Value, _: Duration) -> Result<Value, CarryError> {
        (self.on_ask)(verb, &data)
    }

    fn send(&mut self, _: LockId, command: &[u8]) -> Result<(), CarryError> {
        let is_first = self.sent.is_empty();
        let error = match is_first {
            true => self.unsent.take(),
            false => self.unsendable.pop_front(),
        };
        if let Some(error) = error {
            return Err(error);
        }
        self.sent.push(command.to_vec());
        self.results.extend((self.on_send)(command));
        Ok(())
    }

    fn result(&mut self, _: Duration) -> Result<Option<Value>, CarryError> {
        match self.broken.pop_front() {
            // What was under way is lost with the connection.
            Some(error) => {
                self.results.clear();
                Err(error)
            }
            None => Ok(self.results.pop_front()),
        }
    }

    fn follow(&mut self, _: Stream) -> Result<(), CarryError> {
        Ok(())
    }

    fn update(&mut self, _: Duration) -> Result<Option<Value>, CarryError> {
        Ok(None)
    }
}
