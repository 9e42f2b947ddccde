//! A session whose records are repeated, reordered, dropped, changed and moved to other links.

use drawbridge_protocol::keys::SharedSecret;
use drawbridge_protocol::link_message::MAX_PLAINTEXT;
use drawbridge_protocol::session::{Label, Role, Session, SessionError};

use crate::input::{Input, damage};

/// One end of the way and what travels to it.
struct Way {
    session: Session,
    /// Record and plaintext of everything that was sealed for this end, by number.
    sent: Vec<(Vec<u8>, Vec<u8>)>,
    /// The lowest number that may still be opened.
    floor: usize,
}

/// Every record is opened at most once, in rising order, as it was sealed; nothing else is opened;
/// and a refusal changes nothing.
///
/// # Panics
/// When one of that does not hold.
pub fn session(data: &[u8]) {
    let mut input = Input::new(data);
    let label = |input: &mut Input<'_>| Label {
        id: [input.byte(), 1, 1, 1, 1, 1, 1, 1],
        to_lock: u64::from_le_bytes(input.array()),
        to_peer: u64::from_le_bytes(input.array()),
    };
    let (current, mut next) = (label(&mut input), label(&mut input));
    if next.id == current.id {
        next.id[7] ^= 1;
    }
    let mut ways = [Role::Lock, Role::Peer].map(|role| Way {
        session: Session::new(
            role,
            SharedSecret::new([0x71; 32]),
            SharedSecret::new([0x72; 32]),
            current,
            next,
        ),
        sent: Vec::new(),
        floor: 0,
    });
    let mut serial = 2;
    for _ in 0..200 {
        if input.is_empty() {
            break;
        }
        let to = input.below(2);
        match input.byte() % 6 {
            0 | 1 => seal(&mut ways, to, &mut input),
            2 => deliver(&mut ways[to], &mut input),
            3 => meddle(&mut ways[to], &mut input),
            4 => foreign(&mut ways[to], input.chunk()),
            _ => move_on(&mut ways, &mut serial, &mut input),
        }
    }
}

fn seal(ways: &mut [Way; 2], to: usize, input: &mut Input<'_>) {
    let plain = input.chunk().repeat(input.below(8));
    let mut out = [0; MAX_PLAINTEXT + 64];
    match ways[1 - to].session.seal(&plain, &mut out) {
        Ok(record) => {
            let record = record.to_vec();
            ways[to].sent.push((record, plain));
        }
        Err(error) => {
            assert_eq!(error, SessionError::TooLong);
            assert!(plain.len() > MAX_PLAINTEXT);
        }
    }
}

/// A record as it was sealed, whichever.
fn deliver(way: &mut Way, input: &mut Input<'_>) {
    if way.sent.is_empty() {
        return;
    }
    let number = input.below(way.sent.len());
    let (record, plain) = way.sent[number].clone();
    let mut out = [0; MAX_PLAINTEXT];
    match way.session.open(&record, &mut out) {
        Ok(opened) => {
            assert_eq!(opened.plaintext, plain);
            assert!(
                number >= way.floor,
                "record {number} opened below {}",
                way.floor
            );
            way.floor = number + 1;
        }
        Err(SessionError::Replayed) => assert!(number < way.floor),
        // Sealed under a label of another link.
        Err(error) => assert_eq!(error, SessionError::NotMine),
    }
}

/// A changed record is not opened, and the right one is afterwards.
fn meddle(way: &mut Way, input: &mut Input<'_>) {
    let Some((record, plain)) = way.sent.last().cloned() else {
        return;
    };
    let number = way.sent.len() - 1;
    let mut changed = record.clone();
    let mut out = [0; MAX_PLAINTEXT];
    if damage(&mut changed, input) {
        assert!(way.session.open(&changed, &mut out).is_err());
    }
    if number >= way.floor && way.session.is_addressed_by(&record) {
        let opened = way.session.open(&record, &mut out).expect("untouched");
        assert_eq!(opened.plaintext, plain);
        way.floor = number + 1;
    }
}

fn foreign(way: &mut Way, bytes: &[u8]) {
    let mut out = [0; MAX_PLAINTEXT];
    let opened = way.session.open(bytes, &mut out).is_ok();
    assert!(!opened || way.sent.iter().any(|(record, _)| record == bytes));
}

/// The lock hands a label over and the peer moves, or either alone.
fn move_on(ways: &mut [Way; 2], serial: &mut u8, input: &mut Input<'_>) {
    let [lock, peer] = ways;
    let choice = input.byte();
    if choice & 1 == 1 {
        *serial = serial.wrapping_add(1);
        let label = Label {
            id: [*serial; 8],
            to_lock: u64::from_le_bytes(input.array()),
            to_peer: 0,
        };
        let bytes = lock.session.offer_next(label);
        if choice & 2 == 2 {
            peer.session
                .store_next(Label::from_bytes(&bytes).expect("its own bytes"));
        }
    }
    if choice & 4 == 4 {
        let could = peer.session.can_resume();
        assert_eq!(peer.session.resume(), could);
        assert!(!peer.session.can_resume());
    }
}
