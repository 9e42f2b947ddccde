//! The task that drives the core.

use std::collections::VecDeque;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};

use crate::cloud::CloudEvent as PlaneEvent;
use crate::control::{ControlRequest, Fault};
use crate::core::{Entry, Hub, HubAction, HubEvent, Level, RadioAction, RadioEvent};
use crate::journal::unix_ns;
use crate::readiness::Heart;
use crate::store::Store;

use super::cloud::{Broker, Standing};
use super::control::{Desk, check};
use super::storage::Batch;
use super::wall::Clocks;

/// This often, however much or little happens, the task shows life and looks for clients that hung
/// up. An idle hub wakes up less than once a second (P09).
const TURN: Duration = Duration::from_secs(15);

/// How long a stop waits for what is in flight: a motor's longest travel (6 s) and a way back.
/// With [`LAST_WORDS`] it stays below 10 s.
const DRAIN: Duration = Duration::from_secs(7);

/// How long the broker then has to take what waits.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// An adapter ended although nobody told it to: what it was for no longer works.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("go on: an adapter ended by itself")]
pub struct AdapterEnded;

/// Everything the task listens to.
pub(super) struct Inputs {
    pub(super) radio: mpsc::Receiver<RadioEvent>,
    /// `None` without a broker.
    pub(super) cloud: Option<mpsc::Receiver<PlaneEvent>>,
    pub(super) stored: mpsc::Receiver<HubEvent>,
    pub(super) control: mpsc::Receiver<ControlRequest>,
    pub(super) stop: watch::Receiver<bool>,
}

/// Everything the task acts on.
pub(super) struct Driver {
    pub(super) hub: Hub,
    pub(super) clocks: Clocks,
    pub(super) broker: Broker,
    pub(super) desk: Desk,
    pub(super) radio: mpsc::Sender<RadioAction>,
    /// What a full radio queue did not take and nothing repeats: links to let go of, the scan.
    pub(super) owed: VecDeque<RadioAction>,
    pub(super) batches: mpsc::Sender<Batch>,
    pub(super) store: Store,
    pub(super) heart: Heart,
    pub(super) entropy: Kernel,
}

/// The kernel's random bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kernel;

impl drawbridge_protocol::entropy::Entropy for Kernel {
    fn fill(&mut self, into: &mut [u8]) {
        if let Err(error) = getrandom::fill(into) {
            // Keys and nonces hang on these bytes: no bytes, no daemon.
            log::error!(event = "no_entropy", error = error.to_string().as_str(); "the kernel gives no random bytes");
            std::process::abort();
        }
    }
}

impl Driver {
    /// Runs until told to stop and everything in flight is told its end, or [`DRAIN`] has passed.
    ///
    /// # Errors
    /// [`AdapterEnded`]: the process is of no more use and is to be started anew. What was accepted
    /// is on disk.
    pub(super) async fn run(mut self, mut inputs: Inputs) -> Result<(), AdapterEnded> {
        let mut stopping: Option<tokio::time::Instant> = None;
        let mut ended = Ok(());
        let mut turn_at = tokio::time::Instant::now() + TURN;
        self.act();
        loop {
            // By the clock, not when nothing else happens: a busy hub is alive, too.
            if tokio::time::Instant::now() >= turn_at {
                self.turn();
                turn_at = tokio::time::Instant::now() + TURN;
            }
            if let Some(deadline) = stopping
                && (self.hub.is_idle() || tokio::time::Instant::now() >= deadline)
            {
                break;
            }
            let wake = self.next_wake(turn_at, stopping);
            let event = tokio::select! {
                stored = inputs.stored.recv() => stored,
                radio = inputs.radio.recv() => radio.map(HubEvent::Radio),
                cloud = next(&mut inputs.cloud) => match cloud {
                    Some(event) => match self.broker.hear(event) {
                        Some(event) => Some(event),
                        None => continue,
                    },
                    None => None,
                },
                request = inputs.control.recv(), if stopping.is_none() => match request {
                    Some(request) => match self.take_request(request) {
                        Some(event) => Some(event),
                        None => continue,
                    },
                    None => None,
                },
                () = tokio::time::sleep_until(wake) => Some(HubEvent::Tick),
                stop = inputs.stop.changed(), if stopping.is_none() => {
                    if stop.is_err() || *inputs.stop.borrow() {
                        log::info!(event = "stopping"; "finishing what is in flight");
                        self.broker.drain();
                        stopping = Some(tokio::time::Instant::now() + DRAIN);
                    }
                    continue;
                }
            };
            let Some(event) = event else {
                log::error!(event = "adapter_ended"; "an adapter ended by itself; the daemon stops to be started anew");
                ended = Err(AdapterEnded);
                break;
            };
            self.handle(event);
        }
        self.broker.shut_down(LAST_WORDS);
        self.heart.rest();
        // The plane's last events tell which publications were taken; what they leave is in the
        // outbox and goes out after the next start.
        let last = tokio::time::timeout(LAST_WORDS, async {
            let Some(mut cloud) = inputs.cloud else {
                return;
            };
            while let Some(event) = cloud.recv().await {
                if let Some(event) = self.broker.hear(event) {
                    self.handle(event);
                }
            }
        });
        if last.await.is_err() {
            log::warn!(event = "broker_not_drained"; "what the broker did not take goes out after the next start");
        }
        drop(self.batches);
        while inputs.stored.recv().await.is_some() {}
        self.store.close().await;
        ended
    }

