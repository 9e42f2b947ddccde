//! Connections, one after another, and the queues between them and the rest of the daemon.
//!
//! While there is no connection, publishes are answered at once with a temporary failure: the
//! store's outbox is the only memory, and it offers them again after [`CloudEvent::Up`].
//!
//! **Each accepted ticket comes back in exactly one `Published` or `PublishFailed`, in whatever
//! way the plane ends.**

use std::time::SystemTime;

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio::task::JoinHandle;
use tokio::time::{Duration, Instant, sleep_until};

use super::backoff::{Attempt, Backoff, Failure};
use super::config::{CloudConfig, ConfigError};
use super::connection::{self, Ending, Inbox};
use super::event::{CloudAction, CloudEvent, Outgoing, Priority, Refused};
use super::trust::Trust;
use super::tunnel::{self, Secured, Stream, Tunnel, TunnelError};

/// The cloud plane.
#[derive(Debug)]
#[non_exhaustive]
pub struct Cloud;

/// Both ends of a running plane.
#[derive(Debug)]
pub struct CloudHandle {
    /// Where actions go; can be cloned.
    pub sender: CloudSender,
    /// Where events come from; `None` once the plane has ended.
    pub events: mpsc::Receiver<CloudEvent>,
    /// The plane's task.
    pub task: JoinHandle<()>,
}

/// Hands actions to the plane. Never blocks.
#[derive(Debug, Clone)]
pub struct CloudSender {
    urgent: mpsc::Sender<Outgoing>,
    telemetry: mpsc::Sender<Outgoing>,
    shutdown: mpsc::Sender<Duration>,
}

impl CloudSender {
    /// Queues an action; an acknowledgement takes effect at once.
    ///
    /// # Errors
    /// [`Refused`] gives the action back when its queue is full or the plane has ended.
    pub fn try_send(&self, action: CloudAction) -> Result<(), Refused> {
        match action {
            CloudAction::Ack(token) => {
                token.ack();
                Ok(())
            }
            CloudAction::Publish(out) => {
                let queue = match out.priority {
                    Priority::Urgent => &self.urgent,
                    Priority::Telemetry => &self.telemetry,
                };
                queue.try_send(out).map_err(|error| match error {
                    TrySendError::Full(out) => Refused::Full(CloudAction::Publish(out)),
                    TrySendError::Closed(out) => Refused::Ended(CloudAction::Publish(out)),
                })
            }
            CloudAction::Shutdown { drain } => match self.shutdown.try_send(drain) {
                // Already asked.
                Ok(()) | Err(TrySendError::Full(_)) => Ok(()),
                Err(TrySendError::Closed(drain)) => {
                    Err(Refused::Ended(CloudAction::Shutdown { drain }))
                }
            },
        }
    }
}

impl Cloud {
    /// Starts the plane on the current tokio runtime.
    ///
    /// # Errors
    /// [`ConfigError`] when the configuration cannot work at all. A broker that is away or files
    /// that are wrong are no errors here but [`CloudEvent::Down`]: they may be mended any time.
    pub fn spawn(config: CloudConfig) -> Result<CloudHandle, ConfigError> {
        config.check()?;
        let (urgent_to, urgent) = mpsc::channel(config.limits.queue);
        let (telemetry_to, telemetry) = mpsc::channel(config.limits.queue);
        let (shutdown_to, shutdown) = mpsc::channel(1);
        let (events_to, events) = mpsc::channel(config.limits.events);
        let plane = Plane {
            config,
            inbox: Inbox {
                urgent,
                telemetry,
                shutdown,
            },
            events: events_to,
            backoff: Backoff::default(),
        };
        let sender = CloudSender {
            urgent: urgent_to,
            telemetry: telemetry_to,
            shutdown: shutdown_to,
        };
        Ok(CloudHandle {
            sender,
            events,
            task: tokio::spawn(plane.run()),
        })
    }
}

struct Plane {
    config: CloudConfig,
    inbox: Inbox,
    events: mpsc::Sender<CloudEvent>,
    backoff: Backoff,
}

/// A failed attempt or a lost connection.
struct Down {
    reason: String,
    advice: Option<&'static str>,
    permanent: bool,
    failure: Failure,
    /// There was a connection, and it had worked end to end.
    proved: bool,
}

