//! Parts of the engine, through its public functions. One program, since each is linked with libtorch.

#![allow(clippy::unwrap_used)] // a world of threads that fails is a failure of the test

#[path = "../golden_step/device.rs"]
mod device;
mod initial_weights;
mod late;
mod networks;
mod overlap;
mod precision;
mod queue;
mod resume;
mod sync_bn;
#[cfg(feature = "winograd")]
mod winograd;