    fn handle(&mut self, event: HubEvent) {
        // The steps of a command's way, for whoever measures it (P01); nothing is read below TRACE.
        match &event {
            HubEvent::Cloud(crate::core::CloudEvent::Message { .. }) => {
                log::trace!(event = "message_heard", at_ns = unix_ns(); "a message for the core");
            }
            HubEvent::Stored { .. } => {
                log::trace!(event = "batch_stored", at_ns = unix_ns(); "a batch is on the disk");
            }
            _ => {}
        }
        let now = self.clocks.now();
        self.hub.handle(event, now, &mut self.entropy);
        self.act();
    }

    /// Carries out what the core asks for. An adapter that cannot take it answers at once.
    fn act(&mut self) {
        while let Some(owed) = self.owed.pop_front() {
            if let Err(refused) = self.radio.try_send(owed) {
                self.owed.push_front(refused.into_inner());
                break;
            }
        }
        let mut answers = Vec::new();
        loop {
            while let Some(action) = self.hub.poll_action() {
                answers.extend(self.carry_out(action));
            }
            if answers.is_empty() {
                return;
            }
            for answer in answers.drain(..) {
                let now = self.clocks.now();
                self.hub.handle(answer, now, &mut self.entropy);
            }
        }
    }

    fn carry_out(&mut self, action: HubAction) -> Option<HubEvent> {
        match action {
            HubAction::Radio(action) => self.send_radio(action),
            HubAction::Cloud(action) => self.broker.act(action),
            HubAction::Store { batch, ops } => {
                let sent = self.batches.try_send(Batch { number: batch, ops });
                sent.err().map(|_| HubEvent::Stored {
                    batch,
                    result: Err(crate::core::StoreFault {
                        reason: "hand a batch to the store: its queue is full or it has ended"
                            .into(),
                        may_have_succeeded: false,
                        is_temporary: true,
                    }),
                })
            }
            HubAction::Control(action) => self.desk.act(action),
            HubAction::Journal(entry) => {
                journal(&entry);
                None
            }
        }
    }

    /// A radio whose queue is full has a link that does not move: it is given up. The core forgets
    /// it at once; the radio is told once it listens again, or the lock would stay busy with a link
    /// that nobody uses.
    fn send_radio(&mut self, action: RadioAction) -> Option<HubEvent> {
        if matches!(action, RadioAction::Send { .. }) {
            log::trace!(event = "packet_sealed", at_ns = unix_ns(); "a packet for the radio");
        }
        let refused = self.radio.try_send(action).err()?.into_inner();
        let reason = crate::core::LinkFault::NoAdapter;
        Some(HubEvent::Radio(match refused {
            RadioAction::Connect { link, .. } => RadioEvent::ConnectFailed { link, reason },
            RadioAction::Send { link, .. } | RadioAction::Disconnect { link } => {
                self.owed.push_back(RadioAction::Disconnect { link });
                RadioEvent::LinkDown { link, reason }
            }
            forget @ RadioAction::Forget { .. } => {
                self.owed.push_back(forget);
                return None;
            }
            scan @ RadioAction::Scan { .. } => {
                // Only the newest wish counts.
                self.owed
                    .retain(|owed| !matches!(owed, RadioAction::Scan { .. }));
                self.owed.push_back(scan);
                return None;
            }
        }))
    }

