//! See `drawbridge_fuzz::hub_events`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| drawbridge_fuzz::hub_events(data));
