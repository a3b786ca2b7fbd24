//! Sums by NCCL, from GPU to GPU.

#![allow(unsafe_code)] // the memory of the gradients, by address

use std::ops::Range;

use lcsl_backends::nccl::Element;
use lcsl_collective::CollectiveError;
use tch::{Kind, Tensor};

use super::queue::SumQueue;
use crate::engine::gpu_sums::GpuSums;
use crate::engine::native::gradients::SharedMemory;

/// Where the gradients of this rank are summed, float32 or float64.
pub(super) struct NcclQueue {
    pub(super) sums: GpuSums,
    pub(super) memory: SharedMemory,
    /// Whether somebody else sums there as well, and leaves.
    pub(super) is_shared: bool,
}

impl SumQueue for NcclQueue {
    fn push(&mut self, elements: Range<usize>) -> Result<(), CollectiveError> {
        if elements.is_empty() {
            return Ok(());
        }
        let (address, count) = (self.memory.address(&elements), elements.len());
        let element = if self.memory.kind() == Kind::Double { Element::F64 } else { Element::F32 };
        // SAFETY: `memory` keeps the elements alive. Whoever gave them leaves them alone until `sum_tail` has
        // returned; where it has failed nothing is learnt from them any more.
        unsafe { self.sums.sum_behind(address, count, element) }
    }

    fn sum_tail(&mut self, tail: &Tensor) -> Result<(), CollectiveError> {
        let address = SharedMemory::of(tail).address(&(0..tail.numel()));
        assert_eq!(tail.kind(), Kind::Double, "a tail");
        // SAFETY: libtorch's stream goes on behind the sum, and so does whatever its allocator makes of this memory.
        unsafe { self.sums.sum_behind(address, tail.numel(), Element::F64) }?;
        self.sums.rejoin()
    }

    fn wait_for(
        &mut self,
        count: usize,
        is_over: &mut dyn FnMut() -> bool,
    ) -> Result<(), CollectiveError> {
        self.sums.wait_for(count, is_over)
    }

    fn leave(&mut self) -> Result<(), CollectiveError> {
        if self.is_shared { Ok(()) } else { self.sums.leave() }
    }
}
