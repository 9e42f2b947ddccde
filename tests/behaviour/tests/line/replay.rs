//! S02: everything that a recorder heard, played back.
//!
//! Guards: KeyWe, Ultraloq and others that obey a recorded unlock. The recorder needs no key; it
//! only has to outlast the memory of lock or hub, so each of them is restarted and set back.

use drawbridge_daemon::core::{HubEvent, RadioEvent};
use drawbridge_lock::LinkId as LockLink;
use drawbridge_protocol::command::Action;

use super::capture::{By, Heard, messages, renumbered};
use super::line::{HUB_LINK, Line};
use super::sender::id_of;
use drawbridge_simulator::lane;

/// The recorder's own link.
const RECORDER: LockLink = LockLink(9);

impl Line {
    /// One link of the recorder's, carrying these packets.
    fn play(&mut self, packets: &[Vec<u8>]) {
        self.door.link_up(RECORDER, self.now);
        self.settle_lock();
        for packet in packets {
            self.door.packet(RECORDER, packet, self.now);
            self.settle_lock();
        }
        self.door.link_down(RECORDER, self.now);
        self.settle_lock();
    }

    /// Everything at the lock, on links of the recorder's own: each packet as it was and as a first
    /// one, each message, each whole link, both directions.
    fn play_at_lock(&mut self, heard: &[Heard]) -> u64 {
        let mut played = 0;
        for one in heard {
            let packet = vec![one.packet.clone()];
            self.play(&packet);
            self.play(&renumbered(&packet));
            played += 2;
        }
        for by in [By::Hub, By::Lock] {
            let last = heard.iter().map(|heard| heard.link).max().unwrap();
            for link in 0..=last {
                let of_link = heard.iter().filter(|one| one.by == by && one.link == link);
                let session: Vec<_> = of_link.map(|one| one.packet.clone()).collect();
                self.play(&session);
                for message in messages(&session) {
                    self.play(&renumbered(&message));
                    played += 1;
                }
                played += 1;
            }
        }
        // The lock's patience with handshakes is back.
        self.pass(15_000);
        played
    }

    /// Everything on the link between the two, put in by somebody in the middle.
    fn play_between(&mut self, heard: &[Heard]) {
        for one in heard {
            let linked = self.until(60_000, |line| line.air.is_some());
            assert!(linked, "the hub does not come back, seed {}", self.seed);
            let Some(link) = self.air else { return };
            let bytes = one.packet.clone();
            match one.by {
                By::Hub => {
                    self.door.packet(HUB_LINK, &bytes, self.now);
                    self.settle_lock();
                }
                By::Lock => self.tell_hub(HubEvent::Radio(RadioEvent::Packet { link, bytes })),
            }
            self.pass(1_500);
        }
        self.pass(15_000);
    }
}

#[test]
fn s02_every_captured_frame_and_session_replayed() {
    let seed = lane::seed();
    let mut line = Line::paired(seed);
    let older = line.disk.clone();
    let mut statements = Vec::new();
    for action in [Action::Unlock, Action::Lock] {
        statements.push(line.operate(action).1);
    }
    line.cut_link();
    line.quiet();
    statements.push(line.operate(Action::Unlock).1);
    line.quiet();
    let heard = line.heard.clone();
    assert!(heard.len() > 30, "pairing, three commands, the log");
    let (starts, position) = (line.door.starts.len(), line.door.position);

    let stages = ["now", "reconnect", "lock reboot", "hub reboot", "old store"];
    let mut played = 0;
    for stage in stages {
        match stage {
            "reconnect" => line.cut_link(),
            "lock reboot" => line.cut_power(),
            "hub reboot" => line.crash_hub(),
            "old store" => {
                line.crash_hub();
                line.disk = older.clone();
            }
            _ => {}
        }
        // At the very moment, while the hub is not back yet, and then beside it.
        let strangers = line.auditor.strangers;
        if stage != "lock reboot" {
            played += line.play_at_lock(&heard);
        }
        line.pass(10_000);
        let at_lock = line.play_at_lock(&heard);
        played += at_lock;
        let lost = line.journal.get("link_lost").copied().unwrap_or(0);
        line.play_between(&heard);
        assert!(line.journal["link_lost"] > lost, "{stage}: nobody noticed");

        // What the broker's reader recorded.
        for statement in &statements {
            let id = id_of(statement);
            let (finals, copies) = (line.finals(&id).len(), line.duplicates(&id));
            line.send(statement);
            line.quiet();
            // A hub that was set back asks the lock, whose own word is that it is a duplicate.
            let told = match stage {
                "old store" => line.finals(&id).len() > finals,
                _ => line.duplicates(&id) > copies,
            };
            assert!(told, "S02, {stage}: {:?}", line.results(&id));
            assert!(line.finals(&id).iter().all(|end| end.status == "done"));
        }

        // The lock writes strangers down every ten minutes, and the hub hears of it unasked.
        line.pass(1_300_000);
        line.quiet();
        assert_eq!(
            line.door.starts.len(),
            starts,
            "S02, {stage}, seed {seed}: it moved"
        );
        assert_eq!(line.door.position, position, "S02, {stage}");
        // What is only part of a message fails when its link does, and nobody counts that.
        let counted = line.auditor.strangers - strangers;
        assert!(
            counted >= at_lock / 2,
            "S02, {stage}, seed {seed}: {counted} counted of {at_lock}"
        );
    }
    // It was the replays that failed, not the lock.
    line.operate(Action::Lock);
    assert_eq!(line.door.starts.len(), starts + 1);
    println!(
        "EVIDENCE captured {} packets, played {played} times at the lock, 0 actuations, {} counted as strangers",
        heard.len(),
        line.auditor.strangers
    );
}
