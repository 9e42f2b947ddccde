//! See `drawbridge_fuzz::air`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| drawbridge_fuzz::air(data));
