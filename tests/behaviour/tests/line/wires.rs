//! What the hub and the lock ask of the world, and where that can be lost.

use drawbridge_daemon::core::{
    Address, CloudAction, CloudEvent, HubAction, HubEvent, LinkFault, RadioAction, RadioEvent,
    StoreFault, StoreOp, Tree,
};

use super::capture::{By, Heard, message_len};
use super::faults::Hop;
use super::line::{Due, HOP_MS, HUB_LINK, Line, TRAVEL_MS};
use drawbridge_simulator::house::door::{PACKET, Wish};

/// Lengths that only a sealed outcome has among what this lock says while a command is out: 250
/// bytes, more with longer numbers; a `session_info` has 223, a report 184.
const OUTCOME_LEN: std::ops::RangeInclusive<usize> = 242..=275;

impl Line {
    pub(crate) fn address() -> Address {
        Address::new("door").unwrap()
    }

    /// Does everything that the hub asks for, until it asks for nothing or dies over it.
    pub(crate) fn carry_out(&mut self) {
        while let Some(action) = self.hub.as_mut().and_then(|hub| hub.poll_action()) {
            match action {
                HubAction::Radio(action) => self.radio(action),
                HubAction::Cloud(action) => self.cloud(action),
                HubAction::Store { batch, ops } => self.store(batch, ops),
                HubAction::Control(_) => unreachable!("nobody is on the control socket"),
                HubAction::Journal(entry) => *self.journal.entry(entry.event).or_default() += 1,
            }
        }
    }

    fn store(&mut self, batch: u64, ops: Vec<StoreOp>) {
        let puts = |wanted: Tree| {
            ops.iter()
                .any(|op| matches!(op, StoreOp::Put { tree, .. } if *tree == wanted))
        };
        let (takes_in, concludes) = (puts(Tree::Inbox), puts(Tree::Dedupe));
        let mut late = HOP_MS;
        if takes_in && self.faults.strike(Hop::CrashUnstored) {
            return self.crash_hub();
        }
        if self.faults.strike(Hop::CrashStored) {
            self.disk.apply(&ops);
            return self.crash_hub();
        }
        if concludes && self.faults.strike(Hop::CrashFinal) {
            return self.crash_hub();
        }
        if (takes_in || concludes) && self.faults.strike(Hop::StoreAnswer) {
            let may_have_succeeded = self.dice.below(2) == 0;
            if may_have_succeeded && self.dice.below(2) == 0 {
                self.disk.apply(&ops);
            }
            let result = Err(StoreFault {
                reason: "no space left".into(),
                may_have_succeeded,
                is_temporary: true,
            });
            return self.tell_hub(HubEvent::Stored { batch, result });
        }
        if self.faults.strike(Hop::StoreLate) {
            late = 5_000;
        }
        let run = self.run;
        self.after(late, Due::Commit { run, batch, ops });
    }

    fn cloud(&mut self, action: CloudAction) {
        match action {
            CloudAction::Ack { token } => {
                let is_command = self.broker.is_command(token);
                if is_command && self.faults.strike(Hop::HubAck) {
                    self.break_broker();
                } else if is_command && self.faults.strike(Hop::CrashAcking) {
                    self.crash_hub();
                } else {
                    self.broker.acknowledged(token);
                }
            }
            CloudAction::Publish {
                ticket,
                topic,
                payload,
                ..
            } => {
                if !self.broker.is_up {
                    // What the client library queued dies with its connection.
                    return;
                }
                let is_final = self.receive(&topic, &payload);
                if is_final && self.faults.strike(Hop::ResultPuback) {
                    self.break_broker();
                } else if is_final && self.faults.strike(Hop::CrashPublished) {
                    self.crash_hub();
                } else {
                    self.tell_hub(HubEvent::Cloud(CloudEvent::Published { ticket }));
                }
            }
        }
    }

    fn radio(&mut self, action: RadioAction) {
        match action {
            RadioAction::Scan { on } => {
                self.is_scanning = on;
                self.advertise();
            }
            RadioAction::Connect { link, .. } => {
                if !self.door.link_up(HUB_LINK, self.now) {
                    let reason = LinkFault::Unreachable;
                    let event = RadioEvent::ConnectFailed { link, reason };
                    return self.tell_hub(HubEvent::Radio(event));
                }
                self.air = Some(link);
                self.links += 1;
                let packet_size = PACKET;
                self.tell_hub(HubEvent::Radio(RadioEvent::LinkUp { link, packet_size }));
                self.settle_lock();
            }
            RadioAction::Send { link, packet } => {
                if self.air == Some(link) {
                    self.record(By::Hub, &packet);
                    self.after(HOP_MS, Due::ToLock { link, packet });
                }
            }
            RadioAction::Disconnect { link } => {
                if self.air == Some(link) {
                    self.air = None;
                    self.door.link_down(HUB_LINK, self.now);
                }
                let reason = LinkFault::Closed;
                self.tell_hub(HubEvent::Radio(RadioEvent::LinkDown { link, reason }));
            }
            RadioAction::Forget { .. } => {}
        }
    }

    fn record(&mut self, by: By, packet: &[u8]) {
        for byte in packet {
            self.mix(u64::from(*byte));
        }
        self.heard.push(Heard {
            link: self.links,
            by,
            packet: packet.to_vec(),
        });
    }

    /// Does everything that the lock wants, until it wants nothing or has lost its power over it.
    pub(crate) fn settle_lock(&mut self) {
        let wishes = self.door.wishes(self.now);
        for wish in wishes {
            match wish {
                Wish::MotorRuns { start, .. } => self.after(TRAVEL_MS, Due::Arrive { start }),
                Wish::Packet { link, bytes } if link == HUB_LINK => self.lock_says(bytes),
                Wish::Packet { link, bytes } => self.strays.push((link, bytes)),
                Wish::Disconnect { link } if link == HUB_LINK => {
                    if let Some(link) = self.air.take() {
                        let reason = LinkFault::Closed;
                        let event = RadioEvent::LinkDown { link, reason };
                        self.tell_hub(HubEvent::Radio(event));
                    }
                }
                Wish::Disconnect { .. } => {}
            }
        }
        if self.door.is_on() && self.door.is_dead() {
            self.cut_power();
        }
    }

    fn lock_says(&mut self, packet: Vec<u8>) {
        let Some(link) = self.air else {
            return;
        };
        self.record(By::Lock, &packet);
        let is_outcome = message_len(&packet).is_some_and(|len| OUTCOME_LEN.contains(&len));
        if is_outcome && self.faults.strike(Hop::LockOutcome) {
            return self.cut_link();
        }
        if is_outcome && self.faults.strike(Hop::CrashOutcome) {
            return self.crash_hub();
        }
        let bytes = packet;
        self.tell_hub(HubEvent::Radio(RadioEvent::Packet { link, bytes }));
    }
}
