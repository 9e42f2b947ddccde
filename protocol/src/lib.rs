//! drawbridge-protocol.
