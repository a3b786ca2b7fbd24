//! Sums over the GPUs of all ranks, of memory that libtorch has. Everything in a process that sums there shares one
//! communicator: two that are busy at the same time could each wait for cores of the GPU that the other one has, in
//! another order on every rank.

#![allow(unsafe_code)] // memory of a GPU, by address

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lcsl_backends::NcclWorld;
use lcsl_backends::nccl::{ComputeStream, Element, Libraries};
use lcsl_collective::calls::{self, CallKind, InCall, Operation, Trail};
use lcsl_collective::{CollectiveError, Communicator};

use crate::engine::native::stream;

/// One rank's part in the sums; copies are the same part. Every rank asks for the same sums in one order.
#[derive(Clone)]
pub struct GpuSums {
    world: Arc<Mutex<NcclWorld>>,
    ordinal: usize,
    /// Where calls that wait are written down, for the heartbeats that tell them.
    trail: Option<Arc<Trail>>,
}

impl GpuSums {
    /// Of the ranks of `world`, with the GPU of this ordinal. Collective.
    ///
    /// # Errors
    /// Where NCCL cannot be had, and what it reports.
    pub fn join(world: &mut dyn Communicator, ordinal: usize) -> Result<Self, CollectiveError> {
        let trail = world.begin_trail();
        let world = NcclWorld::join(&Libraries::load()?, world, ordinal)?;
        Ok(Self { world: Arc::new(Mutex::new(world)), ordinal, trail })
    }

    /// Sums beside libtorch's stream, behind what that was given before; [`NcclWorld::sum_behind`].
    ///
    /// # Safety
    /// As there: until [`GpuSums::rejoin`] has returned, or has failed and the elements are read no more.
    pub unsafe fn sum_behind(
        &self,
        address: u64,
        count: usize,
        element: Element,
    ) -> Result<(), CollectiveError> {
        let computing = self.computing()?;
        // SAFETY: the caller's promise.
        unsafe { self.lock().sum_behind(computing, address, count, element) }
    }

    /// Sums within libtorch's stream, as any other of its operations; [`NcclWorld::sum_within`].
    ///
    /// # Safety
    /// The GPU must have `count` elements at `address`, in memory that libtorch uses in that stream.
    pub unsafe fn sum_within(
        &self,
        address: u64,
        count: usize,
        element: Element,
    ) -> Result<(), CollectiveError> {
        let computing = self.computing()?;
        // SAFETY: the caller's promise.
        unsafe { self.lock().sum_within(computing, address, count, element) }
    }

    /// What libtorch's stream is given after this call finds all sums beside it; [`NcclWorld::rejoin`].
    ///
    /// # Errors
    /// What the driver reports.
    pub fn rejoin(&self) -> Result<(), CollectiveError> {
        let computing = self.computing()?;
        self.lock().rejoin(computing)
    }

    /// Waits until `is_over`, which asks how far libtorch's stream has come; `count` numbers were summed last.
    /// Collective.
    ///
    /// # Errors
    /// What went wrong since the last call.
    pub fn wait_for(
        &self,
        count: usize,
        is_over: &mut dyn FnMut() -> bool,
    ) -> Result<(), CollectiveError> {
        let _in_call = self.enter(CallKind::new(Operation::Sum, calls::Element::F64, count));
        self.lock().wait_for(is_over)
    }

    /// Gives up the communicator, for all copies. Collective.
    ///
    /// # Errors
    /// What NCCL reports.
    pub fn leave(&self) -> Result<(), CollectiveError> {
        let _in_call = self.enter(CallKind::new(Operation::Leave, calls::Element::Nothing, 0));
        self.lock().leave()
    }

    fn enter(&self, kind: CallKind) -> Option<InCall> {
        self.trail.as_ref().map(|trail| trail.enter(kind))
    }

    /// The stream of this thread: in a hook of the backward pass, that in which the gradient was put into its place.
    fn computing(&self) -> Result<ComputeStream, CollectiveError> {
        stream::current(self.ordinal).map_err(|what| CollectiveError::Unsupported { what })
    }

    fn lock(&self) -> MutexGuard<'_, NcclWorld> {
        // A world whose call has failed says so itself.
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
