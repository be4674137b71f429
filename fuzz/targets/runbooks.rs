//! See `selfheal::fuzzed`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| selfheal::fuzzed::runbooks(bytes));
