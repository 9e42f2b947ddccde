//! The hub's core against a lock double, a fake disk, a fake broker and a fake clock.

mod audit;
mod broker_away;
mod clock;
mod commands;
mod crash;
mod disk;
mod edge;
mod intake;
mod links;
mod lock_double;
mod locks;
mod pairing;
mod refused;
mod seeded;
mod world;
