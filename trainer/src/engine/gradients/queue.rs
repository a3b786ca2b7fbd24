//! Sums that are given to a queue, such as a stream of a GPU, while the backward pass goes on.
//!
//! ```text
//!   host           backward: … fc ─ layer3 ─ layer2 ─ layer1 ─ conv1   finish: tail, wait
//!                              │ given by a hook  │               │       ▲
//!   GPU, libtorch     ┄┄ fc ─ layer3 ─ layer2 ─ layer1 ─ conv1    │       │
//!   GPU, NCCL             └► bucket 0 ──► bucket 1 ───────────────┴► bucket 2 ─ statistics
//! ```

use std::ops::Range;
use std::time::Instant;

use lcsl_collective::CollectiveError;
use lcsl_collective::buckets::{Arrivals, Bucket};

use super::overlapped::Sums;
use super::worker;

/// Sums over ranks, worked off in the order in which they are given.
pub trait SumQueue: Send {
    /// Gives the sum of these elements of the gradient: behind what libtorch was given so far, beside what it will be,
    /// and behind earlier sums. Returns at once; whoever gave it leaves the elements alone until
    /// [`SumQueue::finish`] has returned. Every rank gives the same ones in one order.
    fn push(&mut self, elements: Range<usize>) -> Result<(), CollectiveError>;

    /// Sums `tail` behind them, and returns when everything is there. Collective.
    fn finish(&mut self, tail: &mut [f64]) -> Result<(), CollectiveError>;

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

    /// Ends a step, of which the backward passes are over and began at that time.
    pub(super) fn finish(
        &mut self,
        mut tail: Vec<f64>,
        began: Instant,
    ) -> Result<Sums, CollectiveError> {
        let rest = self.arrivals.rest();
        self.give(rest);
        let outcome = self.failed.take().map_or_else(|| self.queue.finish(&mut tail), Err);
        let end = Instant::now();
        let spans: Vec<_> = self.given.iter().map(|start| (*start, end)).collect();
        let times = worker::times(&self.plan, self.element_bytes, &self.hooks, &spans, began);
        outcome.map(|()| Sums { tail, times })
    }

    pub(super) fn leave(&mut self) -> Result<(), CollectiveError> {
        self.queue.leave()
    }
}
