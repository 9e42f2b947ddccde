//! Where messages end among the fragments of one direction of a link.

/// First bit of a fragment that begins a message (`drawbridge_protocol::frame`).
const FIRST_FRAGMENT: u8 = 0x80;
/// A fragment's header, in bytes.
const HEADER: usize = 1;
/// The length of its message, in bytes of a first fragment.
const LENGTH: usize = 2;

/// Counts the bytes that are missing of the present message.
///
/// Contract: tell it each fragment once, in order, to [`is_at_end`](Self::is_at_end). **It reads headers and lengths
/// only**: whether the fragments are right is for the two ends to judge.
#[derive(Debug, Default)]
pub struct MessageEnds {
    missing: usize,
}

impl MessageEnds {
    /// Takes a fragment; answers whether its message is complete with it.
    pub fn is_at_end(&mut self, fragment: &[u8]) -> bool {
        let begins = fragment
            .first()
            .is_some_and(|head| head & FIRST_FRAGMENT != 0);
        let carried = match fragment {
            [_, low, high, ..] if begins => {
                self.missing = usize::from(u16::from_le_bytes([*low, *high]));
                fragment.len() - HEADER - LENGTH
            }
            _ => fragment.len().saturating_sub(HEADER),
        };
        let before = self.missing;
        self.missing = before.saturating_sub(carried);
        before > 0 && self.missing == 0
    }
}

#[cfg(test)]
mod tests {
    use drawbridge_protocol::frame::Fragmenter;

    use super::*;

    /// Guards: a link that is cut in the middle of a message where a test believes it is between two.
    #[test]
    fn each_message_has_one_end_and_it_is_its_last_fragment() {
        let (mut ends, mut cutter) = (MessageEnds::default(), Fragmenter::new());
        for length in [1, 17, 18, 37, 200] {
            let (message, mut scratch) = (vec![7; length], [0; 20]);
            let mut told = Vec::new();
            cutter
                .cut(&message, &mut scratch, 20, |fragment| {
                    told.push(ends.is_at_end(fragment));
                })
                .unwrap();
            let last = told.pop();
            assert_eq!(last, Some(true), "{length}");
            assert!(told.iter().all(|end| !end), "{length}: {told:?}");
        }
    }

    #[test]
    fn fragments_of_no_message_end_none() {
        let mut ends = MessageEnds::default();
        for fragment in [&[][..], &[0x80], &[0x80, 0], &[1, 2, 3], &[0x80, 0, 0]] {
            assert!(!ends.is_at_end(fragment), "{fragment:?}");
        }
    }
}
