//! What a hand can touch: bolt, motor, door contact, case and battery, as they behave in time.

use drawbridge_lock::{Motor, Sensors};
use drawbridge_protocol::report::{Door, Position};
use thiserror::Error;

/// The bolt's whole way, in steps: 0 is drawn, this is thrown.
pub const FULL_TRAVEL: u32 = 10_000;

/// Where a jam stops the bolt.
const MIDWAY: u32 = FULL_TRAVEL / 2;

/// Below this charge (percent) the motor slows down: 10 % more time for each percent missing.
const WEAK_BATTERY: u8 = 30;

/// A hand that could not do what it tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum HandError {
    /// The bolt is jammed.
    #[error("turn a jammed bolt by hand")]
    Jammed,
    /// A hand leaves the bolt at one of its ends.
    #[error("leave the bolt between its ends")]
    NotAnEnd,
}

/// The mechanics. Time is an argument: milliseconds on any clock that never goes back.
///
/// Contract: [`drive`](Self::drive) and the knobs may be called in any order; after each, and when
/// [`next_change`](Self::next_change) is due, read [`sensors`](Self::sensors) again.
/// **[`actuations`](Self::actuations) counts every order that energised the motor, whoever gave it.**
#[derive(Debug, Clone)]
pub struct Body {
    travel_ms: u32,
    motor: Motor,
    /// Where the bolt was at `since`.
    at: u32,
    since: u64,
    /// The end that the bolt touched last: a jam stops it on its way from there.
    last_end: u32,
    jammed: bool,
    door: Door,
    tamper: bool,
    battery: u8,
    actuations: u64,
}

impl Body {
    /// A body whose bolt stands `at` steps (see [`FULL_TRAVEL`]) and takes `travel_ms` from end to end.
    #[must_use]
    pub fn new(travel_ms: u32, at: u32) -> Self {
        let at = at.min(FULL_TRAVEL);
        Self {
            travel_ms,
            motor: Motor::Stop,
            at,
            since: 0,
            last_end: if at < MIDWAY { 0 } else { FULL_TRAVEL },
            jammed: false,
            door: Door::Closed,
            tamper: false,
            battery: 100,
            actuations: 0,
        }
    }

    /// Carries out an order of the lock.
    pub fn drive(&mut self, order: Motor, now_ms: u64) {
        self.settle(now_ms);
        if order != Motor::Stop {
            self.actuations += 1;
        }
        self.motor = order;
    }

    /// Takes the supply away: the motor stops where it is.
    pub fn lose_power(&mut self, now_ms: u64) {
        self.settle(now_ms);
        self.motor = Motor::Stop;
    }

    /// Puts something in the bolt's way, halfway between its ends, or takes it out.
    pub fn set_jam(&mut self, jammed: bool, now_ms: u64) {
        self.settle(now_ms);
        self.jammed = jammed;
    }

    /// Sets the charge, percent; at 0 the motor no longer turns.
    pub fn set_battery(&mut self, percent: u8, now_ms: u64) {
        self.settle(now_ms);
        self.battery = percent.min(100);
    }

    /// Opens or shuts the door.
    pub fn set_door(&mut self, door: Door) {
        self.door = door;
    }

    /// Opens or shuts the case.
    pub fn set_tamper(&mut self, open: bool) {
        self.tamper = open;
    }

    /// Turns the bolt by hand, at once. A running motor goes on from there.
    ///
    /// # Errors
    /// [`HandError`]; the bolt has not moved then.
    pub fn turn_by_hand(&mut self, to: Position, now_ms: u64) -> Result<(), HandError> {
        let end = match to {
            Position::Locked => FULL_TRAVEL,
            Position::Unlocked => 0,
            _ => return Err(HandError::NotAnEnd),
        };
        if self.jammed {
            return Err(HandError::Jammed);
        }
        self.settle(now_ms);
        self.at = end;
        self.last_end = end;
        Ok(())
    }

    /// What the sensors say now.
    #[must_use]
    pub fn sensors(&self, now_ms: u64) -> Sensors {
        Sensors {
            position: self.position(now_ms),
            door: self.door,
            tamper: self.tamper,
            battery: self.battery,
        }
    }

    /// Where the bolt is, in steps.
    #[must_use]
    pub fn bolt_at(&self, now_ms: u64) -> u32 {
        let Some(goal) = self.goal() else {
            return self.at;
        };
        let steps = match self.full_travel_ms() {
            None => 0,
            Some(0) => u64::from(FULL_TRAVEL),
            Some(time) => {
                now_ms
                    .saturating_sub(self.since)
                    .saturating_mul(u64::from(FULL_TRAVEL))
                    / time
            }
        };
        let steps = u32::try_from(steps.min(u64::from(FULL_TRAVEL))).unwrap_or(FULL_TRAVEL);
        if goal > self.at {
            (self.at + steps).min(goal)
        } else {
            self.at.saturating_sub(steps).max(goal)
        }
    }

    /// When the bolt will have come to its end or to what jams it; `None` while it stands still.
    #[must_use]
    pub fn next_change(&self, now_ms: u64) -> Option<u64> {
        let way = u64::from(self.goal()?.abs_diff(self.at));
        let time = self.full_travel_ms()?;
        let arrival = self.since + (way * time).div_ceil(u64::from(FULL_TRAVEL));
        (arrival > now_ms).then_some(arrival)
    }

    /// How often the motor was energised since the process started.
    #[must_use]
    pub const fn actuations(&self) -> u64 {
        self.actuations
    }

    /// Whether the motor has current.
    #[must_use]
    pub fn motor_is_on(&self) -> bool {
        self.motor != Motor::Stop
    }

