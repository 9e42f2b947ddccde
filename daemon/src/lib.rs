//! drawbridge-daemon.
