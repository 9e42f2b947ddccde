//! See `drawbridge_fuzz::hub_store`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| drawbridge_fuzz::hub_store(data));
