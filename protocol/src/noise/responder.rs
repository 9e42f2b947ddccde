//! The lock's side of the handshake, on clatter.

use clatter::KeyPair;
use clatter::NqHandshakeCore;
use clatter::bytearray::SensitiveByteArray;
use clatter::handshakepattern::noise_ik_psk2;
use clatter::traits::Handshaker;

use crate::hello::Prologue;
use crate::keys::{LinkKey, LinkSecret, Psk, SharedSecret};
use crate::noise::suite::{ChaChaPoly, NeverDrawn, Sha256, X25519};
use crate::noise::{HandshakeError, MESSAGE_1, MESSAGE_2};
use crate::psk::Generation;
use crate::session::{Label, Role, Session};

type Handshake = NqHandshakeCore<X25519, ChaChaPoly, Sha256, NeverDrawn>;

/// A handshake whose first message was read and authenticated.
///
/// Read message 1 with [`Self::read`], look up the peer and its psk, then [`Self::finish`].
/// **Message 1 proves nothing yet and must cause nothing:** only the first record of the session
/// shows that the peer knows the psk and is here now.
pub struct Responder {
    handshake: Handshake,
    /// The static key that the peer named.
    pub peer: LinkKey,
    /// Which generation of the pre-shared key it wants to use.
    pub generation: Generation,
}

impl core::fmt::Debug for Responder {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Responder(to {})", self.peer)
    }
}

impl Responder {
    /// Reads message 1. `ephemeral` must be fresh.
    ///
    /// # Errors
    /// [`HandshakeError`].
    pub fn read(
        prologue: &Prologue,
        lock: &LinkSecret,
        ephemeral: &LinkSecret,
        message: &[u8],
    ) -> Result<Self, HandshakeError> {
        // clatter panics above 65,535 bytes; nothing but the one right size gets there.
        if message.len() != MESSAGE_1 {
            return Err(HandshakeError::Length);
        }
        let mut handshake = Handshake::new(
            noise_ik_psk2(),
            prologue.as_bytes(),
            false,
            Some(key_pair(lock)),
            Some(key_pair(ephemeral)),
            None,
            None,
        )
        .map_err(|_| HandshakeError::Order)?;
        let mut payload = [0; 4];
        let read = handshake
            .read_message(message, &mut payload)
            .map_err(from_clatter)?;
        let peer = handshake
            .get_remote_static()
            .map(LinkKey)
            .ok_or(HandshakeError::Order)?;
        if read != payload.len() {
            return Err(HandshakeError::Length);
        }
        Ok(Self {
            handshake,
            peer,
            generation: u32::from_le_bytes(payload),
        })
    }

    /// Writes message 2 and makes the session, labelled `current` on this link and `next` on the
    /// peer's next one.
    ///
    /// # Errors
    /// [`HandshakeError`].
    pub fn finish(
        mut self,
        psk: &Psk,
        current: Label,
        next: Label,
        message: &mut [u8; MESSAGE_2],
    ) -> Result<Session, HandshakeError> {
        self.handshake.push_psk(psk.danger_as_bytes());
        let mut payload = [0; 2 * Label::LEN];
        let labels = [current.to_bytes(), next.to_bytes()];
        for (to, from) in payload.iter_mut().zip(labels.iter().flatten()) {
            *to = *from;
        }
        let written = self
            .handshake
            .write_message(&payload, message)
            .map_err(from_clatter)?;
        if written != MESSAGE_2 {
            return Err(HandshakeError::Length);
        }
        let keys = self
            .handshake
            .finalize()
            .map_err(|_| HandshakeError::Order)?
            .take();
        let (to_lock, _) = keys.initiator_to_responder.take();
        let (to_peer, _) = keys.responder_to_initiator.take();
        Ok(Session::new(
            Role::Lock,
            SharedSecret::new(*to_lock),
            SharedSecret::new(*to_peer),
            current,
            next,
        ))
    }
}

fn key_pair(secret: &LinkSecret) -> KeyPair<[u8; 32], SensitiveByteArray<[u8; 32]>> {
    KeyPair {
        public: secret.public().0,
        secret: SensitiveByteArray::new(*secret.danger_as_bytes()),
    }
}

fn from_clatter(error: clatter::error::HandshakeError) -> HandshakeError {
    match error {
        clatter::error::HandshakeError::Dh(_) => HandshakeError::WeakKey,
        clatter::error::HandshakeError::InvalidMessage
        | clatter::error::HandshakeError::BufferTooSmall => HandshakeError::Length,
        clatter::error::HandshakeError::Cipher(_) => HandshakeError::NotAuthentic,
        _ => HandshakeError::Order,
    }
}
