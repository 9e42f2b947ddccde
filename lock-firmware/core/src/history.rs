//! The lock's history: the chain of records on the log ring, and what may be written when it fills.

use drawbridge_protocol::ids::{CommandId, Digest32};
use drawbridge_protocol::keys::IdentityKey;
use drawbridge_protocol::log_record::{LogEvent, LogRecord, MAX_LOG_RECORD};
use drawbridge_protocol::reason::Reason;
use drawbridge_protocol::report::{Cause, Position};

use crate::flash::Flash;
use crate::intents::{Ending, Intents};
use crate::log_ring::{LogError, LogRing};

/// From this share on, in percent, a guest's command is refused: what is left is for the owner, for
/// local causes, and for the outcome of what has begun.
const GUEST_LIMIT: u8 = 90;

/// Who a record is for, which decides what happens when the log is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Room {
    /// Written while there is room for guests; refused after.
    Guest,
    /// Written always: the oldest records are given up for it, and the log says so.
    Owner,
    /// What the lock does by itself: written while there is room for the longest record, so that
    /// the outcome finds room behind its intent; left out after.
    Local,
    /// The outcome of that: written wherever it fits.
    LocalOutcome,
    /// Written while there is room for guests; left out after.
    Optional,
}

/// What a new record says; number, chain and boot are added here.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry<'b> {
    pub(crate) event: LogEvent,
    pub(crate) cause: Cause,
    pub(crate) actor: Option<IdentityKey>,
    pub(crate) grant: Option<Digest32>,
    pub(crate) command: Option<CommandId>,
    pub(crate) reason: Option<Reason>,
    pub(crate) position: Option<Position>,
    pub(crate) count: Option<u64>,
    pub(crate) evidence: Option<&'b [u8]>,
}

impl Entry<'_> {
    pub(crate) const fn new(event: LogEvent, cause: Cause) -> Self {
        Self {
            event,
            cause,
            actor: None,
            grant: None,
            command: None,
            reason: None,
            position: None,
            count: None,
            evidence: None,
        }
    }
}

/// The chain. **A record is durable and read back when [`Self::write`] returns, and the next one
/// names its hash.**
#[derive(Debug)]
pub(crate) struct History<F> {
    ring: LogRing<F>,
    boot: u32,
    head: Digest32,
}

impl<F: Flash> History<F> {
    /// Takes over a mounted ring, and rebuilds the index of intents from it.
    pub(crate) fn open(ring: LogRing<F>, boot: u32) -> Result<(Self, Intents), LogError> {
        let mut history = Self {
            ring,
            boot,
            head: Digest32::ZERO,
        };
        let mut buffer = [0; MAX_LOG_RECORD];
        let oldest = history
            .ring
            .oldest()
            .unwrap_or_else(|| history.ring.next_seq());
        let mut intents = Intents::new(oldest);
        for seq in oldest..history.ring.next_seq() {
            let len = match history.ring.read(seq, &mut buffer) {
                Ok(Some(len)) => len,
                // A hole, which the chain shows to whoever pulls. It may have held an intent.
                Ok(None) | Err(LogError::DamagedRecord(_)) => {
                    intents.lose(seq);
                    continue;
                }
                Err(error) => return Err(error),
            };
            let bytes = buffer.get(..len).unwrap_or(&[]);
            history.head = Digest32::of(bytes);
            let Ok(record) = LogRecord::decode(bytes) else {
                intents.lose(seq);
                continue;
            };
            match (record.event, record.command, record.evidence) {
                (LogEvent::Intent, Some(command), Some(evidence)) => {
                    intents.begin(command, Digest32::of(evidence), seq);
                }
                (LogEvent::Outcome, Some(command), _) => {
                    intents.end(
                        &command,
                        Ending::of_motor(record.reason.unwrap_or(Reason::None)),
                    );
                }
                (LogEvent::Intent, ..) => intents.local_open = true,
                (LogEvent::Outcome, ..) => intents.local_open = false,
                _ => {}
            }
        }
        Ok((history, intents))
    }

