//! See `drawbridge_fuzz::json`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| drawbridge_fuzz::json(data));
