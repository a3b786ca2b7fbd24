//! What it asserts stands in `src/idx.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    lcsl_fuzz::idx::run(bytes);
});
