//! See `drawbridge_fuzz::radio`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| drawbridge_fuzz::radio(data));
