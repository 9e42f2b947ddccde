//! Where an acknowledgement can get lost, and how many are still to be lost there.

/// A hop on which somebody waits to be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hop {
    /// The broker's PUBACK to the sender, who publishes the same bytes again.
    SenderPuback,
    /// The hub's PUBACK to the broker, dead with its connection; the broker delivers again.
    HubAck,
    /// The store's answer: a temporary failure, with the batch on disk or not.
    StoreAnswer,
    /// The store's answer, five seconds late.
    StoreLate,
    /// The lock's outcome, dead with its link.
    LockOutcome,
    /// The broker's PUBACK of the final result; the hub publishes again.
    ResultPuback,
    /// The hub dies with the command not yet on disk.
    CrashUnstored,
    /// The hub dies with a batch on disk, before it hears so: first the command's, then those that
    /// follow from it.
    CrashStored,
    /// The hub dies where it would acknowledge the command.
    CrashAcking,
    /// The hub dies as the lock's outcome comes.
    CrashOutcome,
    /// The hub dies with the final result not yet on disk.
    CrashFinal,
    /// The hub dies as the broker confirms the final result.
    CrashPublished,
}

impl Hop {
    pub(crate) const ALL: [Self; 12] = [
        Self::SenderPuback,
        Self::HubAck,
        Self::StoreAnswer,
        Self::StoreLate,
        Self::LockOutcome,
        Self::ResultPuback,
        Self::CrashUnstored,
        Self::CrashStored,
        Self::CrashAcking,
        Self::CrashOutcome,
        Self::CrashFinal,
        Self::CrashPublished,
    ];
}

/// What is still to be lost.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Faults {
    armed: Option<Hop>,
    left: u32,
}

impl Faults {
    pub(crate) const fn at(hop: Hop, times: u32) -> Self {
        Self {
            armed: Some(hop),
            left: times,
        }
    }

    /// Whether the acknowledgement that is due at `hop` now is lost.
    pub(crate) fn strike(&mut self, hop: Hop) -> bool {
        let strikes = self.left > 0 && self.armed == Some(hop);
        self.left -= u32::from(strikes);
        strikes
    }

    /// How many are still to be lost: a test that is over with some left has not tested them.
    pub(crate) const fn left(&self) -> u32 {
        self.left
    }
}
