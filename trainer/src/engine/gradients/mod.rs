//! How the gradients of all logical ranks become one, on every rank the same.

mod nccl_queue;
pub mod ordered;
pub mod overlapped;
pub mod queue;
pub mod reducer;
mod worker;
