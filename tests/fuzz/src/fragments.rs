//! Fragments of messages that are cut, dropped, repeated, reordered and changed on their way.

use drawbridge_protocol::frame::{Fragmenter, MIN_PACKET, Reassembler};
use drawbridge_protocol::link_message::MAX_LINK_MESSAGE;

use crate::input::{Input, damage};

/// A reassembler yields messages as they were sent and in their order, or says no; a refusal changes
/// nothing; and no message is over its bound.
///
/// # Panics
/// When one of that does not hold.
pub fn fragments(data: &[u8]) {
    let mut input = Input::new(data);
    if input.byte() % 2 == 1 {
        return raw(input);
    }
    let packet = MIN_PACKET + input.below(231);
    let mut fragmenter = Fragmenter::new();
    let (mut messages, mut pieces) = (Vec::new(), Vec::new());
    for _ in 0..=input.below(4) {
        let fill = input.byte();
        let message = vec![fill; usize::from(input.short()) % (MAX_LINK_MESSAGE + 2)];
        let sendable = (1..=MAX_LINK_MESSAGE).contains(&message.len());
        let cut = fragmenter.cut(&message, &mut [0; 256], packet, |piece| {
            assert!(!piece.is_empty() && piece.len() <= packet);
            pieces.push(piece.to_vec());
        });
        assert_eq!(cut.is_ok(), sendable);
        if sendable {
            messages.push(message);
        }
    }
    // First as they are: then everything arrives.
    let mut reassembler = Reassembler::new();
    let arrived: Vec<Vec<u8>> = pieces
        .iter()
        .filter_map(|piece| {
            reassembler
                .push(piece)
                .expect("in order")
                .map(<[u8]>::to_vec)
        })
        .collect();
    assert_eq!(arrived, messages);
    meddle(input, &messages, &pieces);
}

/// The way meddles with the order; payloads stay, so that only whole messages may come out.
fn meddle(mut input: Input<'_>, messages: &[Vec<u8>], pieces: &[Vec<u8>]) {
    let mut reassembler = Reassembler::new();
    let (mut at, mut came) = (0, Vec::new());
    while at < pieces.len() && !input.is_empty() {
        let piece = match input.byte() % 4 {
            0 => {
                at += 1;
                &pieces[at - 1]
            }
            1 => &pieces[at],
            2 => {
                at += 1;
                continue;
            }
            _ => &pieces[input.below(pieces.len())],
        };
        match reassembler
            .push(piece)
            .map(|message| message.map(<[u8]>::to_vec))
        {
            Ok(Some(message)) => came.push(message),
            Ok(None) => {}
            Err(_) => refused_changes_nothing(&reassembler, pieces),
        }
    }
    assert!(came.iter().all(|message| message.len() <= MAX_LINK_MESSAGE));
    // Below 64 fragments no number comes twice: what arrives is the sent messages, none made up.
    if pieces.len() < 64 {
        let mut rest = messages.iter();
        for message in &came {
            assert!(rest.any(|sent| sent == message), "made up or out of order");
        }
    }
}

/// Two copies of one state take every fragment alike, before and after a refusal.
fn refused_changes_nothing(reassembler: &Reassembler, pieces: &[Vec<u8>]) {
    for piece in pieces {
        let (mut one, mut two) = (reassembler.clone(), reassembler.clone());
        let refused = two.push(&[0x40]);
        assert!(refused.is_err());
        assert_eq!(one.push(piece), two.push(piece));
    }
}

/// Fragments that nobody cut.
fn raw(mut input: Input<'_>) {
    let mut reassembler = Reassembler::new();
    let mut last = Vec::new();
    while !input.is_empty() {
        let mut piece = match input.byte() % 2 {
            0 => input.chunk().to_vec(),
            _ => last.clone(),
        };
        damage(&mut piece, &mut input);
        if let Ok(Some(message)) = reassembler.push(&piece) {
            assert!((1..=MAX_LINK_MESSAGE).contains(&message.len()));
        }
        last = piece;
    }
}
