//! S02 and S10: what was recorded is worthless later, and an impostor learns nothing.
//!
//! Guards: locks whose recorded unlock opens them again after a reconnect or a reboot, and BLESA,
//! where a peer that reconnects believes whoever has the right address.

use drawbridge_protocol::keys::LinkSecret;
use drawbridge_protocol::noise::responder::Responder;
use drawbridge_protocol::noise::{HandshakeError, MESSAGE_2};
use drawbridge_protocol::session::{Label, Session};

use crate::fixture::{self, Shaken, Shape, bytes};
use crate::lane::Dice;

/// A whole session as an observer has it: 20 records each way, over two links.
fn captured() -> (Shaken, Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let mut shaken = fixture::shake();
    let (mut to_lock, mut to_hub) = (Vec::new(), Vec::new());
    let mut plain = [0; 64];
    for round in 0..20_u8 {
        if round == 10 {
            assert!(shaken.hub.resume());
        }
        let record = bytes(|out| shaken.hub.seal(&[round; 30], out));
        assert!(shaken.lock.open(&record, &mut plain).is_ok());
        to_lock.push(record);
        let record = bytes(|out| shaken.lock.seal(&[round; 30], out));
        assert!(shaken.hub.open(&record, &mut plain).is_ok());
        to_hub.push(record);
    }
    (shaken, to_lock, to_hub)
}

fn nothing_opens(session: &mut Session, records: &[Vec<u8>]) {
    let before = format!("{session:?}");
    for record in records {
        assert!(session.open(record, &mut [0; 64]).is_err());
    }
    assert_eq!(format!("{session:?}"), before);
}

#[test]
fn s02_no_captured_record_is_opened_again_in_its_session() {
    let (mut shaken, to_lock, to_hub) = captured();
    nothing_opens(&mut shaken.lock, &to_lock);
    nothing_opens(&mut shaken.hub, &to_hub);
    // Nor reflected to the end that sealed it.
    nothing_opens(&mut shaken.hub, &to_lock);
    nothing_opens(&mut shaken.lock, &to_hub);
    // And the session is as alive as before.
    let record = bytes(|out| shaken.hub.seal(b"next", out));
    assert!(shaken.lock.open(&record, &mut [0; 64]).is_ok());
}

#[test]
fn s02_a_captured_handshake_fails_on_every_other_link() {
    let (shaken, ..) = captured();
    let mut dice = Dice::new("s02 links");
    for _ in 0..50 {
        let mut hello = fixture::lock_hello(Shape::Plain);
        hello.nonce = drawbridge_protocol::ids::Nonce(
            drawbridge_protocol::entropy::Entropy::bytes(&mut dice),
        );
        let hello = bytes(|out| hello.encode(out));
        let prologue = fixture::prologue(&hello, &shaken.initiator_hello);
        assert_eq!(
            fixture::read(&prologue, &shaken.message1).unwrap_err(),
            HandshakeError::NotAuthentic
        );
    }
}

#[test]
fn s02_a_captured_session_says_nothing_to_a_lock_that_lost_its_ram() {
    // Even with the link's nonce repeated, which 16 random bytes do not do: message 1 is then
    // accepted, as it may be, and what follows is not.
    let (shaken, to_lock, _) = captured();
    let responder = Responder::read(
        &shaken.prologue(),
        &fixture::lock_link(),
        &LinkSecret::from_bytes([0x77; 32]),
        &shaken.message1,
    )
    .expect("the same prologue");
    let mut message2 = [0; MESSAGE_2];
    // The labels are the captured ones, so that every record is looked at.
    let mut rebooted = responder
        .finish(
            &fixture::psk().psk,
            fixture::label(1),
            fixture::label(2),
            &mut message2,
        )
        .unwrap();
    nothing_opens(&mut rebooted, &to_lock);
    let label = Label::from_bytes(&[9; Label::LEN]).unwrap();
    rebooted.offer_next(label);
    nothing_opens(&mut rebooted, &to_lock);
}

#[test]
fn s02_a_captured_answer_convinces_no_hub_that_shakes_hands_anew() {
    let (shaken, ..) = captured();
    let (initiator, message1) = drawbridge_protocol::noise::initiator::Initiator::start(
        &shaken.prologue(),
        &fixture::hub_link(),
        &fixture::lock_link().public(),
        &fixture::psk(),
        &LinkSecret::from_bytes([0x78; 32]),
    )
    .unwrap();
    assert_ne!(message1, shaken.message1);
    assert_eq!(
        initiator.finish(&shaken.message2).unwrap_err(),
        HandshakeError::NotAuthentic
    );
}

#[test]
fn s10_an_impostor_without_the_locks_key_reads_and_proves_nothing() {
    let shaken = fixture::shake();
    let prologue = shaken.prologue();
    let impostor = LinkSecret::from_bytes([0x66; 32]);
    let ephemeral = LinkSecret::from_bytes([0x67; 32]);
    // It cannot even learn who knocks.
    assert_eq!(
        Responder::read(&prologue, &impostor, &ephemeral, &shaken.message1).unwrap_err(),
        HandshakeError::NotAuthentic
    );
    // A hub that was told the impostor's key would notice by the psk.
    let (initiator, message1) = drawbridge_protocol::noise::initiator::Initiator::start(
        &prologue,
        &fixture::hub_link(),
        &impostor.public(),
        &fixture::psk(),
        &LinkSecret::from_bytes([0x34; 32]),
    )
    .unwrap();
    let responder = Responder::read(&prologue, &impostor, &ephemeral, &message1).unwrap();
    let mut message2 = [0; MESSAGE_2];
    responder
        .finish(
            &drawbridge_protocol::keys::Psk::new([0; 32]),
            fixture::label(1),
            fixture::label(2),
            &mut message2,
        )
        .unwrap();
    assert_eq!(
        initiator.finish(&message2).unwrap_err(),
        HandshakeError::NotAuthentic
    );
}
