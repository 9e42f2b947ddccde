//! The BlueZ radio on a bus of its own, with a bluetoothd that the test plays: everything about its
//! lives, its silence and its adapters. Real radio is the bench's.

mod bus;
mod fake;
mod links;
mod lives;
mod world;
