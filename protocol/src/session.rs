//! The record layer: what a finished handshake leaves behind, on either side, without a clock.

use core::fmt;

use chacha20poly1305::{AeadInOut, ChaCha20Poly1305, KeyInit};

use crate::entropy::Entropy;
use crate::keys::SharedSecret;
use crate::link_message::{MAX_PLAINTEXT, RECORD_HEADER};

/// Records one direction of a session may carry before a new handshake is due.
pub const MAX_RECORDS: u64 = 65_536;

/// How long a session may live before a new handshake is due, in milliseconds (12 h).
pub const MAX_AGE_MS: u64 = 12 * 60 * 60 * 1_000;

/// Size of the AEAD's tag, in bytes.
const TAG: usize = 16;

/// Under what name a session travels on one link: a random id, and one random offset per direction
/// that is added to the record counter, so that neither ids nor numbers follow a lock around.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Label {
    /// The id, the same in both directions.
    pub id: [u8; 8],
    /// Added to the counter of records to the lock.
    pub to_lock: u64,
    /// Added to the counter of records to the peer.
    pub to_peer: u64,
}

impl Label {
    /// Size of the encoded label, in bytes.
    pub const LEN: usize = 24;

    /// A fresh one.
    pub fn generate(entropy: &mut impl Entropy) -> Self {
        Self {
            id: entropy.bytes(),
            to_lock: u64::from_le_bytes(entropy.bytes()),
            to_peer: u64::from_le_bytes(entropy.bytes()),
        }
    }

    /// Id, then both offsets, little-endian.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        let fields = [
            self.id,
            self.to_lock.to_le_bytes(),
            self.to_peer.to_le_bytes(),
        ];
        for (to, from) in bytes.iter_mut().zip(fields.iter().flatten()) {
            *to = *from;
        }
        bytes
    }

    /// Reads what [`Self::to_bytes`] wrote.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (id, rest) = bytes.split_first_chunk::<8>()?;
        let (to_lock, rest) = rest.split_first_chunk::<8>()?;
        let to_peer = rest.try_into().ok()?;
        Some(Self {
            id: *id,
            to_lock: u64::from_le_bytes(*to_lock),
            to_peer: u64::from_le_bytes(to_peer),
        })
    }
}

/// Which end of a session this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Hub, phone or guest: began the handshake.
    Peer,
    /// The lock.
    Lock,
}

/// Why a record was not sealed or not opened. Nothing has changed then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SessionError {
    /// Not a record, or one of another session.
    NotMine,
    /// Not authentic.
    NotAuthentic,
    /// Authentic, but not newer than what was received before: a replay.
    Replayed,
    /// This direction has carried [`MAX_RECORDS`]; shake hands anew.
    Exhausted,
    /// The plaintext is over [`MAX_PLAINTEXT`], or the output too small.
    TooLong,
}

impl fmt::Display for SessionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotMine => "recognise the session of a record",
            Self::NotAuthentic => "authenticate a record",
            Self::Replayed => "accept a record a second time",
            Self::Exhausted => "number another record in this session",
            Self::TooLong => "fit a record into its bound",
        })
    }
}

impl core::error::Error for SessionError {}

/// An authentic record, opened.
#[derive(Debug, PartialEq, Eq)]
pub struct Opened<'o> {
    /// What it says.
    pub plaintext: &'o [u8],
    /// Whether it came under the label that was handed over for the next link: the session has
    /// moved to the link that this record arrived on.
    pub moved: bool,
}

/// A session: two keys, two counters, the label of its link and the one for the next link.
///
/// Order of use: [`Self::seal`] and [`Self::open`] at will; the lock hands a fresh label over with
/// [`Self::offer_next`], the peer stores it with [`Self::store_next`] and moves with
/// [`Self::resume`] when its link is gone. **A nonce is never used twice: the counter of a
/// direction is advanced before it seals, and nothing resets it.** Lives in RAM only.
#[derive(Debug)]
pub struct Session {
    role: Role,
    sealing: SharedSecret<32>,
    opening: SharedSecret<32>,
    /// Records sealed so far; also the next counter.
    sealed: u64,
    /// The lowest counter that is still acceptable.
    floor: u64,
    current: Label,
    next: Option<Label>,
}

impl Session {
    /// From the keys of a finished handshake.
    #[must_use]
    pub fn new(
        role: Role,
        to_lock: SharedSecret<32>,
        to_peer: SharedSecret<32>,
        current: Label,
        next: Label,
    ) -> Self {
        let (sealing, opening) = match role {
            Role::Peer => (to_lock, to_peer),
            Role::Lock => (to_peer, to_lock),
        };
        Self {
            role,
            sealing,
            opening,
            sealed: 0,
            floor: 0,
            current,
            next: Some(next),
        }
    }

    /// Whether `record` carries an id of this session. Says nothing about authenticity.
    #[must_use]
    pub fn is_addressed_by(&self, record: &[u8]) -> bool {
        self.label_of(record).is_some()
    }

    /// Records sealed so far.
    #[must_use]
    pub const fn records_sealed(&self) -> u64 {
        self.sealed
    }

