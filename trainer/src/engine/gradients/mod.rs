//! How the gradients of all logical ranks become one, on every rank the same.

pub mod ordered;
pub mod overlapped;
pub mod reducer;
