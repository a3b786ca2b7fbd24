//! What the fuzz targets do with the bytes that they are given, and what has to hold afterwards.
//!
//! Each module has one function, `run`, which hands any bytes to the functions that production
//! calls, panics when they break a promise, and says whether something was accepted. Where a
//! checksum would keep a fuzzer out, the bytes are read twice: as they are, and with the checksum
//! made right.
//!
//! Two programs call these functions: `fuzz_targets/*.rs`, under libFuzzer, and
//! `data/tests/fuzz_corpus.rs`, which includes this file and replays the corpora in every test run.

pub mod cifar;
pub mod idx;
pub mod index;
#[cfg(feature = "pictures")]
pub mod jpeg;
pub mod manifest;
#[cfg(feature = "pictures")]
pub mod tar;
