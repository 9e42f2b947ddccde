//! A man in the middle who knows the protocol: what he changes is always well framed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use drawbridge_support::air_proxy::{AirProxy, Frame, Step, Toward, packet_frame};

/// What he does to one packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Deed {
    /// Turns this bit (counted from behind the fragment's header) around.
    Flip(usize),
    /// Sends it not.
    Drop,
    /// Sends it twice.
    Twice,
    /// Sends it after the one that follows.
    Swap,
    /// Sends the longest packet of earlier links before it.
    Replay,
}

/// Everything that passed, in order.
pub(super) type Heard = Arc<Mutex<Vec<(u64, Toward, Vec<u8>)>>>;

/// Header of a fragment: its sequence number, and what is not.
const SEQUENCE: u8 = 0x3f;
const FLAGS: u8 = 0xc0;

/// Writes down all packets and changes none.
pub(super) fn listen(relay: &AirProxy) -> Heard {
    let heard = Heard::default();
    let mine = Arc::clone(&heard);
    relay.set(move |frame: Frame<'_>| {
        if let Some(packet) = frame.packet() {
            let mut heard = mine.lock().unwrap();
            heard.push((frame.link, frame.toward, packet.to_vec()));
        }
        vec![Step::Send(frame.bytes.to_vec())]
    });
    heard
}

/// Does `deed` to packet number `at` (from 0), going `toward`, of the next link that lives to see
/// it. Answers on which link it was done, once it was. Fragments are numbered anew after it, so
/// that only what is inside can give him away.
pub(super) fn meddle(
    relay: &AirProxy,
    deed: Deed,
    toward: Toward,
    at: usize,
    old: &Heard,
) -> Arc<Mutex<Option<u64>>> {
    let done = Arc::new(Mutex::new(None));
    let mine = Arc::clone(&done);
    let longest = old.lock().unwrap();
    let longest = longest.iter().filter(|(_, way, _)| *way == toward);
    let longest = longest.max_by_key(|(_, _, packet)| packet.len());
    let longest = longest.map(|(_, _, packet)| packet.clone());
    let (mut link, mut count, mut held) = (None, 0, None);
    let mut numbers: BTreeMap<Toward, u8> = BTreeMap::new();
    relay.set(move |frame: Frame<'_>| {
        if frame.asks_for_link() && mine.lock().unwrap().is_none() {
            (link, count, held) = (Some(frame.link), 0, None);
            numbers.clear();
        }
        let Some(packet) = frame.packet().filter(|_| link == Some(frame.link)) else {
            return vec![Step::Send(frame.bytes.to_vec())];
        };
        let packet = packet.to_vec();
        let mut out = Vec::new();
        if frame.toward == toward {
            if count == at {
                *mine.lock().unwrap() = Some(frame.link);
                match deed {
                    Deed::Flip(bit) => {
                        let mut packet = packet;
                        let bit = 8 + bit % (8 * (packet.len() - 1));
                        packet[bit / 8] ^= 1 << (bit % 8);
                        out.push(packet);
                    }
                    Deed::Drop => {}
                    Deed::Twice => out.extend([packet.clone(), packet]),
                    Deed::Swap => held = Some(packet),
                    Deed::Replay => out.extend(longest.clone().into_iter().chain([packet])),
                }
            } else {
                out.push(packet);
                out.extend(held.take());
            }
            count += 1;
        } else {
            out.push(packet);
        }
        let next = numbers.entry(frame.toward).or_default();
        let numbered = out.into_iter().map(|mut packet| {
            packet[0] = (packet[0] & FLAGS) | (*next & SEQUENCE);
            *next = next.wrapping_add(1);
            Step::Send(packet_frame(&packet))
        });
        numbered.collect()
    });
    done
}

/// The messages in packets of one link and direction, put together again.
pub(super) fn messages(packets: &[(u64, Toward, Vec<u8>)], link: u64, way: Toward) -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> = Vec::new();
    for (of, toward, packet) in packets {
        if (*of, *toward) != (link, way) {
            continue;
        }
        match packet.as_slice() {
            [header, _, _, rest @ ..] if header & 0x80 != 0 => all.push(rest.to_vec()),
            [_, rest @ ..] => all.last_mut().unwrap().extend(rest),
            [] => {}
        }
    }
    all
}
