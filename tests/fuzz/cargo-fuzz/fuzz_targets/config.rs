//! See `drawbridge_fuzz::config`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| drawbridge_fuzz::config(data));