    /// Number of the newest record; 0 before the first.
    pub(crate) fn newest(&self) -> u64 {
        self.ring.newest().unwrap_or(0)
    }

    /// Number of the oldest record that can be read; one above the newest where there is none.
    pub(crate) fn oldest(&self) -> u64 {
        self.ring.oldest().unwrap_or_else(|| self.ring.next_seq())
    }

    /// Hash of the newest record.
    pub(crate) const fn head(&self) -> Digest32 {
        self.head
    }

    /// Share in use, percent.
    pub(crate) fn used(&self) -> u8 {
        self.ring.usage()
    }

    /// Places that no power cut explains, found when the ring was mounted.
    pub(crate) const fn damage(&self) -> u32 {
        self.ring.damage()
    }

    /// Whether a guest's command must be refused for lack of room.
    pub(crate) fn is_closed_to_guests(&self) -> bool {
        self.ring.usage() >= GUEST_LIMIT || self.ring.is_full()
    }

    /// Writes a record and returns its number; `None` when it was left out.
    pub(crate) fn write(
        &mut self,
        entry: &Entry<'_>,
        room: Room,
        now_ms: u64,
    ) -> Result<Option<u64>, LogError> {
        match room {
            Room::Optional if self.is_closed_to_guests() => return Ok(None),
            Room::Guest if self.is_closed_to_guests() => return Err(LogError::Full),
            Room::Local if self.ring.is_full() => return Ok(None),
            Room::LocalOutcome => {
                return match self.append(entry, now_ms) {
                    Err(LogError::Full) => Ok(None),
                    written => written.map(Some),
                };
            }
            _ => {}
        }
        if room == Room::Owner && self.ring.is_full() {
            let lost = self.ring.overwrite_oldest()?;
            let mut note = Entry::new(LogEvent::Overwritten, entry.cause);
            note.count = Some(lost);
            self.append(&note, now_ms)?;
        }
        self.append(entry, now_ms).map(Some)
    }

    /// The outcome of what has begun always finds room, because [`Self::write`] left some.
    fn append(&mut self, entry: &Entry<'_>, now_ms: u64) -> Result<u64, LogError> {
        let record = LogRecord {
            seq: self.ring.next_seq(),
            previous: self.head,
            boot: self.boot,
            time_ms: now_ms,
            event: entry.event,
            cause: entry.cause,
            actor: entry.actor,
            grant: entry.grant,
            command: entry.command,
            reason: entry.reason,
            position: entry.position,
            count: entry.count,
            evidence: entry.evidence,
        };
        let mut buffer = [0; MAX_LOG_RECORD];
        let bytes = record.encode(&mut buffer).map_err(|_| LogError::TooLong)?;
        let seq = self.ring.append(bytes)?;
        self.head = Digest32::of(bytes);
        Ok(seq)
    }

    /// Copies the record `seq` to the start of `out`.
    pub(crate) fn read(&self, seq: u64, out: &mut [u8]) -> Result<Option<usize>, LogError> {
        self.ring.read(seq, out)
    }

    /// Frees records up to `seq`, if the record of that number has the hash `head`, and returns how
    /// many went. The page with the newest record stays, so that the chain has something to hang on.
    pub(crate) fn free(&mut self, seq: u64, head: &Digest32) -> Result<u64, Reason> {
        let mut buffer = [0; MAX_LOG_RECORD];
        let len = match self.ring.read(seq, &mut buffer) {
            Err(LogError::DamagedRecord(_)) => None,
            read => read.map_err(|_| Reason::Storage)?,
        };
        let bytes = len
            .and_then(|len| buffer.get(..len))
            .ok_or(Reason::WrongHead)?;
        if Digest32::of(bytes) != *head {
            return Err(Reason::WrongHead);
        }
        self.ring.free_to(seq).map_err(|_| Reason::Storage)
    }
}

/// The ending that an intent without an outcome gets at boot: the motor is never driven again.
pub(crate) const INTERRUPTED: Ending = Ending::of_motor(Reason::Interrupted);
