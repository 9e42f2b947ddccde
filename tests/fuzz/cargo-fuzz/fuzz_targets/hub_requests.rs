//! See `drawbridge_fuzz::hub_requests`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| drawbridge_fuzz::hub_requests(data));
