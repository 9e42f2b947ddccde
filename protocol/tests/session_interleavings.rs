//! Sessions under a hostile link: any order of sealing, losing, repeating, changing and moving.
//!
//! Guards: nonce reuse after a retry or a resume (the end of ChaCha20-Poly1305), a record accepted
//! twice, and an id or number that follows a lock from link to link.

use std::collections::{BTreeMap, BTreeSet};

use drawbridge_protocol::keys::SharedSecret;
use drawbridge_protocol::link_message::RECORD_HEADER;
use drawbridge_protocol::session::{Label, MAX_AGE_MS, MAX_RECORDS, Role, Session, SessionError};

use crate::fixture::{self, bytes};
use crate::lane::{Dice, Rounds};

/// A record on the air.
#[derive(Clone)]
struct Sent {
    by: Role,
    serial: u64,
    record: Vec<u8>,
}

/// Both ends, everything ever sent, and what an observer and an auditor note.
struct Air {
    hub: Session,
    lock: Session,
    link: u32,
    sent: Vec<Sent>,
    /// (sealed by the hub, counter): an AEAD nonce under one key.
    nonces: BTreeSet<(bool, u64)>,
    /// Which link an id was seen on.
    ids: BTreeMap<[u8; 8], u32>,
    labels: BTreeMap<[u8; 8], Label>,
    /// The link that each direction's last record was sealed for.
    accepted: BTreeSet<u64>,
    newest: BTreeMap<bool, u64>,
    offered: Vec<(u32, Label)>,
}

impl Air {
    fn new(dice: &mut Dice) -> Self {
        let (current, next) = (Label::generate(dice), Label::generate(dice));
        let end = |role| {
            Session::new(
                role,
                SharedSecret::new([1; 32]),
                SharedSecret::new([2; 32]),
                current,
                next,
            )
        };
        Self {
            hub: end(Role::Peer),
            lock: end(Role::Lock),
            link: 0,
            sent: Vec::new(),
            nonces: BTreeSet::new(),
            ids: BTreeMap::new(),
            labels: [(current.id, current), (next.id, next)].into(),
            accepted: BTreeSet::new(),
            newest: BTreeMap::new(),
            offered: Vec::new(),
        }
    }

    fn seal(&mut self, by: Role) {
        let serial = self.sent.len() as u64;
        let session = if by == Role::Peer {
            &mut self.hub
        } else {
            &mut self.lock
        };
        let record = bytes(|out| session.seal(&serial.to_le_bytes(), out));
        self.audit(by, &record);
        self.sent.push(Sent { by, serial, record });
    }

    /// No nonce twice; no id on two links of the hub.
    fn audit(&mut self, by: Role, record: &[u8]) {
        let id: [u8; 8] = record[..8].try_into().unwrap();
        let number = u64::from_le_bytes(record[8..RECORD_HEADER].try_into().unwrap());
        let label = self.labels[&id];
        let from_hub = by == Role::Peer;
        let offset = if from_hub {
            label.to_lock
        } else {
            label.to_peer
        };
        let nonce = (from_hub, number.wrapping_sub(offset));
        assert!(self.nonces.insert(nonce), "nonce {nonce:?} used twice");
        if from_hub {
            let link = *self.ids.entry(id).or_insert(self.link);
            assert_eq!(link, self.link, "an id was seen on two links");
        }
    }

    /// Delivers a record, changed or not, to whom it was not sealed by (or back to its sender).
    fn deliver(&mut self, which: usize, change: Option<(usize, u8)>, reflect: bool) {
        let Sent { by, serial, record } = self.sent[which].clone();
        let mut arriving = record;
        let changed = change.is_some_and(|(at, mask)| {
            let at = at % arriving.len();
            arriving[at] ^= mask;
            mask != 0
        });
        let to_lock = (by == Role::Peer) != reflect;
        let session = if to_lock {
            &mut self.lock
        } else {
            &mut self.hub
        };
        let before = format!("{session:?}");
        let mut plain = [0; 64];
        match session.open(&arriving, &mut plain) {
            Ok(opened) => {
                assert!(!changed && !reflect, "a forged record was accepted");
                assert_eq!(opened.plaintext, serial.to_le_bytes());
                assert!(
                    self.accepted.insert(serial),
                    "record {serial} accepted twice"
                );
                let newest = self.newest.insert(to_lock, serial);
                assert!(newest < Some(serial), "an older record after a newer one");
            }
            Err(_) => assert_eq!(
                format!("{session:?}"),
                before,
                "a failure changed something"
            ),
        }
    }

