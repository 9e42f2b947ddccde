//! See `drawbridge_fuzz::files`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| drawbridge_fuzz::files(data));
