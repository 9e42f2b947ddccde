//! What a lock feels and what it can move.

use drawbridge_protocol::command::Action;
use drawbridge_protocol::report::{Door, Position};

/// Below this charge the motor is not started: a bolt that stops half-way is worse than one that
/// stays. Percent.
pub const MOTOR_BATTERY_FLOOR: u8 = 3;

/// All sensors at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sensors {
    /// The bolt.
    pub position: Position,
    /// The door.
    pub door: Door,
    /// Whether the case is open or was forced.
    pub tamper: bool,
    /// Charge left, percent.
    pub battery: u8,
}

/// An order to the motor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Motor {
    /// Move the bolt out.
    Throw,
    /// Move the bolt in.
    Draw,
    /// Take the power away.
    Stop,
}

/// Where `action` wants the bolt.
#[must_use]
pub const fn target_of(action: Action) -> Position {
    match action {
        Action::Lock => Position::Locked,
        Action::Unlock => Position::Unlocked,
        // A later version's action has no target here, and admission refuses it before.
        _ => Position::Unknown,
    }
}
