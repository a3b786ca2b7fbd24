//! How the gradients of all logical batches become one, on every rank the same.
//!
//! * [`Reducer::Overlapped`]: hooks put gradients into a flat buffer while the backward pass makes
//!   them, and a thread sums complete buckets over the ranks meanwhile ([`super::overlapped`]).
//! * [`Reducer::Ordered`]: every logical batch's gradient apart, added in the shape of one tree over
//!   all logical ranks when the backward pass is over (`--deterministic`).

use lcsl_backends::nccl::poll;
use lcsl_collective::buckets::BucketTimes;
use lcsl_collective::order::SumOrder;
use lcsl_collective::{CollectiveError, Communicator};
use tch::Tensor;

use crate::engine::gradients::ordered::OrderedReducer;
use crate::engine::gradients::overlapped::{BucketSettings, OverlappedReducer};
use crate::engine::network::Network;

/// The gradient of a step while it is being made.
pub enum Reducer {
    /// Buckets are summed while the backward pass goes on.
    Overlapped(OverlappedReducer),
    /// Sums have a fixed order.
    Ordered(OrderedReducer),
}

impl Reducer {
    /// For the gradients of what trains in `student`; another stage, in which other parameters do,
    /// needs another reducer. Collective: where sums overlap, they get a communicator of their own.
    pub fn new(
        student: &Network,
        world: &mut dyn Communicator,
        order: SumOrder,
        settings: BucketSettings,
    ) -> Result<Self, CollectiveError> {
        if order == SumOrder::Library {
            return Ok(Self::Overlapped(OverlappedReducer::new(student, world, settings)?));
        }
        Ok(Self::Ordered(OrderedReducer::new(student, order)))
    }

    /// Forgets the last step.
    pub fn begin(&mut self) {
        match self {
            Self::Overlapped(overlapped) => overlapped.begin(),
            Self::Ordered(ordered) => ordered.begin(),
        }
    }

    /// The backward pass of the next logical batch. `is_last` says that no other one of this rank
    /// follows in this step.
    pub fn backward(&mut self, loss: &Tensor, student: &Network, is_last: bool) {
        match self {
            Self::Overlapped(overlapped) => overlapped.backward(loss, is_last),
            Self::Ordered(ordered) => ordered.backward(loss, student),
        }
    }

    /// The next logical batch is empty: it weighs nothing, but takes its place in the tree of sums.
    pub fn skip(&mut self) {
        if let Self::Ordered(ordered) = self {
            ordered.skip();
        }
    }

    /// Ends a micro-batch: sums `tail` (flat, float64, beside the gradient), this rank's statistics and losses, over
    /// all ranks, and after the last one of a step the gradient too. On a GPU the host does not wait for sums by NCCL.
    /// Collective.
    pub fn finish(
        &mut self,
        world: &mut dyn Communicator,
        tail: &mut Tensor,
        is_last: bool,
    ) -> Result<(), CollectiveError> {
        match self {
            Self::Overlapped(overlapped) if is_last => overlapped.finish(tail),
            Self::Overlapped(overlapped) => overlapped.sum_tail(world, tail),
            Self::Ordered(ordered) => ordered.finish(world, tail),
        }
    }

    /// Waits until `is_over`, which asks how far the device has come, watching for what goes wrong in sums; `count`
    /// numbers were in the last tail. Collective where a GPU sums.
    ///
    /// # Errors
    /// What sums report, and that it is not over after a quarter of an hour.
    pub fn wait_for(
        &mut self,
        count: usize,
        mut is_over: impl FnMut() -> bool,
    ) -> Result<(), CollectiveError> {
        match self {
            Self::Overlapped(overlapped) => overlapped.wait_for(count, &mut is_over),
            Self::Ordered(_) => poll::until(poll::PATIENCE, || Ok(is_over())),
        }
    }

    /// The gradient (flat): after [`Reducer::finish`] summed over all ranks, until the next
    /// [`Reducer::begin`].
    pub fn gradient(&self) -> &Tensor {
        match self {
            Self::Overlapped(overlapped) => overlapped.gradient(),
            Self::Ordered(ordered) => ordered.gradient(),
        }
    }

    /// When the buckets of the last step were summed; none where sums do not overlap.
    pub fn bucket_times(&self) -> &[BucketTimes] {
        match self {
            Self::Overlapped(overlapped) => overlapped.times(),
            Self::Ordered(_) => &[],
        }
    }

    /// Gives up the communicator, before its world is left. Collective.
    pub fn leave(&mut self) -> Result<(), CollectiveError> {
        match self {
            Self::Overlapped(overlapped) => overlapped.leave(),
            Self::Ordered(_) => Ok(()),
        }
    }
}
