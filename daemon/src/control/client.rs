//! The asking side, for the CLI.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::frame::{Fault, MAX_LINE, Request, Response, Status};
use crate::strict_json::{self, JsonError};

/// Time to connect.
const CONNECT_LIMIT: Duration = Duration::from_secs(3);

/// A request failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// Nobody listens, or we may not connect: exit code 4.
    #[error("reach the daemon at {}", path.display())]
    Unreachable {
        /// The socket.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The connection broke or ended before the answer.
    #[error("wait for the daemon's answer")]
    Broken(#[source] io::Error),
    /// No answer in time.
    #[error("wait for the daemon's answer: none within {} s", limit.as_secs())]
    TimedOut {
        /// The limit given.
        limit: Duration,
    },
    /// The daemon said something that is no answer to this request.
    #[error(
        "understand the daemon's answer: it has another id or form; are daemon and CLI of one release?"
    )]
    Confused,
    /// The daemon's answer is not JSON as agreed.
    #[error("understand the daemon's answer")]
    Malformed(#[source] JsonError),
    /// The request does not fit a line.
    #[error("send the request: {length} bytes are more than {MAX_LINE}")]
    TooLong {
        /// Bytes it would take.
        length: usize,
    },
    /// The daemon refused.
    #[error("the daemon refused: {}", .0.message)]
    Refused(Fault),
}

impl ClientError {
    /// Whether the daemon may have carried the request out.
    #[must_use]
    pub fn may_have_succeeded(&self) -> bool {
        matches!(
            self,
            Self::Broken(_) | Self::TimedOut { .. } | Self::Confused | Self::Malformed(_)
        )
    }

    /// Whether the same request may work later.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Broken(_) | Self::TimedOut { .. } => true,
            Self::Refused(fault) => matches!(fault.code.as_str(), "busy" | "stopping"),
            Self::Confused | Self::Malformed(_) | Self::TooLong { .. } => false,
        }
    }
}

/// One line of an answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// One of a stream.
    Event(Value),
    /// The last.
    Done(Value),
}

/// A connection to the daemon. One request at a time.
#[derive(Debug)]
pub struct ControlClient {
    stream: BufReader<UnixStream>,
    next_id: u64,
}

impl ControlClient {
    /// Connects.
    ///
    /// # Errors
    /// [`ClientError::Unreachable`].
    pub async fn connect(path: &Path) -> Result<Self, ClientError> {
        let wrap = |source| ClientError::Unreachable {
            path: path.to_owned(),
            source,
        };
        let stream = timeout(CONNECT_LIMIT, UnixStream::connect(path))
            .await
            .map_err(|_| wrap(io::ErrorKind::TimedOut.into()))?
            .map_err(wrap)?;
        Ok(Self {
            stream: BufReader::new(stream),
            next_id: 1,
        })
    }

    /// Asks once and waits up to `limit` for the answer; events before it are skipped.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn request(
        &mut self,
        verb: &str,
        data: Value,
        limit: Duration,
    ) -> Result<Value, ClientError> {
        let asked = async {
            let id = self.send(verb, data).await?;
            loop {
                if let Answer::Done(data) = self.receive(id).await? {
                    return Ok(data);
                }
            }
        };
        timeout(limit, asked)
            .await
            .map_err(|_| ClientError::TimedOut { limit })?
    }

    /// Asks for a stream; call [`ControlClient::receive`] with the id until [`Answer::Done`].
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn send(&mut self, verb: &str, data: Value) -> Result<u64, ClientError> {
        let id = self.next_id;
        self.next_id += 1;
        let request = Request {
            id,
            verb: verb.into(),
            data,
        };
        let mut line =
            serde_json::to_vec(&request).map_err(|error| ClientError::Broken(error.into()))?;
        if line.len() > MAX_LINE {
            return Err(ClientError::TooLong { length: line.len() });
        }
        line.push(b'\n');
        match self.stream.write_all(&line).await {
            Ok(()) => Ok(id),
            // A daemon that turns us away says why and closes; its line is worth more than our EPIPE.
            Err(error) => match self.receive(id).await {
                Err(refused @ ClientError::Refused(_)) => Err(refused),
                _ => Err(ClientError::Broken(error)),
            },
        }
    }

    /// Waits for the next line of an answer; no time limit.
    ///
    /// # Errors
    /// See [`ClientError`]. After any but [`ClientError::Refused`], drop the client.
    pub async fn receive(&mut self, id: u64) -> Result<Answer, ClientError> {
        let mut line = Vec::new();
        let most = MAX_LINE as u64 + 1;
        (&mut self.stream)
            .take(most)
            .read_until(b'\n', &mut line)
            .await
            .map_err(ClientError::Broken)?;
        if line.pop() != Some(b'\n') {
            let ended = io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the daemon closed the connection",
            );
            return Err(ClientError::Broken(ended));
        }
        let response: Response =
            strict_json::decode(&line, MAX_LINE).map_err(ClientError::Malformed)?;
        match response {
            // A refusal without an id concerns the connection, hence every request on it.
            Response {
                id: about,
                status: Status::Error,
                error: Some(fault),
                ..
            } if about.is_none_or(|about| about == id) => Err(ClientError::Refused(fault)),
            Response {
                id: Some(about),
                status: Status::Ok,
                data,
                ..
            } if about == id => Ok(Answer::Done(data.unwrap_or_default())),
            Response {
                id: Some(about),
                status: Status::Event,
                data,
                ..
            } if about == id => Ok(Answer::Event(data.unwrap_or_default())),
            _ => Err(ClientError::Confused),
        }
    }
}