impl From<TunnelError> for Down {
    fn from(error: TunnelError) -> Self {
        let about_us = matches!(&error, TunnelError::Refused(refusal) if refusal.is_about_us());
        Self {
            reason: super::chain(&error),
            advice: error.advice(),
            permanent: !error.is_temporary(),
            failure: if about_us {
                Failure::Refused
            } else {
                Failure::Ordinary
            },
            proved: false,
        }
    }
}

impl Plane {
    async fn run(mut self) {
        loop {
            let began = Instant::now();
            let Some(down) = self.one_connection().await else {
                break;
            };
            log::debug!(
                event = "cloud_down", permanent = down.permanent;
                "no cloud connection: {}", down.reason
            );
            let attempt = Attempt {
                failure: down.failure,
                lasted: began.elapsed(),
                proved: down.proved,
            };
            let event = CloudEvent::Down {
                reason: down.reason,
                advice: down.advice,
                permanent_hint: down.permanent,
            };
            if self.events.send(event).await.is_err() {
                break;
            }
            // Without randomness we wait the full time: slower, never a stampede.
            let random = getrandom::u32().unwrap_or(u32::MAX);
            let wait = self.backoff.wait_after(attempt, random);
            if !self.refuse_until(Instant::now() + wait).await {
                break;
            }
        }
        self.refuse_the_rest().await;
    }

    /// `None`: we were asked to end.
    async fn one_connection(&mut self) -> Option<Down> {
        let config = self.config.clone();
        let dialled = {
            let dial = dial(&config);
            tokio::pin!(dial);
            loop {
                tokio::select! {
                    biased;
                    dialled = &mut dial => break dialled,
                    alive = refuse_one(&mut self.inbox, &self.events) => if !alive { return None },
                }
            }
        };
        let (stream, secured) = match dialled {
            Ok(ready) => ready,
            Err(error) => return Some(error.into()),
        };
        let tunnel = match Tunnel::open(stream, &config.runtime_dir, &config.timing) {
            Ok(tunnel) => tunnel,
            Err(error) => return Some(error.into()),
        };
        match connection::run(&config, tunnel, &secured, &mut self.inbox, &self.events).await {
            Ending::Shutdown => None,
            Ending::Lost { end, proved } => Some(Down {
                reason: end.reason,
                advice: end.advice,
                permanent: end.permanent,
                failure: end.failure,
                proved,
            }),
        }
    }

    /// Answers publishes with "not connected" until `by`; `false` when we were asked to end.
    async fn refuse_until(&mut self, by: Instant) -> bool {
        loop {
            tokio::select! {
                biased;
                () = sleep_until(by) => return true,
                alive = refuse_one(&mut self.inbox, &self.events) => if !alive { return false },
            }
        }
    }

    async fn refuse_the_rest(&mut self) {
        self.inbox.shutdown.close();
        for queue in [&mut self.inbox.urgent, &mut self.inbox.telemetry] {
            queue.close();
            while let Some(out) = queue.recv().await {
                refuse(out, &self.events).await;
            }
        }
    }
}

/// Reads the files anew and connects; files are read off the runtime's thread.
async fn dial(config: &CloudConfig) -> Result<(Stream, Secured), TunnelError> {
    let (paths, name) = (config.trust.clone(), config.endpoint.name().to_owned());
    let loaded = tokio::task::spawn_blocking(move || Trust::load(&paths, &name, SystemTime::now()));
    let trust = loaded
        .await
        .map_err(|e| TunnelError::Broken(std::io::Error::other(e)))??;
    tunnel::dial(&config.endpoint, &trust, &config.timing).await
}

/// Refuses one publish; `false` when we were asked to end.
async fn refuse_one(inbox: &mut Inbox, events: &mpsc::Sender<CloudEvent>) -> bool {
    let out = tokio::select! {
        biased;
        _ = inbox.shutdown.recv() => return false,
        out = inbox.urgent.recv() => out,
        Some(out) = inbox.telemetry.recv() => Some(out),
    };
    match out {
        Some(out) => {
            refuse(out, events).await;
            true
        }
        None => false,
    }
}

async fn refuse(out: Outgoing, events: &mpsc::Sender<CloudEvent>) {
    let event = CloudEvent::PublishFailed {
        ticket: out.ticket,
        reason: "publishing: not connected to the broker".to_owned(),
        is_temporary: true,
        may_have_succeeded: false,
    };
    // Nobody listens any more: the daemon is ending.
    let _ = events.send(event).await;
}
