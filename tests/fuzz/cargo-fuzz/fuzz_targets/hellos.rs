//! See `drawbridge_fuzz::hellos`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| drawbridge_fuzz::hellos(data));
