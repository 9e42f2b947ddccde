//! A lock on a table: the real core, a flash that can lose power, a bolt made of two lines, and an
//! initiator with the real handshake. Time is a number.

mod home;
mod owned;
mod peer;

pub(crate) use home::{Home, PACKET, Seeded};
pub(crate) use owned::{Owned, claim_of, sign};
pub(crate) use peer::{Peer, messages_in, outcome, refusal, renumbered};
