//! drawbridge-lock.
