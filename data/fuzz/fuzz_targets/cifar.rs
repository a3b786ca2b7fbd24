//! What it asserts stands in `src/cifar.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    lcsl_fuzz::cifar::run(bytes);
});