    /// Whether a label for another link is at hand.
    #[must_use]
    pub const fn can_resume(&self) -> bool {
        self.next.is_some() && self.sealed < MAX_RECORDS
    }

    /// Seals `plaintext` into a record at the start of `out`.
    ///
    /// # Errors
    /// [`SessionError::Exhausted`] or [`SessionError::TooLong`].
    pub fn seal<'o>(
        &mut self,
        plaintext: &[u8],
        out: &'o mut [u8],
    ) -> Result<&'o [u8], SessionError> {
        let len = RECORD_HEADER + plaintext.len() + TAG;
        let out = out.get_mut(..len).ok_or(SessionError::TooLong)?;
        if plaintext.len() > MAX_PLAINTEXT {
            return Err(SessionError::TooLong);
        }
        let counter = self.sealed;
        if counter >= MAX_RECORDS {
            return Err(SessionError::Exhausted);
        }
        self.sealed += 1;

        let number = counter.wrapping_add(self.outgoing_offset()).to_le_bytes();
        let (header, body) = out.split_at_mut(RECORD_HEADER);
        for (to, from) in header.iter_mut().zip(self.current.id.iter().chain(&number)) {
            *to = *from;
        }
        let (text, tag) = body.split_at_mut(plaintext.len());
        text.copy_from_slice(plaintext);
        let made = cipher(&self.sealing)
            .encrypt_inout_detached(&nonce(counter).into(), header, text.into())
            .map_err(|_| SessionError::TooLong)?;
        tag.copy_from_slice(&made);
        Ok(out)
    }

    /// Opens `record` into the start of `out`. A failure changes nothing.
    ///
    /// # Errors
    /// [`SessionError`].
    pub fn open<'o>(
        &mut self,
        record: &[u8],
        out: &'o mut [u8],
    ) -> Result<Opened<'o>, SessionError> {
        let (label, is_next) = self.label_of(record).ok_or(SessionError::NotMine)?;
        let (header, body) = record
            .split_at_checked(RECORD_HEADER)
            .ok_or(SessionError::NotMine)?;
        let text_len = body.len().checked_sub(TAG).ok_or(SessionError::NotMine)?;
        let (sealed_text, tag) = body
            .split_at_checked(text_len)
            .ok_or(SessionError::NotMine)?;
        let number = header.last_chunk::<8>().ok_or(SessionError::NotMine)?;
        let offset = if self.role == Role::Peer {
            label.to_peer
        } else {
            label.to_lock
        };
        let counter = u64::from_le_bytes(*number).wrapping_sub(offset);
        if counter >= MAX_RECORDS {
            return Err(SessionError::NotAuthentic);
        }
        let text = out.get_mut(..text_len).ok_or(SessionError::TooLong)?;
        text.copy_from_slice(sealed_text);
        let tag = tag.try_into().map_err(|_| SessionError::NotMine)?;
        let authentic = cipher(&self.opening).decrypt_inout_detached(
            &nonce(counter).into(),
            header,
            (&mut *text).into(),
            tag,
        );
        if authentic.is_err() {
            return Err(SessionError::NotAuthentic);
        }
        if counter < self.floor {
            text.fill(0);
            return Err(SessionError::Replayed);
        }
        self.floor = counter + 1;
        if is_next {
            self.current = label;
            self.next = None;
        }
        Ok(Opened {
            plaintext: text,
            moved: is_next,
        })
    }

    /// The lock's side: keeps a fresh label for the peer's next link and returns it for sending.
    pub fn offer_next(&mut self, label: Label) -> [u8; Label::LEN] {
        self.next = Some(label);
        label.to_bytes()
    }

    /// The peer's side: keeps the label that the lock handed over.
    pub fn store_next(&mut self, label: Label) {
        self.next = Some(label);
    }

    /// The peer's side: moves to a new link under the kept label. Without one, or with this
    /// direction exhausted, answers `false`: shake hands anew.
    pub fn resume(&mut self) -> bool {
        if !self.can_resume() {
            return false;
        }
        match self.next.take() {
            Some(label) => {
                self.current = label;
                true
            }
            None => false,
        }
    }

    fn outgoing_offset(&self) -> u64 {
        if self.role == Role::Peer {
            self.current.to_lock
        } else {
            self.current.to_peer
        }
    }

    /// The label that a record came under, and whether it is the next link's. Only the lock
    /// accepts the next one: it is the peer that moves.
    fn label_of(&self, record: &[u8]) -> Option<(Label, bool)> {
        let id = record.first_chunk::<8>()?;
        if *id == self.current.id {
            return Some((self.current, false));
        }
        self.next
            .filter(|next| self.role == Role::Lock && *id == next.id)
            .map(|next| (next, true))
    }
}

fn cipher(key: &SharedSecret<32>) -> ChaCha20Poly1305 {
    ChaCha20Poly1305::new(key.danger_as_bytes().into())
}

/// Noise's nonce for ChaChaPoly: 4 zero bytes, then the counter, little-endian.
fn nonce(counter: u64) -> [u8; 12] {
    let mut nonce = [0; 12];
    for (to, from) in nonce.iter_mut().skip(4).zip(counter.to_le_bytes()) {
        *to = from;
    }
    nonce
}
