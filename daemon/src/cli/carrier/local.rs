//! Through the control socket of the hub on this machine.

use std::path::{Path, PathBuf};
use std::time::Duration;

use drawbridge_protocol::ids::LockId;
use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::{Carrier, CarryError, Stream, base64, unreachable};
use crate::control::client::{Answer, ClientError, ControlClient};

/// Lines that wait to be read; the daemon cuts off who is slower than its own bound.
const WAITING: usize = 256;

type Lines = mpsc::Receiver<Result<Answer, CarryError>>;

/// The control socket.
pub(in crate::cli) struct LocalCarrier {
    // Before `runtime`: tasks of the streams live in it.
    results: Option<Lines>,
    updates: Option<Lines>,
    client: Option<ControlClient>,
    path: PathBuf,
    runtime: Runtime,
}

impl LocalCarrier {
    /// Connects once, so that an absent daemon shows before anything is asked of the user.
    pub(in crate::cli) fn connect(path: &Path) -> Result<Self, CarryError> {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| unreachable("the daemon", &error, "close some programs and repeat"))?;
        let client = runtime
            .block_on(ControlClient::connect(path))
            .map_err(|error| carry("", error))?;
        Ok(Self {
            results: None,
            updates: None,
            client: Some(client),
            path: path.to_owned(),
            runtime,
        })
    }

    /// A stream on a connection of its own: reading it must not stop halfway in a line.
    fn stream(&self, verb: &'static str, data: Value) -> Result<Lines, CarryError> {
        let path = self.path.clone();
        let (mut client, id) = self
            .runtime
            .block_on(async {
                let mut client = ControlClient::connect(&path).await?;
                let id = client.send(verb, data).await?;
                Ok((client, id))
            })
            .map_err(|error| carry(verb, error))?;
        let (to, lines) = mpsc::channel(WAITING);
        self.runtime.spawn(async move {
            loop {
                let line = client.receive(id).await;
                let more = matches!(line, Ok(Answer::Event(_)));
                // A reader that is gone wants no more.
                if to
                    .send(line.map_err(|error| carry(verb, error)))
                    .await
                    .is_err()
                    || !more
                {
                    return;
                }
            }
        });
        Ok(lines)
    }
}

impl Carrier for LocalCarrier {
    fn place(&self) -> String {
        format!("the hub on this machine ({})", self.path.display())
    }

    fn hub(&self) -> Option<&str> {
        None
    }

    fn ask(&mut self, verb: &str, data: Value, within: Duration) -> Result<Value, CarryError> {
        // A client that failed once may have half an answer in it: it is not used again.
        let client = self.client.take();
        let path = self.path.clone();
        let asked = self.runtime.block_on(async {
            let mut client = match client {
                Some(client) => client,
                None => ControlClient::connect(&path).await?,
            };
            let answer = client.request(verb, data, within).await?;
            Ok((client, answer))
        });
        let (client, answer) = asked.map_err(|error| carry(verb, error))?;
        self.client = Some(client);
        Ok(answer)
    }

    fn send(&mut self, lock: LockId, command: &[u8]) -> Result<(), CarryError> {
        let data = json!({"lock": lock.to_string(), "command": base64(command), "wait": true});
        self.results = Some(self.stream("lock.command", data)?);
        Ok(())
    }

    fn result(&mut self, within: Duration) -> Result<Option<Value>, CarryError> {
        let Some(lines) = &mut self.results else {
            // A timer belongs to a runtime: it is made inside.
            self.runtime
                .block_on(async { tokio::time::sleep(within).await });
            return Ok(None);
        };
        match self
            .runtime
            .block_on(async { timeout(within, lines.recv()).await })
        {
            Err(_) => Ok(None),
            Ok(Some(Ok(Answer::Event(value) | Answer::Done(value)))) => Ok(Some(value)),
            Ok(Some(Err(error))) => {
                self.results = None;
                Err(error)
            }
            Ok(None) => {
                self.results = None;
                Ok(None)
            }
        }
    }

    fn follow(&mut self, stream: Stream) -> Result<(), CarryError> {
        let verb = match stream {
            Stream::Events => "events",
            Stream::Watch => "watch",
        };
        self.updates = Some(self.stream(verb, json!({}))?);
        Ok(())
    }

    fn update(&mut self, within: Duration) -> Result<Option<Value>, CarryError> {
        let ended = || CarryError::Broken {
            place: "the daemon".to_owned(),
            reason: "the stream has ended".to_owned(),
        };
        let lines = self.updates.as_mut().ok_or_else(ended)?;
        match self
            .runtime
            .block_on(async { timeout(within, lines.recv()).await })
        {
            Err(_) => Ok(None),
            Ok(Some(Ok(Answer::Event(value)))) => Ok(Some(value)),
            Ok(Some(Err(error))) => Err(error),
            Ok(Some(Ok(Answer::Done(_))) | None) => Err(ended()),
        }
    }
}

fn carry(verb: &str, error: ClientError) -> CarryError {
    let place = "the daemon".to_owned();
    match error {
        ClientError::Unreachable { path, source } => CarryError::Unreachable {
            place: format!("the daemon at {}", path.display()),
            next: match source.kind() {
                std::io::ErrorKind::PermissionDenied => {
                    "run it as root, or join the socket's group".to_owned()
                }
                _ => "systemctl status drawbridge (or give --socket, or a broker in client.toml)"
                    .to_owned(),
            },
            reason: source.to_string(),
        },
        ClientError::TimedOut { limit } => CarryError::NoAnswer {
            place,
            verb: verb.to_owned(),
            within: limit,
        },
        ClientError::Refused(fault) => CarryError::Refused {
            verb: verb.to_owned(),
            code: fault.code,
            message: fault.message,
            advice: fault.advice,
        },
        ClientError::Broken(source) => CarryError::Broken {
            place,
            reason: source.to_string(),
        },
        error @ (ClientError::TooLong { .. }
        | ClientError::Confused
        | ClientError::Malformed(_)) => CarryError::Malformed {
            verb: verb.to_owned(),
            what: super::chain(&error),
        },
    }
}
