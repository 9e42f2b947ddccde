//! drawbridge-runner.
