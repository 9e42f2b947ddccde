//! A door with the real lock core, a hub's end of its link, and an owner.

mod door;
mod owned;
mod peer;

pub(crate) use door::{Chip, Door, PACKET};
pub(crate) use owned::{Owned, command, sign, signed};
pub(crate) use peer::Peer;
