//! A whole household of real processes: Debian's mosquitto with mutual TLS and the shipped access
//! list, `drawbridged`, simulated locks, `drawbridge`, and mosquitto's own clients as the foreign
//! app. Nothing in these tests reaches into a process: what is checked is what a user, a script or
//! an attacker could see.

mod bad_input;
mod bad_tls;
mod control_user;
mod first_look;
mod foreign_app;
mod home;
mod hub_killed;
mod in_the_middle;
mod link_cut;
mod names;
mod paired_again;
mod pairing_refused;
mod power_lost;
mod secrets;
mod service;
