//! The line between a hub and its broker under fire: real processes (Debian's mosquitto over mutual
//! TLS, `drawbridged`, simulated locks, the command line), a proxy that treats their bytes as
//! networks do, and a broker that says what no lawful broker says.

mod broker_away;
mod broker_restarts;
mod flapping;
mod flood;
mod forgotten_session;
mod half_open;
mod home;
mod livelock;
mod narrow_broker;
