//! See `drawbridge_fuzz::session`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| drawbridge_fuzz::session(data));
