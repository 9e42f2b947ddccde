//! drawbridge-demo.
