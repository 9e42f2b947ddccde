//! See `drawbridge_fuzz::names`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| drawbridge_fuzz::names(data));
