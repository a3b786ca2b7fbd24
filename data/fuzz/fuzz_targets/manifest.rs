//! What it asserts stands in `src/manifest.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    lcsl_fuzz::manifest::run(bytes);
});
