//! What can happen to a message on its way.

use crate::dice::Dice;

/// How messages are spoilt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mangle {
    /// They are lost.
    Drop,
    /// They come twice.
    Duplicate,
    /// They come after later ones.
    Reorder,
    /// They come much later.
    Delay,
    /// They are cut off.
    Truncate,
    /// Some of their bits are wrong.
    Flip,
}

/// What is left of a message: how much later each copy comes, milliseconds, and its bytes.
pub(crate) type Copies = Vec<(u64, Vec<u8>)>;

impl Mangle {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Drop,
        Self::Duplicate,
        Self::Reorder,
        Self::Delay,
        Self::Truncate,
        Self::Flip,
    ];

    /// Whether whoever keeps to the protocol on a reliable connection may still do it.
    #[must_use]
    pub const fn keeps_bytes(self) -> bool {
        matches!(self, Self::Duplicate | Self::Reorder | Self::Delay)
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Drop => "drop",
            Self::Duplicate => "duplicate",
            Self::Reorder => "reorder",
            Self::Delay => "delay",
            Self::Truncate => "truncate",
            Self::Flip => "flip",
        }
    }

    /// What becomes of a message. `longest_ms` bounds delays.
    pub(crate) fn spoil(self, bytes: &[u8], longest_ms: u64, dice: &mut Dice) -> Copies {
        let whole = bytes.to_vec();
        match self {
            Self::Drop => Vec::new(),
            Self::Duplicate => vec![(0, whole.clone()), (dice.below(longest_ms / 10), whole)],
            Self::Reorder => vec![(dice.between(1, longest_ms / 20 + 2), whole)],
            Self::Delay => vec![(dice.between(longest_ms / 20, longest_ms), whole)],
            Self::Truncate => {
                let len = dice.below(bytes.len() as u64) as usize;
                vec![(0, bytes[..len].to_vec())]
            }
            Self::Flip => {
                let mut flipped = whole;
                for _ in 0..1 + dice.below(3) {
                    let bit = dice.below(flipped.len() as u64 * 8) as usize;
                    if let Some(byte) = flipped.get_mut(bit / 8) {
                        *byte ^= 1 << (bit % 8);
                    }
                }
                vec![(0, flipped)]
            }
        }
    }
}
