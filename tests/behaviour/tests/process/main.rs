//! The daemon as a process among others: killed, starved, short of descriptors, with a clock that
//! jumps, on a damaged disk, fed with nonsense. Real `drawbridged`, real mosquitto with mutual TLS,
//! simulated locks; every fault is made from outside, by the system's own means.

mod auditor;
mod clock;
mod daemon;
mod damaged_store;
mod dice;
mod home;
mod killed;
mod limits;
mod malformed;
mod owner;
mod sender;
