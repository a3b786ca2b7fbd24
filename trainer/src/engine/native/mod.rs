//! What tch lacks, in C++ beside libtorch (`shim.cpp` is the list of what Rust calls).
//!
//! * [`gradients`]: hooks of the backward pass; [`optim`]: the optimiser's loops.
//! * [`normalisation`]: batch normalisation over all ranks.
//! * [`keep_freed_memory`]: a setting of the allocator; [`peak_gpu_memory`]: what it has counted.
//! * [`arithmetic`]: how exactly a GPU computes; [`stream`]: in which stream.
//! * `winograd` (cargo feature): faster 3×3 convolutions on CPUs.
//!
//! Only these files call C++; `ffi` is how tensors and messages get there and back.

pub mod arithmetic;
mod ffi;
pub mod gradients;
mod memory;
pub mod normalisation;
pub mod optim;
pub mod stream;
#[cfg(feature = "winograd")]
pub mod winograd;

pub use memory::{keep_freed_memory, peak_gpu_memory};
