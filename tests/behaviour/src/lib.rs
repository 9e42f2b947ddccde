//! What the behaviour tests share. Each test file below `tests/` is named for what it claims.

pub mod hub;
