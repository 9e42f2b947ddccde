//! See `drawbridge_fuzz::statements`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| drawbridge_fuzz::statements(data));
