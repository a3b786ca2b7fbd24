//! The world of GPUs: NCCL, loaded at run time, so that one binary runs with and without it.
//!
//! In layers, of which only the last is for others:
//!
//! * [`locate`]: where the libraries may lie.
//! * `sys`: the entry points, by name, as the libraries define them.
//! * `codes`: return codes into words.
//! * `context`: the driver, and a GPU's context in it; [`driver`]: why there is none.
//! * [`device`]: a GPU, its memory and a stream, through the CUDA driver; [`pinned`]: memory of the
//!   host that a GPU reads by itself.
//! * [`world`]: the communicator; [`sums`]: what it sums where it lies; [`poll`]: how it is waited for.
//!
//! cudarc has bindings too, but it looks for `libnccl.so`, where the wheel of NCCL has only
//! `libnccl.so.2`; it panics where there is none, and when a communicator is dropped after an error.
//! Thirty-seven entry points of two stable C interfaces are less than the precautions against that.

mod codes;
mod context;
pub mod device;
pub mod driver;
pub mod locate;
pub mod pinned;
pub mod poll;
pub mod sums;
mod sys;
pub mod world;

pub use device::{ComputeStream, Device, DeviceBuffer, Libraries};
pub use pinned::{PinnedMemory, Reader};
pub use sums::Element;
pub use world::NcclWorld;
