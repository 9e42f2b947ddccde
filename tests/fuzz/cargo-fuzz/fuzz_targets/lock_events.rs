//! See `drawbridge_fuzz::lock_events`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| drawbridge_fuzz::lock_events(data));
