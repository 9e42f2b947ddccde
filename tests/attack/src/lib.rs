//! drawbridge-attacker.
