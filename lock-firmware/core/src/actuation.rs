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

/// The motor at work.
#[derive(Debug)]
pub(crate) struct Actuation {
    pub(crate) target: Position,
    pub(crate) cause: Cause,
    pub(crate) deadline_ms: u64,
    /// Command, its digest, its holder, and to whom the outcome goes.
    pub(crate) ordered: Option<(CommandId, Digest32, IdentityKey, Place)>,
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
            Ok(Some(seq)) => seq,
            Ok(None) | Err(LogError::Full) => return Err(Reason::LogFull),
            Err(_) => {
                self.halt();
                return Err(Reason::Storage);
            }
        };
        if let Some(ordered) = ordered {
            self.memory
                .intents
                .begin(ordered.command, ordered.digest, seq);
        }
        self.actuation = Some(Actuation {
            target,
            cause,
            deadline_ms: now_ms + u64::from(self.settings.motor_timeout_ms),
            ordered: ordered.map(|o| (o.command, o.digest, o.holder, o.from)),
        });
        self.relock_at_ms = None;
        self.motor = Some(order);
        Ok(())
    }

    /// Looks whether the motor arrived, jammed or ran out of time, and writes the outcome.
    pub(crate) fn watch_motor(&mut self, now_ms: u64) {
        let Some(act) = &self.actuation else { return };
        let reason = if self.sensors.position == act.target {
            Reason::None
        } else if self.sensors.position == Position::Jammed || now_ms >= act.deadline_ms {
            Reason::Jammed
        } else {
            return;
        };
        let Some(act) = self.actuation.take() else {
            return;
        };
        self.motor = Some(Motor::Stop);
        let mut outcome = Entry::new(LogEvent::Outcome, act.cause);
        outcome.command = act.ordered.map(|(command, ..)| command);
        outcome.position = Some(self.sensors.position);
        outcome.reason = (reason != Reason::None).then_some(reason);
        self.note(&outcome, Room::Owner, now_ms);
        if self.halted {
            return;
        }
        if let Some((command, digest, holder, to)) = act.ordered {
            let ending = Ending::of_motor(reason);
            self.memory.intents.end(&command, ending);
            let intents = &self.memory.intents;
            self.decided
                .remember(&holder, command, digest, ending, now_ms, intents);
            self.reply(
                to,
                Reply::Outcome {
                    command,
                    ending,
                    duplicate: false,
                    holder,
                },
            );
        }
        self.plan_relock(now_ms);
        self.announce(act.cause, act.ordered.map(|(command, ..)| command));
    }

    /// Decides when the bolt is to be thrown by itself: some time after it was drawn, and not
    /// while the door is open.
    pub(crate) fn plan_relock(&mut self, now_ms: u64) {
        let due = self.sensors.position == Position::Unlocked && self.sensors.door != Door::Open;
        self.relock_at_ms = self
            .settings
            .auto_relock_ms
            .filter(|_| due && self.is_at_rest())
            .map(|after| now_ms + u64::from(after));
    }

    pub(crate) fn relock_if_due(&mut self, now_ms: u64) {
        if self.actuation.is_some() || self.relock_at_ms.is_none_or(|due| now_ms < due) {
            return;
        }
        self.relock_at_ms = None;
        // A bolt that cannot be thrown now is seen in the next report; there is nobody to tell.
        let _ = self.drive(Position::Locked, None, Room::Owner, now_ms);
    }
}
