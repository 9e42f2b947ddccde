//! Whether the broker, and the way through it back to us, still works.
//!
//! Three questions, one answer time: does the broker answer our pings, does it acknowledge what we
//! publish, and does a message addressed to ourselves come back? The last proves the whole way:
//! our subscription, the broker's routing, our certificate's rights.
//!
//! Feed every packet that arrives to [`Liveness::heard`]; call [`Liveness::poll`] at
//! [`Liveness::deadline`].
//!
//! **A broker that stops answering at any moment is declared dead at most `quiet + response`
//! later.**

use std::time::Duration;

use tokio::time::Instant;

use super::config::Timing;

/// What to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pulse {
    /// Send the self-addressed message.
    Prove,
    /// Give the connection up.
    Dead(Silence),
}

/// What did not come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Silence {
    Ping,
    Proof,
}

#[derive(Debug)]
pub(super) struct Liveness {
    response: Duration,
    quiet: Duration,
    proof: Duration,
    heard: Instant,
    pinged: Option<Instant>,
    proving: Option<Instant>,
    proved: Option<Instant>,
    /// Last request to send the message, so that a full window does not make us spin.
    wanted: Option<Instant>,
}

impl Liveness {
    pub(super) fn new(timing: &Timing, now: Instant) -> Self {
        Self {
            response: timing.response,
            quiet: timing.quiet,
            proof: timing.proof,
            heard: now,
            pinged: None,
            proving: None,
            proved: None,
            wanted: None,
        }
    }

    /// Any packet came from the broker.
    pub(super) fn heard(&mut self, now: Instant) {
        self.heard = now;
    }

    /// The library sent a ping.
    pub(super) fn ping_sent(&mut self, now: Instant) {
        self.pinged.get_or_insert(now);
    }

    /// The broker answered it.
    pub(super) fn ping_answered(&mut self) {
        self.pinged = None;
    }

    /// The self-addressed message is due and there was no room for it yet.
    pub(super) fn wants_proof(&self) -> bool {
        self.wanted.is_some()
    }

    /// The self-addressed message went out.
    pub(super) fn proof_sent(&mut self, now: Instant) {
        self.proving = Some(now);
        self.wanted = None;
    }

    /// It came back.
    pub(super) fn proof_returned(&mut self, now: Instant) {
        self.proving = None;
        self.proved = Some(now);
    }

    /// When to poll next.
    pub(super) fn deadline(&self) -> Instant {
        let answers = [self.pinged, self.proving, self.wanted];
        let answer = answers
            .into_iter()
            .flatten()
            .map(|at| at + self.response)
            .min();
        let next = self.next_proof();
        answer.map_or(next, |answer| {
            if self.waiting() {
                answer
            } else {
                answer.min(next)
            }
        })
    }

    pub(super) fn poll(&mut self, now: Instant) -> Option<Pulse> {
        let late = |at: Option<Instant>| at.is_some_and(|at| now >= at + self.response);
        if late(self.pinged) {
            return Some(Pulse::Dead(Silence::Ping));
        }
        if late(self.proving) || late(self.wanted) {
            return Some(Pulse::Dead(Silence::Proof));
        }
        if !self.waiting() && now >= self.next_proof() {
            self.wanted = Some(now);
            return Some(Pulse::Prove);
        }
        None
    }

    fn waiting(&self) -> bool {
        self.proving.is_some() || self.wanted.is_some()
    }

    fn next_proof(&self) -> Instant {
        let quiet = self.heard + self.quiet;
        // The first proof is due at once.
        self.proved
            .map_or(self.heard, |proved| quiet.min(proved + self.proof))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run_until_dead(live: &mut Liveness, mut now: Instant) -> (Instant, Silence) {
        for _ in 0..100 {
            match live.poll(now) {
                Some(Pulse::Dead(why)) => return (now, why),
                Some(Pulse::Prove) => live.proof_sent(now),
                None => now = live.deadline().max(now + Duration::from_millis(1)),
            }
        }
        panic!("a silent broker was never declared dead");
    }

    // Guards (F08): a half-open connection that only a keep-alive of a minute would notice. A
    // broker can stretch the keep-alive (Server Keep Alive), so this must not depend on it.
    #[test]
    fn f08_silence_is_noticed_within_10_s_whenever_it_begins() {
        let timing = Timing::default();
        let start = Instant::now();
        for after_ms in (0..40_000).step_by(500) {
            let mut live = Liveness::new(&timing, start);
            live.proof_sent(start);
            live.proof_returned(start);
            let mut now = start;
            let stop = start + Duration::from_millis(after_ms);
            // A healthy broker until `stop`: every proof returns at once.
            while live.deadline() < stop {
                now = live.deadline();
                if live.poll(now) == Some(Pulse::Prove) {
                    live.proof_sent(now);
                    live.heard(now);
                    live.proof_returned(now);
                }
            }
            let (dead, _) = run_until_dead(&mut live, stop.max(now));
            assert!(
                dead - stop <= Duration::from_secs(10),
                "{after_ms} ms: {:?}",
                dead - stop
            );
        }
    }

    // Guards: a broker that pings but no longer routes (its session lost our subscription) looks
    // alive to keep-alive and is useless to us.
    #[test]
    fn broker_that_answers_pings_but_routes_nothing_is_dead() {
        let timing = Timing::default();
        let mut now = Instant::now();
        let mut live = Liveness::new(&timing, now);
        assert_eq!(live.poll(now), Some(Pulse::Prove));
        live.proof_sent(now);
        for _ in 0..8 {
            now += Duration::from_millis(500);
            live.ping_sent(now);
            live.heard(now);
            live.ping_answered();
        }
        assert_eq!(live.poll(now), Some(Pulse::Dead(Silence::Proof)));
    }

    // Guards (P09): a healthy idle link must not wake the machine more than the proofs need.
    #[test]
    fn healthy_quiet_link_wakes_rarely() {
        let timing = Timing::default();
        let start = Instant::now();
        let mut live = Liveness::new(&timing, start);
        let mut now = start;
        let mut wakes = 0;
        while now < start + Duration::from_secs(600) {
            if live.poll(now) == Some(Pulse::Prove) {
                live.proof_sent(now);
                live.heard(now);
                live.proof_returned(now);
            }
            wakes += 1;
            now = live.deadline();
        }
        assert!(wakes <= 600 / 5 + 1, "{wakes} wake-ups in 600 s");
    }
}