    fn step(&mut self, dice: &mut Dice) {
        match dice.below(12) {
            0..=2 => self.seal(Role::Peer),
            3 | 4 => self.seal(Role::Lock),
            5 | 6 if !self.sent.is_empty() => self.deliver(self.sent.len() - 1, None, false),
            7 if !self.sent.is_empty() => self.deliver(dice.below(self.sent.len()), None, false),
            8 if !self.sent.is_empty() => {
                let change = (dice.below(1_000), 1 << dice.below(8));
                self.deliver(dice.below(self.sent.len()), Some(change), false);
            }
            9 if !self.sent.is_empty() => self.deliver(dice.below(self.sent.len()), None, true),
            10 => {
                // The lock hands a label over; it may be lost, and travels inside a record.
                let label = Label::generate(dice);
                assert_eq!(Label::from_bytes(&self.lock.offer_next(label)), Some(label));
                self.labels.insert(label.id, label);
                self.offered.push((self.link, label));
                if dice.below(3) > 0 {
                    self.hub.store_next(label);
                }
            }
            11 => self.link += u32::from(self.hub.resume()),
            _ => {}
        }
    }
}

#[test]
fn no_interleaving_accepts_a_record_twice_or_reuses_a_nonce_or_an_id() {
    let rounds = Rounds::of("session interleavings", 400, 20_000);
    let mut dice = Dice::new("session interleavings");
    let (mut accepted, mut links) = (0, 0);
    for _ in 0..rounds.run {
        let mut air = Air::new(&mut dice);
        for _ in 0..120 {
            air.step(&mut dice);
        }
        accepted += air.accepted.len();
        links += air.link as usize;
        // Everything once more, in order: nothing of it is new.
        let before = air.accepted.len();
        for which in 0..air.sent.len() {
            if air.accepted.contains(&air.sent[which].serial) {
                air.deliver(which, None, false);
            }
        }
        assert_eq!(air.accepted.len(), before);
    }
    let rounds = rounds.run as usize;
    assert!(
        accepted > 5 * rounds && links > 3 * rounds,
        "{accepted} over {links} links"
    );
}

#[test]
fn two_links_of_one_session_share_neither_ids_nor_numbers() {
    let mut dice = Dice::new("links");
    let mut air = Air::new(&mut dice);
    let mut seen = BTreeSet::new();
    for _ in 0..200 {
        for _ in 0..5 {
            air.seal(Role::Peer);
            let sent = air.sent.len() - 1;
            air.deliver(sent, None, false);
            let record = &air.sent[sent].record;
            assert!(seen.insert(record[8..16].to_vec()), "a number came again");
        }
        let label = Label::generate(&mut dice);
        air.lock.offer_next(label);
        air.labels.insert(label.id, label);
        air.hub.store_next(label);
        assert!(air.hub.resume());
        air.link += 1;
    }
    assert_eq!(air.ids.len(), 200);
}

#[test]
fn a_session_ends_where_the_specification_says() {
    // Guards: a slip in the arithmetic of a bound that every other test takes from the same place.
    assert_eq!(MAX_RECORDS, 65_536);
    assert_eq!(MAX_AGE_MS, 43_200_000, "12 hours");
}

