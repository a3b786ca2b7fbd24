//! What it asserts stands in `src/tar.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    lcsl_fuzz::tar::run(bytes);
});
