//! What the protocol promises, each promise as a test; `PROTOCOL.md` is the text.

mod downgrade;
mod examples;
mod fixture;
mod handshake_interop;
mod hostile_bytes;
mod kinds;
mod lane;
mod log_chain;
mod noise_pins;
mod noise_vectors;
mod oddities;
mod psk_cut;
mod qr_text;
mod replay;
mod secrets;
mod session_interleavings;
mod spec_examples;
mod strict_cbor;
mod versioning;