    fn position(&self, now_ms: u64) -> Position {
        if self.next_change(now_ms).is_some() {
            return Position::Moving;
        }
        match self.bolt_at(now_ms) {
            0 => Position::Unlocked,
            FULL_TRAVEL => Position::Locked,
            _ if self.jammed => Position::Jammed,
            _ => Position::Unknown,
        }
    }

    /// Where the motor can bring the bolt; `None` without current.
    fn goal(&self) -> Option<u32> {
        let end = match self.motor {
            Motor::Throw => FULL_TRAVEL,
            Motor::Draw => 0,
            Motor::Stop => return None,
        };
        if !self.jammed || end == self.last_end {
            return Some(end);
        }
        // Beyond the obstacle already: it can neither go on nor be pushed back by the motor.
        let passed = if end > self.last_end {
            self.at > MIDWAY
        } else {
            self.at < MIDWAY
        };
        Some(if passed { self.at } else { MIDWAY })
    }

    /// Time from end to end at this charge; `None` when the battery cannot turn the motor.
    fn full_travel_ms(&self) -> Option<u64> {
        if self.battery == 0 {
            return None;
        }
        let missing = u64::from(WEAK_BATTERY.saturating_sub(self.battery));
        Some(u64::from(self.travel_ms) * (10 + missing) / 10)
    }

    fn settle(&mut self, now_ms: u64) {
        self.at = self.bolt_at(now_ms);
        self.since = now_ms;
        if self.at == 0 || self.at == FULL_TRAVEL {
            self.last_end = self.at;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCKED: u32 = FULL_TRAVEL;

    fn position(body: &Body, now_ms: u64) -> Position {
        body.sensors(now_ms).position
    }

    /// Guards: an end reported before the bolt is there, which would make the core stop the motor early.
    #[test]
    fn the_bolt_is_moving_until_the_motor_time_is_over() {
        let mut body = Body::new(300, 0);
        body.drive(Motor::Throw, 1_000);
        assert_eq!(position(&body, 1_000), Position::Moving);
        assert_eq!(position(&body, 1_299), Position::Moving);
        assert_eq!(body.next_change(1_000), Some(1_300));
        assert_eq!(position(&body, 1_300), Position::Locked);
        assert_eq!(body.next_change(1_300), None);
        body.drive(Motor::Stop, 1_300);
        assert_eq!(
            (position(&body, 9_999), body.actuations()),
            (Position::Locked, 1)
        );
    }

    #[test]
    fn a_motor_time_of_zero_arrives_at_once() {
        let mut body = Body::new(0, LOCKED);
        body.drive(Motor::Draw, 5);
        assert_eq!(position(&body, 5), Position::Unlocked);
        assert_eq!(body.next_change(5), None);
    }

    #[test]
    fn a_jam_stops_the_bolt_midway_and_lets_it_back() {
        let mut body = Body::new(100, 0);
        body.set_jam(true, 0);
        body.drive(Motor::Throw, 0);
        assert_eq!(body.next_change(0), Some(50));
        assert_eq!(position(&body, 1_000), Position::Jammed);
        body.drive(Motor::Draw, 1_000);
        assert_eq!(position(&body, 1_050), Position::Unlocked);
        body.set_jam(false, 2_000);
        body.drive(Motor::Throw, 2_000);
        assert_eq!(position(&body, 2_100), Position::Locked);
    }

    #[test]
    fn a_bolt_past_the_obstacle_is_stuck_there() {
        let mut body = Body::new(100, 0);
        body.drive(Motor::Throw, 0);
        body.set_jam(true, 80);
        assert_eq!(position(&body, 500), Position::Jammed);
        assert_eq!(body.bolt_at(500), 8_000);
    }

    #[test]
    fn a_weak_battery_is_slow_and_an_empty_one_does_not_move() {
        let mut body = Body::new(100, 0);
        body.set_battery(20, 0);
        body.drive(Motor::Throw, 0);
        assert_eq!(body.next_change(0), Some(200));
        body.set_battery(0, 100);
        assert_eq!(position(&body, 10_000), Position::Unknown);
        assert_eq!(body.next_change(100), None);
        body.set_battery(100, 10_000);
        assert_eq!(position(&body, 10_050), Position::Locked);
    }

    #[test]
    fn a_hand_turns_the_bolt_but_not_a_jammed_one_and_counts_as_no_actuation() {
        let mut body = Body::new(100, 0);
        body.turn_by_hand(Position::Locked, 1).unwrap();
        assert_eq!(position(&body, 1), Position::Locked);
        body.set_jam(true, 2);
        assert_eq!(
            body.turn_by_hand(Position::Unlocked, 3),
            Err(HandError::Jammed)
        );
        assert_eq!(
            body.turn_by_hand(Position::Moving, 3),
            Err(HandError::NotAnEnd)
        );
        assert_eq!(
            (position(&body, 4), body.actuations()),
            (Position::Locked, 0)
        );
    }

    #[test]
    fn a_lost_supply_leaves_the_bolt_between_its_ends() {
        let mut body = Body::new(100, 0);
        body.drive(Motor::Throw, 0);
        body.lose_power(40);
        assert_eq!(position(&body, 10_000), Position::Unknown);
        assert_eq!((body.bolt_at(10_000), body.motor_is_on()), (4_000, false));
    }

    /// Guards: a second order while the motor runs that a test would not see.
    #[test]
    fn every_order_counts_as_an_actuation() {
        let mut body = Body::new(100, 0);
        for order in [
            Motor::Throw,
            Motor::Throw,
            Motor::Draw,
            Motor::Stop,
            Motor::Stop,
        ] {
            body.drive(order, 0);
        }
        assert_eq!(body.actuations(), 3);
    }
}
