//! What it asserts stands in `src/index.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    lcsl_fuzz::index::run(bytes);
});
