//! L2CAP's signals, as bytes: one well-formed command a frame.

use super::frames::Verdict;

/// Smallest MTU and MPS that the standard allows for a channel on LE. Below, the host panics.
const MIN_SIZE: u16 = 23;
/// First channel that can be made.
pub(super) const FIRST_CHANNEL: u16 = 0x40;

const COMMAND_REJECT: u8 = 0x01;
const DISCONNECTION_REQUEST: u8 = 0x06;
const DISCONNECTION_RESPONSE: u8 = 0x07;
const PARAMETER_REQUEST: u8 = 0x12;
const PARAMETER_RESPONSE: u8 = 0x13;
const CHANNEL_REQUEST: u8 = 0x14;
const CHANNEL_RESPONSE: u8 = 0x15;
const CREDITS: u8 = 0x16;

/// What a signal from the peer is about.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Signal {
    /// Nothing that concerns a channel that is there.
    Pass,
    /// The peer asks for a channel and takes units of so many bytes on it.
    Asks { mtu: u16 },
    /// The peer ends the channel that this lock calls so.
    Ends { own: u16 },
    /// The peer agrees that the channel that this lock calls so has ended.
    Ended { own: u16 },
}

/// What a signal from this lock is about.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Sent {
    Opened { own: u16, credits: u16 },
    Credits { own: u16, credits: u16 },
    Ends { own: u16 },
    Other,
}

/// Reads a signal from the peer.
///
/// # Errors
/// The verdict on one that is malformed or of no use.
pub(super) fn from_peer(frame: &[u8]) -> Result<Signal, Verdict> {
    let (code, body) = split(frame).ok_or(Verdict::End)?;
    match (code, words(body).as_ref()) {
        (DISCONNECTION_REQUEST, Some(&[own, _, 0, 0, 0])) if body.len() == 4 => {
            Ok(Signal::Ends { own })
        }
        (DISCONNECTION_RESPONSE, Some(&[_, own, 0, 0, 0])) if body.len() == 4 => {
            Ok(Signal::Ended { own })
        }
        (CHANNEL_REQUEST, Some(&[_, theirs, mtu, mps, _])) if body.len() == 10 => {
            let good = mtu >= MIN_SIZE && mps >= MIN_SIZE && theirs >= FIRST_CHANNEL;
            good.then_some(Signal::Asks { mtu }).ok_or(Verdict::End)
        }
        // This lock asks for no channel.
        (CHANNEL_RESPONSE, _) => Err(Verdict::Drop),
        (CREDITS, Some(&[_, credits, ..])) if body.len() == 4 && credits > 0 => Ok(Signal::Pass),
        (COMMAND_REJECT, _) if body.len() >= 2 => Ok(Signal::Pass),
        (PARAMETER_REQUEST, _) if body.len() == 8 => Ok(Signal::Pass),
        (PARAMETER_RESPONSE, _) if body.len() == 2 => Ok(Signal::Pass),
        (
            DISCONNECTION_REQUEST
            | DISCONNECTION_RESPONSE
            | CHANNEL_REQUEST
            | CREDITS
            | COMMAND_REJECT
            | PARAMETER_REQUEST
            | PARAMETER_RESPONSE,
            _,
        ) => Err(Verdict::End),
        // Unknown to the host too, which says so to the peer.
        _ => Ok(Signal::Pass),
    }
}

/// Reads a signal from this lock's host.
pub(super) fn from_host(frame: &[u8]) -> Sent {
    let Some((code, body)) = split(frame) else {
        return Sent::Other;
    };
    match (code, words(body)) {
        (CHANNEL_RESPONSE, Some([own, _, _, credits, 0])) => Sent::Opened { own, credits },
        (CREDITS, Some([own, credits, ..])) => Sent::Credits { own, credits },
        (DISCONNECTION_REQUEST, Some([_, own, ..])) => Sent::Ends { own },
        _ => Sent::Other,
    }
}

/// The one command of a frame: its code and its body.
fn split(frame: &[u8]) -> Option<(u8, &[u8])> {
    let ([code, identifier, low, high], body) = frame.split_first_chunk::<4>()?;
    let len = usize::from(u16::from_le_bytes([*low, *high]));
    (*identifier != 0 && body.len() == len).then_some((*code, body))
}

/// Up to five little-endian words, the missing ones zero.
fn words(body: &[u8]) -> Option<[u16; 5]> {
    let mut words = [0; 5];
    let mut pairs = body.chunks_exact(2);
    for (word, pair) in words.iter_mut().zip(pairs.by_ref()) {
        *word = u16::from_le_bytes(pair.try_into().ok()?);
    }
    pairs.remainder().is_empty().then_some(words)
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;

    pub(super) fn signal(code: u8, words: &[u16]) -> Vec<u8> {
        let body: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        let mut frame = std::vec![code, 1, body.len() as u8, 0];
        frame.extend(body);
        frame
    }

    /// S13. Guards: a channel with an MTU of 2, which panics the host when it cuts its first frame.
    #[test]
    fn s13_channel_below_the_smallest_mtu_or_mps_ends_the_link() {
        let open = |mtu, mps| from_peer(&signal(CHANNEL_REQUEST, &[0x88, 0x40, mtu, mps, 1]));
        assert_eq!(open(23, 23), Ok(Signal::Asks { mtu: 23 }));
        for (mtu, mps) in [(0, 23), (2, 23), (22, 23), (23, 0), (23, 22)] {
            assert_eq!(open(mtu, mps), Err(Verdict::End), "{mtu} {mps}");
        }
        let fixed = signal(CHANNEL_REQUEST, &[0x88, 0x3f, 23, 23, 1]);
        assert_eq!(from_peer(&fixed), Err(Verdict::End));
    }

    /// S13. Guards: signals cut short, stuffed or of the wrong length for their code.
    #[test]
    fn s13_signals_of_the_wrong_length_end_the_link() {
        let whole = signal(DISCONNECTION_REQUEST, &[0x40, 0x50]);
        assert_eq!(from_peer(&whole), Ok(Signal::Ends { own: 0x40 }));
        for len in 0..whole.len() {
            assert_eq!(from_peer(&whole[..len]), Err(Verdict::End), "{len}");
        }
        let twice: Vec<u8> = whole.iter().chain(&whole).copied().collect();
        assert_eq!(from_peer(&twice), Err(Verdict::End));
        for code in [1, 6, 7, 0x12, 0x13, 0x14, 0x16] {
            assert_eq!(from_peer(&[code, 1, 1, 0, 9]), Err(Verdict::End), "{code}");
        }
        let mut unnamed = whole;
        unnamed[1] = 0;
        assert_eq!(from_peer(&unnamed), Err(Verdict::End));
    }

    /// Guards: an answer to a request that this lock never made, which the host would look up.
    #[test]
    fn channel_response_is_dropped() {
        let frame = signal(CHANNEL_RESPONSE, &[0x40, 2, 2, 1, 0]);
        assert_eq!(from_peer(&frame), Err(Verdict::Drop));
    }
}