    fn next_wake(
        &self,
        turn: tokio::time::Instant,
        stopping: Option<tokio::time::Instant>,
    ) -> tokio::time::Instant {
        let core = self
            .hub
            .next_deadline()
            .map(|at| self.clocks.instant(at).into());
        [core, stopping]
            .into_iter()
            .flatten()
            .fold(turn, std::cmp::Ord::min)
    }

    /// What is due from time to time.
    fn turn(&mut self) {
        self.heart.beat(std::time::Instant::now());
        for gone in self.desk.gone() {
            let now = self.clocks.now();
            self.hub.handle(gone, now, &mut self.entropy);
        }
        if let Some(floor) = self.clocks.poll_persist() {
            let store = self.store.clone();
            // The next turn hands it out again unless it was written; a failure is in `health`.
            self.clocks.persisted(floor);
            tokio::spawn(async move {
                if let Err(error) = store.raise_time_floor(floor).await {
                    let reason = super::storage::chain(&error);
                    log::warn!(event = "clock_floor_not_written", reason = reason.as_str(); "the time floor of the last write stays");
                }
            });
        }
    }

    /// `doctor` and stored log records are the adapters' to answer; all else is the core's.
    fn take_request(&mut self, request: ControlRequest) -> Option<HubEvent> {
        match request.verb.as_str() {
            "doctor" => {
                let facts = self.doctor();
                request.reply.done(facts);
                None
            }
            "lock.audit" => {
                self.read_audit(request);
                None
            }
            _ => Some(self.desk.take(request)),
        }
    }

    fn doctor(&mut self) -> Value {
        let health = self.store.health();
        let store = match &health.failing {
            None => check(
                "store",
                "ok",
                format!("{} commits since start", health.commits),
                "",
            ),
            Some(reason) => check(
                "store",
                "fail",
                reason.clone(),
                "free space on the disk and see `journalctl -u drawbridge`",
            ),
        };
        let _ = self.clocks.now();
        let clock = if self.clocks.is_behind() {
            check(
                "clock",
                "warn",
                "the wall clock is behind what is known",
                "set the clock, for example with `timedatectl set-ntp true`",
            )
        } else {
            check("clock", "ok", "plausible", "")
        };
        let broker = match &self.broker.standing {
            Standing::Up(group) => check("broker session", "ok", format!("connected, {group}"), ""),
            Standing::Down(reason) => check(
                "broker session",
                "fail",
                reason.clone(),
                "see the broker steps of this list; local control works without it",
            ),
        };
        let mut facts = self.hub.doctor();
        facts["checks"] = json!([store, clock, broker]);
        facts
    }

    /// Answers from the store, on a task of its own: a long log must not hold up the core.
    fn read_audit(&self, request: ControlRequest) {
        let lock = request
            .data
            .get("lock")
            .and_then(Value::as_str)
            .and_then(|id| id.parse().ok());
        let from = request
            .data
            .get("from")
            .and_then(Value::as_u64)
            .unwrap_or(1);
        let Some(lock) = lock else {
            request.reply.refuse(
                Fault::new(
                    "bad_request",
                    "read the lock id: 16 hexadecimal digits are due",
                )
                .advise("list the locks with `drawbridge lock list`"),
            );
            return;
        };
        let store = self.store.clone();
        tokio::spawn(async move { super::restore::audit(&store, lock, from, request.reply).await });
    }
}

/// The broker's next event; without a broker there never is one.
async fn next(cloud: &mut Option<mpsc::Receiver<PlaneEvent>>) -> Option<PlaneEvent> {
    match cloud {
        Some(events) => events.recv().await,
        None => std::future::pending().await,
    }
}

fn journal(entry: &Entry) {
    let level = match entry.level {
        Level::Error => log::Level::Error,
        Level::Warn => log::Level::Warn,
        Level::Info => log::Level::Info,
        Level::Debug => log::Level::Debug,
    };
    let fields: Vec<(&str, &str)> = std::iter::once(("event", entry.event))
        .chain(
            entry
                .fields
                .iter()
                .map(|(name, value)| (*name, value.as_str())),
        )
        .collect();
    log::logger().log(
        &log::Record::builder()
            .level(level)
            .target("drawbridge_daemon::core")
            .key_values(&fields.as_slice())
            .args(format_args!("{}", entry.event))
            .build(),
    );
}