#[test]
fn errors_of_a_session_name_the_act_that_failed() {
    // Guards: "could not : " in the journal, for whoever has to find out why a link dies every minute.
    let all = [
        SessionError::NotMine,
        SessionError::NotAuthentic,
        SessionError::Replayed,
        SessionError::Exhausted,
        SessionError::TooLong,
    ];
    let mut said: Vec<String> = all.iter().map(SessionError::to_string).collect();
    said.sort();
    said.dedup();
    assert_eq!(said.len(), all.len(), "{said:?}");
    for text in said {
        assert!(
            text.starts_with(char::is_lowercase) && !text.ends_with('.'),
            "{text}"
        );
    }
}

#[test]
fn a_record_belongs_to_the_id_of_its_link_and_the_next_id_to_the_lock_alone() {
    // Guards: a peer that follows whoever replays the lock under the next name, and a lock that
    // hands every stranger's record to the first session it finds.
    let shaken = fixture::shake();
    let (mut hub, mut lock) = (shaken.hub, shaken.lock);
    let mut out = [0; 64];
    let record = hub.seal(b"x", &mut out).unwrap().to_vec();
    let next = Label {
        id: [9; 8],
        to_lock: 1,
        to_peer: 2,
    };
    lock.offer_next(next);
    hub.store_next(next);
    let mut under_next = record.clone();
    under_next[..8].copy_from_slice(&next.id);
    let mut foreign = record.clone();
    foreign[7] ^= 1;
    for (record, at_lock, at_hub) in [
        (&record[..], true, true),
        (&under_next[..], true, false),
        (&foreign[..], false, false),
        (&record[..7], false, false),
    ] {
        assert_eq!(lock.is_addressed_by(record), at_lock, "{record:?}");
        assert_eq!(hub.is_addressed_by(record), at_hub, "{record:?}");
    }
}

#[test]
fn a_direction_ends_at_its_bound_and_never_wraps() {
    let shaken = fixture::shake();
    let (mut hub, mut lock) = (shaken.hub, shaken.lock);
    let (mut out, mut plain) = ([0; 64], [0; 64]);
    let mut last = Vec::new();
    for _ in 0..MAX_RECORDS {
        last = hub.seal(b"x", &mut out).unwrap().to_vec();
    }
    assert_eq!(hub.records_sealed(), MAX_RECORDS);
    assert_eq!(hub.seal(b"x", &mut out), Err(SessionError::Exhausted));
    assert!(
        !hub.can_resume() && !hub.resume(),
        "a new link does not make room"
    );
    // The lock's direction is not affected, and 65,535 lost records do no harm.
    assert_eq!(lock.open(&last, &mut plain).unwrap().plaintext, b"x");
    assert_eq!(lock.open(&last, &mut plain), Err(SessionError::Replayed));
    assert!(lock.seal(b"y", &mut out).is_ok());
}

#[test]
fn a_message_that_does_not_fit_uses_no_nonce() {
    let shaken = fixture::shake();
    let mut hub = shaken.hub;
    let mut out = vec![0; 4_096];
    assert_eq!(hub.seal(&[0; 1_025], &mut out), Err(SessionError::TooLong));
    assert_eq!(hub.seal(&[0; 10], &mut [0; 41]), Err(SessionError::TooLong));
    assert_eq!(hub.records_sealed(), 0);
    assert!(hub.seal(&[0; 1_024], &mut out).is_ok());
    assert_eq!(hub.records_sealed(), 1);
}

#[test]
fn a_session_only_moves_when_a_record_under_the_next_label_is_authentic() {
    let shaken = fixture::shake();
    let (mut hub, mut lock) = (shaken.hub, shaken.lock);
    let mut forged = bytes(|out| hub.seal(b"still here", out));
    forged[..8].copy_from_slice(&fixture::label(2).id);
    let mut plain = [0; 64];
    assert_eq!(
        lock.open(&forged, &mut plain),
        Err(SessionError::NotAuthentic)
    );
    let here = bytes(|out| hub.seal(b"still here", out));
    assert!(!lock.open(&here, &mut plain).unwrap().moved);
}
