//! The bolt: intent, motor, outcome. The only place from which the motor is started.

use drawbridge_protocol::ids::{CommandId, Digest32};
use drawbridge_protocol::keys::IdentityKey;
use drawbridge_protocol::log_record::LogEvent;
use drawbridge_protocol::reason::Reason;
use drawbridge_protocol::report::{Cause, Door, Position};

use crate::flash::Flash;
use crate::history::{Entry, Room};
use crate::intents::Ending;
use crate::lock::Lock;
use crate::log_ring::LogError;
use crate::output::Reply;
use crate::peers::Place;
use crate::sensors::{MOTOR_BATTERY_FLOOR, Motor};

/// A command on its way to the motor.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ordered<'b> {
    pub(crate) command: CommandId,
    pub(crate) digest: Digest32,
    pub(crate) holder: IdentityKey,
    pub(crate) grant: Option<Digest32>,
    pub(crate) statement: &'b [u8],
    pub(crate) from: Place,
}

/// Who asked about the command under way: everybody who carries it learns its outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Recipients(u8);

impl Recipients {
    pub(crate) const fn add(&mut self, place: Place) {
        // Places are fewer than bits.
        self.0 |= 1 << (place.0 & 7);
    }

    fn places(self) -> impl Iterator<Item = Place> {
        (0..8)
            .filter(move |bit| self.0 & (1 << bit) != 0)
            .map(Place)
    }
}

/// The command that the motor is at work for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Underway {
    pub(crate) command: CommandId,
    pub(crate) digest: Digest32,
    pub(crate) holder: IdentityKey,
    pub(crate) to: Recipients,
}

/// Failed tries of the lock itself, one after the other, after which it waits for somebody.
const RELOCK_TRIES: u8 = 3;

/// What the motor is to be told next. **Only [`Lock::drive`] can have it started.**
#[derive(Debug, Default)]
pub(crate) struct MotorOrder(Option<Motor>);

impl MotorOrder {
    /// Private to this file.
    const fn start(&mut self, order: Motor) {
        self.0 = Some(order);
    }

    pub(crate) const fn stop(&mut self) {
        self.0 = Some(Motor::Stop);
    }

    pub(crate) const fn take(&mut self) -> Option<Motor> {
        self.0.take()
    }
}

/// The motor at work.
#[derive(Debug)]
pub(crate) struct Actuation {
    pub(crate) target: Position,
    pub(crate) cause: Cause,
    pub(crate) deadline_ms: u64,
    /// The bolt was stuck when the motor started: only a sensor can tell that it still is.
    was_jammed: bool,
    /// The log had room for the intent.
    is_logged: bool,
    /// Nothing for a local cause.
    pub(crate) ordered: Option<Underway>,
}

impl<F: Flash> Lock<F> {
    /// Writes the intent, reads it back, starts the motor: in this order and nowhere else.
    ///
    /// **If this returns an error the motor was not started.**
    pub(crate) fn drive(
        &mut self,
        target: Position,
        ordered: Option<Ordered<'_>>,
        room: Room,
        now_ms: u64,
    ) -> Result<(), Reason> {
        let order = match target {
            Position::Locked => Motor::Throw,
            Position::Unlocked => Motor::Draw,
            _ => return Err(Reason::Unsupported),
        };
        if self.halted || self.actuation.is_some() {
            return Err(Reason::Busy);
        }
        if self.sensors.battery < MOTOR_BATTERY_FLOOR {
            return Err(Reason::BatteryLow);
        }
        let cause = if ordered.is_some() {
            Cause::Command
        } else {
            Cause::AutoRelock
        };
        let mut intent = Entry::new(LogEvent::Intent, cause);
        intent.position = Some(target);
        intent.actor = ordered.map(|ordered| ordered.holder);
        intent.grant = ordered.and_then(|ordered| ordered.grant);
        intent.command = ordered.map(|ordered| ordered.command);
        intent.evidence = ordered.map(|ordered| ordered.statement);
        // `write` returns once the record was read back from flash.
        let seq = match self.memory.history.write(&intent, room, now_ms) {
            Ok(Some(seq)) => Some(seq),
            // A full log must not keep the door unlocked: the turn is counted instead, just as
            // durably.
            Ok(None) if room == Room::Local => {
                self.left_out = self.left_out.saturating_add(1);
                if self.memory.save_left_out(self.left_out).is_err() {
                    self.halt();
                    return Err(Reason::Storage);
                }
                None
            }
            Ok(None) | Err(LogError::Full) => return Err(Reason::LogFull),
            Err(_) => {
                self.halt();
                return Err(Reason::Storage);
            }
        };
        if let (Some(ordered), Some(seq)) = (ordered, seq) {
            self.relock_failures = 0;
            self.memory
                .intents
                .begin(ordered.command, ordered.digest, seq);
        }
        self.actuation = Some(Actuation {
            target,
            cause,
            deadline_ms: now_ms + u64::from(self.settings.motor_timeout_ms),
            was_jammed: self.sensors.position == Position::Jammed,
            is_logged: seq.is_some(),
            ordered: ordered.map(|ordered| {
                let mut to = Recipients::default();
                to.add(ordered.from);
                Underway {
                    command: ordered.command,
                    digest: ordered.digest,
                    holder: ordered.holder,
                    to,
                }
            }),
        });
        self.relock_at_ms = None;
        self.coasting_until_ms = None;
        self.motor.start(order);
        Ok(())
    }

