//! Sums that are given to a queue, such as a stream of a GPU, while the backward pass goes on.
//!
//! ```text
//!   host           backward: … fc ─ layer3 ─ layer2 ─ layer1 ─ conv1   finish: tail   next step …
//!                              │ given by a hook  │               │       │
//!   GPU, libtorch     ┄┄ fc ─ layer3 ─ layer2 ─ layer1 ─ conv1    │       │      ┌─► optimiser …
//!   GPU, NCCL             └► bucket 0 ──► bucket 1 ───────────────┴► bucket 2 ─ tail
//! ```

use std::ops::Range;
use std::time::Instant;

use lcsl_collective::CollectiveError;
use lcsl_collective::buckets::{Arrivals, Bucket, BucketTimes};
use tch::Tensor;

use super::worker;

/// Sums over ranks, worked off in the order in which they are given.
pub trait SumQueue: Send {
    /// Gives the sum of these elements of the gradient: behind what libtorch was given so far, beside what it will be,
    /// and behind earlier sums. Returns at once; whoever gave it leaves the elements alone until
    /// [`SumQueue::sum_tail`] has returned. Every rank gives the same ones in one order.
    fn push(&mut self, elements: Range<usize>) -> Result<(), CollectiveError>;

    /// Gives the sum of `tail` (flat, float64, beside the gradient) behind them. What libtorch is given after this
    /// call finds all sums that were given; the host need not wait for them. Every rank gives one as long.
    fn sum_tail(&mut self, tail: &Tensor) -> Result<(), CollectiveError>;

    /// Waits until `is_over`, which asks how far libtorch has come, watching for what goes wrong in sums meanwhile;
    /// `count` numbers were in the last tail. Collective.
    fn wait_for(
        &mut self,
        count: usize,
        is_over: &mut dyn FnMut() -> bool,
    ) -> Result<(), CollectiveError>;

    /// Gives up the communicator. Collective.
    fn leave(&mut self) -> Result<(), CollectiveError>;
}

/// A queue, and which buckets of the step it has been given.
pub(super) struct Queued {
    queue: Box<dyn SumQueue>,
    plan: Vec<Bucket>,
    element_bytes: usize,
    arrivals: Arrivals,
    /// When the last gradient of each bucket came.
    hooks: Vec<Option<Instant>>,
    /// When each bucket was given.
    given: Vec<Instant>,
    /// The first that went wrong; nothing is given after it. No error can be returned from a hook.
    failed: Option<CollectiveError>,
}

impl Queued {
    pub(super) fn new(queue: Box<dyn SumQueue>, plan: Vec<Bucket>, element_bytes: usize) -> Self {
        let arrivals = Arrivals::new(&plan);
        let (hooks, given) = (vec![None; plan.len()], Vec::new());
        Self { queue, plan, element_bytes, arrivals, hooks, given, failed: None }
    }

    /// Begins a step, whatever became of the last one.
    pub(super) fn begin(&mut self) {
        self.arrivals = Arrivals::new(&self.plan);
        self.hooks.fill(None);
        self.given.clear();
    }

    /// The gradient of a tensor lies in the buffer as soon as libtorch has come so far.
    pub(super) fn arrive(&mut self, tensor: usize) {
        self.hooks[self.arrivals.bucket_of(tensor)] = Some(Instant::now());
        let released = self.arrivals.arrive(tensor);
        self.give(released);
    }

    fn give(&mut self, released: Range<usize>) {
        for bucket in released {
            self.given.push(Instant::now());
            if self.failed.is_none() {
                self.failed = self.queue.push(self.plan[bucket].elements.clone()).err();
            }
        }
    }

    /// Ends a step, of which the backward passes are over and began at that time. The times of the buckets are those
    /// at which they were given: how long their sums took only the device knows.
    pub(super) fn finish(
        &mut self,
        tail: &Tensor,
        began: Instant,
    ) -> Result<Vec<BucketTimes>, CollectiveError> {
        let rest = self.arrivals.rest();
        self.give(rest);
        self.failed.take().map_or_else(|| self.queue.sum_tail(tail), Err)?;
        let end = Instant::now();
        let spans: Vec<_> = self.given.iter().map(|start| (*start, end)).collect();
        Ok(worker::times(&self.plan, self.element_bytes, &self.hooks, &spans, began))
    }

    /// The sum of a tail behind which no bucket goes.
    pub(super) fn sum_tail(&mut self, tail: &Tensor) -> Result<(), CollectiveError> {
        self.queue.sum_tail(tail)
    }

    pub(super) fn wait_for(
        &mut self,
        count: usize,
        is_over: &mut dyn FnMut() -> bool,
    ) -> Result<(), CollectiveError> {
        self.queue.wait_for(count, is_over)
    }

    pub(super) fn leave(&mut self) -> Result<(), CollectiveError> {
        self.queue.leave()
    }
}
