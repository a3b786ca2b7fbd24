//! Sums by NCCL, from GPU to GPU.

#![allow(unsafe_code)] // the memory of the gradients, by address

use std::ops::Range;

use lcsl_backends::NcclWorld;
use lcsl_backends::nccl::{Element, Libraries};
use lcsl_collective::{CollectiveError, Communicator, Values};
use tch::Kind;

use super::queue::SumQueue;
use crate::engine::native::gradients::SharedMemory;
use crate::engine::native::stream;

/// A world of GPUs, in whose stream the gradients of this rank are summed.
pub(super) struct NcclQueue {
    world: NcclWorld,
    memory: SharedMemory,
    element: Element,
    ordinal: usize,
}

impl NcclQueue {
    /// Of the ranks of `world`, for float32 or float64 on the GPU of this ordinal. Collective.
    pub(super) fn join(
        world: &mut dyn Communicator,
        memory: SharedMemory,
        ordinal: usize,
    ) -> Result<Self, CollectiveError> {
        let world = NcclWorld::join(&Libraries::load()?, world, ordinal)?;
        let element = if memory.kind() == Kind::Double { Element::F64 } else { Element::F32 };
        Ok(Self { world, memory, element, ordinal })
    }
}

impl SumQueue for NcclQueue {
    fn push(&mut self, elements: Range<usize>) -> Result<(), CollectiveError> {
        if elements.is_empty() {
            return Ok(());
        }
        let (address, count) = (self.memory.address(&elements), elements.len());
        // That of this thread: in a hook, the one in which the gradient was put into its place.
        let computing =
            stream::current(self.ordinal).map_err(|what| CollectiveError::Unsupported { what })?;
        // SAFETY: `memory` keeps the elements alive. Whoever gave them leaves them alone until `finish`, which waits
        // for this world, has returned; where it has failed nothing is learnt from them any more.
        unsafe { self.world.sum_behind(computing, address, count, self.element) }
    }

    fn finish(&mut self, tail: &mut [f64]) -> Result<(), CollectiveError> {
        self.world.all_reduce_sum(Values::F64(tail))?;
        self.world.wait()
    }

    fn leave(&mut self) -> Result<(), CollectiveError> {
        self.world.leave()
    }
}
