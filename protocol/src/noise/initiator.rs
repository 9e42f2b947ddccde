//! The hub's and the phone's side of the handshake, on snow.

use std::boxed::Box;
use std::sync::Mutex;

use snow::params::{CipherChoice, DHChoice, HashChoice};
use snow::resolvers::{CryptoResolver, DefaultResolver};
use snow::types::{Cipher, Dh, Hash, Random};
use zeroize::Zeroizing;

use crate::hello::Prologue;
use crate::keys::{LinkKey, LinkSecret, SharedSecret};
use crate::noise::{HandshakeError, MESSAGE_1, MESSAGE_2};
use crate::psk::PskGeneration;
use crate::session::{Label, Role, Session};

/// The pattern, by its full name.
const PATTERN: &str = "Noise_IKpsk2_25519_ChaChaPoly_SHA256";

/// A handshake whose first message was made.
///
/// Send the message that [`Self::start`] returns, then give the answer to [`Self::finish`].
/// **One handshake, one use: after an error start anew with a fresh ephemeral key.**
pub struct Initiator {
    handshake: snow::HandshakeState,
}

impl core::fmt::Debug for Initiator {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Initiator(..)")
    }
}

impl Initiator {
    /// Begins a handshake with `lock` on the given generation of the psk. `ephemeral` must be fresh.
    ///
    /// # Errors
    /// [`HandshakeError`].
    pub fn start(
        prologue: &Prologue,
        local: &LinkSecret,
        lock: &LinkKey,
        psk: &PskGeneration,
        ephemeral: &LinkSecret,
    ) -> Result<(Self, [u8; MESSAGE_1]), HandshakeError> {
        let params = PATTERN.parse().map_err(|_| HandshakeError::Order)?;
        let mut handshake = snow::Builder::with_resolver(params, Box::new(Suite::new(ephemeral)))
            .prologue(prologue.as_bytes())
            .and_then(|builder| builder.local_private_key(local.danger_as_bytes()))
            .and_then(|builder| builder.remote_public_key(&lock.0))
            .and_then(|builder| builder.psk(2, psk.psk.danger_as_bytes()))
            .and_then(snow::Builder::build_initiator)
            .map_err(from_snow)?;
        let mut message = [0; MESSAGE_1];
        let written = handshake
            .write_message(&psk.generation.to_le_bytes(), &mut message)
            .map_err(from_snow)?;
        if written != MESSAGE_1 {
            return Err(HandshakeError::Length);
        }
        Ok((Self { handshake }, message))
    }

    /// Reads message 2 and makes the session.
    ///
    /// # Errors
    /// [`HandshakeError`]; with the psk of another generation, or another code, this is where it
    /// shows: [`HandshakeError::NotAuthentic`].
    pub fn finish(mut self, message: &[u8]) -> Result<Session, HandshakeError> {
        if message.len() != MESSAGE_2 {
            return Err(HandshakeError::Length);
        }
        let mut payload = [0; 2 * Label::LEN];
        let read = self
            .handshake
            .read_message(message, &mut payload)
            .map_err(from_snow)?;
        if read != payload.len() {
            return Err(HandshakeError::Length);
        }
        let (current, next) = payload.split_at(Label::LEN);
        let current = Label::from_bytes(current).ok_or(HandshakeError::Length)?;
        let next = Label::from_bytes(next).ok_or(HandshakeError::Length)?;
        let (to_lock, to_peer) = self.handshake.dangerously_get_raw_split();
        Ok(Session::new(
            Role::Peer,
            SharedSecret::new(to_lock),
            SharedSecret::new(to_peer),
            current,
            next,
        ))
    }
}

fn from_snow(error: snow::Error) -> HandshakeError {
    match error {
        snow::Error::Dh => HandshakeError::WeakKey,
        snow::Error::Decrypt => HandshakeError::NotAuthentic,
        snow::Error::Input => HandshakeError::Length,
        _ => HandshakeError::Order,
    }
}

/// snow's own primitives, but with the ephemeral key handed in and zero results refused.
struct Suite {
    ephemeral: Mutex<Option<Zeroizing<[u8; 32]>>>,
}

impl Suite {
    fn new(ephemeral: &LinkSecret) -> Self {
        Self {
            ephemeral: Mutex::new(Some(Zeroizing::new(*ephemeral.danger_as_bytes()))),
        }
    }
}

impl CryptoResolver for Suite {
    fn resolve_rng(&self) -> Option<Box<dyn Random>> {
        let ephemeral = self.ephemeral.lock().ok()?.take();
        Some(Box::new(Once(ephemeral)))
    }

    fn resolve_dh(&self, choice: &DHChoice) -> Option<Box<dyn Dh>> {
        DefaultResolver
            .resolve_dh(choice)
            .map(|dh| Box::new(Contributory(dh)) as Box<dyn Dh>)
    }

    fn resolve_hash(&self, choice: &HashChoice) -> Option<Box<dyn Hash>> {
        DefaultResolver.resolve_hash(choice)
    }

    fn resolve_cipher(&self, choice: &CipherChoice) -> Option<Box<dyn Cipher>> {
        DefaultResolver.resolve_cipher(choice)
    }
}

/// Yields the ephemeral key once; a second draw is an error, so that it can never be used twice.
struct Once(Option<Zeroizing<[u8; 32]>>);

impl Random for Once {
    fn try_fill_bytes(&mut self, into: &mut [u8]) -> Result<(), snow::Error> {
        let bytes = self.0.take().ok_or(snow::Error::Rng)?;
        if into.len() != bytes.len() {
            return Err(snow::Error::Rng);
        }
        into.copy_from_slice(&*bytes);
        Ok(())
    }
}

/// A Diffie-Hellman that refuses an all-zero result (RFC 7748 section 6.1); snow's does not.
struct Contributory(Box<dyn Dh>);

impl Dh for Contributory {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn pub_len(&self) -> usize {
        self.0.pub_len()
    }

    fn priv_len(&self) -> usize {
        self.0.priv_len()
    }

    fn set(&mut self, secret: &[u8]) {
        self.0.set(secret);
    }

    fn generate(&mut self, rng: &mut dyn Random) -> Result<(), snow::Error> {
        self.0.generate(rng)
    }

    fn pubkey(&self) -> &[u8] {
        self.0.pubkey()
    }

    fn privkey(&self) -> &[u8] {
        self.0.privkey()
    }

    fn dh(&self, public: &[u8], out: &mut [u8]) -> Result<(), snow::Error> {
        self.0.dh(public, out)?;
        let zero = out.iter().fold(0, |all, byte| all | byte) == 0;
        if zero { Err(snow::Error::Dh) } else { Ok(()) }
    }

    fn dh_len(&self) -> usize {
        self.0.dh_len()
    }
}
