//! The world of GPUs: NCCL, loaded at run time, so that one binary runs with and without it.
//!
//! In three layers, of which only the last is for others:
//!
//! * [`locate`]: where the libraries may lie.
//! * `sys`: the entry points, by name, as the libraries define them.
//! * `codes`: return codes into words.
//! * [`device`]: a GPU, its memory and a stream, through the CUDA driver.
//! * [`world`]: the communicator.
//!
//! cudarc has bindings too, but it looks for `libnccl.so`, where the wheel of NCCL has only
//! `libnccl.so.2`; it panics where there is none, and when a communicator is dropped after an error.
//! Thirty-two entry points of two stable C interfaces are less than the precautions against that.

mod codes;
pub mod device;
pub mod locate;
mod sys;
pub mod world;

pub use device::{Device, DeviceBuffer, Libraries};
pub use world::{Element, NcclWorld};
