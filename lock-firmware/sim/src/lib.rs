//! drawbridge-lock-sim.
