//! drawbridge-support.
