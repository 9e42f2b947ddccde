//! Why a command did not do what it asked, and what that says about trying again.

use crate::codec::cbor_number;

/// Why a lock refused, failed or could not tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// No reason: it worked.
    None,
    /// Not a statement of the expected form, or longer than its bound.
    Form,
    /// The signature does not verify under the key that should have signed.
    Signature,
    /// The same command id came with other bytes.
    IdReused,
    /// Signed for another run of the lock; fetch a fresh `session_info` and sign again.
    WrongEpoch,
    /// For another lock.
    WrongLock,
    /// The grant that the command names was not presented in this run of the lock.
    GrantUnknown,
    /// The grant, its issuer or its owner is no longer honoured.
    Revoked,
    /// The grant has not this right.
    NoRight,
    /// Outside the grant's times, or the lock has no time to compare them with.
    NoTime,
    /// Not over this transport.
    Transport,
    /// The grant's uses are spent.
    UsesSpent,
    /// Its expiry has passed.
    Expired,
    /// Its expiry is further ahead than the transport allows (60 s through a hub).
    TooFarAhead,
    /// The counter is not above the last one of this holder.
    Counter,
    /// Another command is at work, or a table is full; try again.
    Busy,
    /// The log has no room for a guest's record until older ones are freed.
    LogFull,
    /// The lock has no owner.
    NotOwned,
    /// The lock has an owner already.
    AlreadyOwned,
    /// The pairing window is closed.
    WindowClosed,
    /// The bolt did not reach its end: it jammed.
    Jammed,
    /// Power was lost between the intent and the outcome; the bolt was not driven again.
    Interrupted,
    /// The battery is too weak to move the bolt.
    BatteryLow,
    /// Flash could not be written or read back; nothing was moved.
    Storage,
    /// The lock has no memory of the command and its log no longer reaches back to it.
    Forgotten,
    /// The lock never saw the command, and it can no longer act.
    NotSeen,
    /// Not for this peer.
    NotAllowed,
    /// The log record that is named is not there, or is another one.
    WrongHead,
    /// This lock cannot do that.
    Unsupported,
    /// The number of a later version, unknown to this one: nobody here can tell whether the bolt
    /// moved, or whether trying again helps. Not made for numbers that have a variant.
    Other(u8),
}

cbor_number!(Reason or Other {
    None = 0,
    Form = 1,
    Signature = 2,
    IdReused = 3,
    WrongEpoch = 4,
    WrongLock = 5,
    GrantUnknown = 6,
    Revoked = 7,
    NoRight = 8,
    NoTime = 9,
    Transport = 10,
    UsesSpent = 11,
    Expired = 12,
    TooFarAhead = 13,
    Counter = 14,
    Busy = 15,
    LogFull = 16,
    NotOwned = 17,
    AlreadyOwned = 18,
    WindowClosed = 19,
    Jammed = 20,
    Interrupted = 21,
    BatteryLow = 22,
    Storage = 23,
    Forgotten = 24,
    NotSeen = 25,
    NotAllowed = 26,
    WrongHead = 27,
    Unsupported = 28,
});

impl Reason {
    /// Whether the bolt may have moved for the command all the same.
    #[must_use]
    pub const fn may_have_succeeded(self) -> bool {
        matches!(
            self,
            Self::Jammed | Self::Interrupted | Self::Forgotten | Self::Other(_)
        )
    }

    /// Whether the same wish, signed anew where needed, may succeed later.
    #[must_use]
    pub const fn is_temporary(self) -> bool {
        matches!(
            self,
            Self::WrongEpoch
                | Self::GrantUnknown
                | Self::NoTime
                | Self::Expired
                | Self::TooFarAhead
                | Self::Counter
                | Self::Busy
                | Self::LogFull
                | Self::WindowClosed
                | Self::Jammed
                | Self::Interrupted
                | Self::BatteryLow
                | Self::Storage
        )
    }

    /// The stable name, as in MQTT payloads and on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Form => "form",
            Self::Signature => "signature",
            Self::IdReused => "id_reused",
            Self::WrongEpoch => "wrong_epoch",
            Self::WrongLock => "wrong_lock",
            Self::GrantUnknown => "grant_unknown",
            Self::Revoked => "revoked",
            Self::NoRight => "no_right",
            Self::NoTime => "no_time",
            Self::Transport => "transport",
            Self::UsesSpent => "uses_spent",
            Self::Expired => "expired",
            Self::TooFarAhead => "too_far_ahead",
            Self::Counter => "counter",
            Self::Busy => "busy",
            Self::LogFull => "log_full",
            Self::NotOwned => "not_owned",
            Self::AlreadyOwned => "already_owned",
            Self::WindowClosed => "window_closed",
            Self::Jammed => "jammed",
            Self::Interrupted => "interrupted",
            Self::BatteryLow => "battery_low",
            Self::Storage => "storage",
            Self::Forgotten => "forgotten",
            Self::NotSeen => "not_seen",
            Self::NotAllowed => "not_allowed",
            Self::WrongHead => "wrong_head",
            Self::Unsupported => "unsupported",
            Self::Other(_) => "other",
        }
    }
}
