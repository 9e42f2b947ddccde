//! The simulated lock against an independent Bluetooth host and controller, see `tests/direct_peer`.
