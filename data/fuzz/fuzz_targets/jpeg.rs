//! What it asserts stands in `src/jpeg.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    lcsl_fuzz::jpeg::run(bytes);
});
