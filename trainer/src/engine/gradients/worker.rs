//! The thread that sums gradients over ranks, through the memory of this process.
//!
//! ```text
//!   this thread    backward: … fc ─ layer3 ─ layer2 ─ layer1 ─ conv1   finish
//!                              │ number pushed by a hook          │       ▲ sums
//!   other thread               └► bucket 0 ──► bucket 1 ── wait ──┴► bucket 2 ─ statistics
//! ```

#![allow(unsafe_code)] // two threads share the memory of the gradients

use std::sync::mpsc::{Receiver, Sender};
use std::time::Instant;

use lcsl_collective::buckets::{Arrivals, Bucket, BucketTimes};
use lcsl_collective::{CollectiveError, Communicator, Values};

use super::overlapped::Sums;
use crate::engine::native::gradients::SharedMemory;

pub(super) enum Message {
    /// The gradient of a tensor lies in the buffer since then.
    Arrived(usize, Instant),
    /// The backward passes of this step are over; they began at that time. Statistics and losses.
    Finish(Vec<f64>, Instant),
    Leave,
}

/// What the messages of the owner ask for.
enum Next {
    Sums(Result<Sums, CollectiveError>),
    Leave,
    Gone,
}

/// What the other thread owns.
pub(super) struct ReduceWorker {
    pub(super) world: Box<dyn Communicator>,
    pub(super) memory: SharedMemory,
    pub(super) plan: Vec<Bucket>,
    pub(super) element_bytes: usize,
}

impl ReduceWorker {
    /// Sums step after step until it is told to leave, or nobody is there to tell it anything: then it
    /// does not leave in good order, which would wait for the other ranks.
    pub(super) fn serve(
        mut self,
        messages: &Receiver<Message>,
        done: &Sender<Result<Sums, CollectiveError>>,
    ) {
        loop {
            let (answer, more) = match self.step(messages) {
                Next::Sums(sums) => (sums, true),
                Next::Leave => (self.world.leave().map(|()| Sums::default()), false),
                Next::Gone => return,
            };
            if done.send(answer).is_err() || !more {
                return;
            }
        }
    }

    /// Sums the buckets of one step, each as soon as it may go.
    fn step(&mut self, messages: &Receiver<Message>) -> Next {
        let mut arrivals = Arrivals::new(&self.plan);
        let mut hooks = vec![None; self.plan.len()];
        let mut spans = Vec::new();
        let mut outcome = Ok(());
        loop {
            let (released, finish) = match messages.recv() {
                Ok(Message::Arrived(tensor, at)) => {
                    hooks[arrivals.bucket_of(tensor)] = Some(at);
                    (arrivals.arrive(tensor), None)
                }
                Ok(Message::Finish(tail, began)) => (arrivals.rest(), Some((tail, began))),
                Ok(Message::Leave) => return Next::Leave,
                Err(_) => return Next::Gone,
            };
            for bucket in released {
                let start = Instant::now();
                outcome = outcome.and_then(|()| self.sum(bucket));
                spans.push((start, Instant::now()));
            }
            if let Some((mut tail, began)) = finish {
                outcome = outcome.and_then(|()| self.world.all_reduce_sum(Values::F64(&mut tail)));
                let times = times(&self.plan, self.element_bytes, &hooks, &spans, began);
                return Next::Sums(outcome.map(|()| Sums { tail, times }));
            }
        }
    }

    fn sum(&mut self, bucket: usize) -> Result<(), CollectiveError> {
        let elements = self.plan[bucket].elements.clone();
        // SAFETY: the bucket was released, so either its gradients were written before messages that this thread has
        // received, or the backward passes are over. The owner next touches the buffer when `finish` has received this
        // step's sums, which are sent when these values are gone.
        self.world.all_reduce_sum(unsafe { self.memory.values(elements) })
    }
}

/// Of buckets, with the time of the last hook of each and the span of its sum; none and none where it was not
/// reached.
pub(super) fn times(
    plan: &[Bucket],
    element_bytes: usize,
    hooks: &[Option<Instant>],
    spans: &[(Instant, Instant)],
    began: Instant,
) -> Vec<BucketTimes> {
    let since = |at: Instant| at.saturating_duration_since(began).as_secs_f64();
    let buckets = plan.iter().zip(hooks).zip(spans);
    let times = buckets.map(|((bucket, hook), (start, end))| BucketTimes {
        bytes: bucket.elements.len() * element_bytes,
        hook: since(hook.unwrap_or(*start)),
        start: since(*start),
        end: since(*end),
    });
    times.collect()
}
