//! S09, S10, S11: somebody between hub and lock, in the place of the lock, or far from both.

mod delayed;
mod impostor;
mod meddler;
mod tampering;