    /// Looks whether the motor arrived, jammed or ran out of time, and writes the outcome. `sensed`:
    /// the sensors have just spoken, and not only the clock.
    pub(crate) fn watch_motor(&mut self, sensed: bool, now_ms: u64) {
        let Some(act) = &self.actuation else { return };
        let stuck = self.sensors.position == Position::Jammed && (sensed || !act.was_jammed);
        let reason = if self.sensors.position == act.target {
            Reason::None
        } else if stuck || now_ms >= act.deadline_ms {
            Reason::Jammed
        } else {
            return;
        };
        let Some(act) = self.actuation.take() else {
            return;
        };
        self.motor.stop();
        // What the motor set in motion comes to rest by itself, and no hand did it.
        self.coasting_until_ms = (reason != Reason::None)
            .then(|| now_ms.saturating_add(self.settings.motor_timeout_ms.into()));
        if act.cause == Cause::AutoRelock {
            self.relock_failures = match reason {
                Reason::None => 0,
                _ => self.relock_failures.saturating_add(1),
            };
        }
        let room = match act.ordered {
            Some(_) => Room::Owner,
            None => Room::LocalOutcome,
        };
        let mut outcome = Entry::new(LogEvent::Outcome, act.cause);
        outcome.command = act.ordered.map(|ordered| ordered.command);
        outcome.position = Some(self.sensors.position);
        outcome.reason = (reason != Reason::None).then_some(reason);
        if act.is_logged {
            self.note(&outcome, room, now_ms);
        }
        if self.halted {
            return;
        }
        if let Some(ordered) = act.ordered {
            let Underway {
                command,
                digest,
                holder,
                to,
            } = ordered;
            let ending = Ending::of_motor(reason);
            self.memory.intents.end(&command, ending);
            let intents = &self.memory.intents;
            self.decided
                .remember(&holder, command, digest, ending, now_ms, intents);
            for place in to.places() {
                self.reply(
                    place,
                    Reply::Outcome {
                        command,
                        ending,
                        duplicate: false,
                        holder,
                    },
                );
            }
        }
        self.plan_relock(now_ms);
        self.announce(act.cause, act.ordered.map(|ordered| ordered.command));
    }

    /// Decides when the bolt is to be thrown by itself: some time after it was drawn, and not
    /// while the door is open. A bolt that does not go is not tried for ever.
    pub(crate) fn plan_relock(&mut self, now_ms: u64) {
        let due = self.sensors.position == Position::Unlocked && self.sensors.door != Door::Open;
        self.relock_at_ms = self
            .settings
            .auto_relock_ms
            .filter(|_| due && self.relock_failures < RELOCK_TRIES)
            .map(|after| now_ms + u64::from(after));
    }

    pub(crate) fn relock_if_due(&mut self, now_ms: u64) {
        if self.actuation.is_some() || self.relock_at_ms.is_none_or(|due| now_ms < due) {
            return;
        }
        self.relock_at_ms = None;
        // A bolt that cannot be thrown now is seen in the next report; there is nobody to tell.
        let _ = self.drive(Position::Locked, None, Room::Local, now_ms);
    }
}
