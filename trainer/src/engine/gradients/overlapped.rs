//! Gradients that are summed over ranks while the backward pass goes on.
//!
//! Buckets are summed in one order on all ranks, the same in every step. The backward pass of the
//! step's last logical batch announces; those before it (logical ranks, gradient accumulation) only add to the
//! buffer. Running statistics and losses, the tail, travel behind the last bucket. The sums have a communicator
//! of their own, since candidates are gathered on the other one. They are made
//!
//! * on the CPU by a thread of their own ([`super::worker`]), which each call of MPI keeps busy;
//! * on a GPU by NCCL in a stream of its own ([`super::queue`]): the hook that completes a bucket gives the sum to
//!   that stream, behind what libtorch's stream has been given so far, and no thread waits for anything.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use lcsl_backends::nccl::poll;
use lcsl_collective::buckets::{self, Bucket, BucketTimes, Limits};
use lcsl_collective::order::SumOrder;
use lcsl_collective::{CollectiveError, Communicator};
use tch::{Device, Tensor};

use super::nccl_queue::NcclQueue;
use super::queue::{Queued, SumQueue};
use super::worker::{Message, ReduceWorker};
use crate::engine::gpu_sums::GpuSums;
use crate::engine::host;
use crate::engine::native::gradients::{GradientHooks, SharedMemory};
use crate::engine::native::normalisation::SyncBatchNorm;
use crate::engine::network::Network;
use crate::engine::network::flat::Flat;

/// How gradients are cut into buckets.
#[derive(Debug, Clone, Copy)]
pub struct BucketSettings {
    /// Bytes of the first bucket, and of the last.
    pub ends_bytes: usize,
    /// Bytes of all others.
    pub bytes: usize,
}

/// Sums of a step that are there.
#[derive(Default)]
pub(super) struct Sums {
    pub(super) tail: Vec<f64>,
    pub(super) times: Vec<BucketTimes>,
}

/// Who sums.
enum Summing {
    /// Nobody: there is one rank.
    Alone,
    /// A thread.
    Thread {
        messages: Sender<Message>,
        sums: Receiver<Result<Sums, CollectiveError>>,
        thread: JoinHandle<()>,
    },
    /// Something that takes sums and works them off in order. The hooks have it, too.
    Queue(Arc<Mutex<Queued>>),
}

/// The gradients of one rank, and what sums them over ranks.
pub struct OverlappedReducer {
    gradient: Flat,
    hooks: GradientHooks,
    began: Instant,
    /// Whether a backward pass of this step has filled the buffer.
    filled: bool,
    times: Vec<BucketTimes>,
    summing: Summing,
}

impl OverlappedReducer {
    /// For the gradients of what trains in `student`: the others have no hook, and stay zero. Collective.
    pub fn new(
        student: &Network,
        world: &mut dyn Communicator,
        settings: BucketSettings,
    ) -> Result<Self, CollectiveError> {
        let gradient = buffer_for(student);
        if world.world_size() == 1 {
            let hooks = hooks(student, &gradient, |_| ());
            return Ok(Self::with(gradient, hooks, Summing::Alone));
        }
        if let Device::Cuda(ordinal) = gradient.buffer.device() {
            let memory = SharedMemory::of(&gradient.buffer);
            let shared = student.sync_batch_norm().and_then(SyncBatchNorm::gpu_sums);
            let is_shared = shared.is_some();
            let sums = shared.map_or_else(|| GpuSums::join(world, ordinal), Ok)?;
            let queue = NcclQueue { sums, memory, is_shared };
            return Ok(Self::through(student, gradient, Box::new(queue), settings));
        }
        let (messages, received) = channel();
        let (done, sums) = channel();
        let job = ReduceWorker {
            world: world.duplicate()?,
            memory: SharedMemory::of(&gradient.buffer),
            plan: plan(student, &gradient, settings),
            element_bytes: gradient.buffer.kind().elt_size_in_bytes(),
        };
        let thread = std::thread::spawn(move || job.serve(&received, &done));
        let announced = messages.clone();
        let hooks = hooks(student, &gradient, move |tensor| {
            // When the thread is gone, `finish` says so.
            let _ = announced.send(Message::Arrived(tensor, Instant::now()));
        });
        Ok(Self::with(gradient, hooks, Summing::Thread { messages, sums, thread }))
    }

    /// The same with sums that `queue` makes, of the memory that it is given.
    pub fn queued(
        student: &Network,
        queue: impl FnOnce(SharedMemory) -> Box<dyn SumQueue>,
        settings: BucketSettings,
    ) -> Self {
        let gradient = buffer_for(student);
        let queue = queue(SharedMemory::of(&gradient.buffer));
        Self::through(student, gradient, queue, settings)
    }

    fn through(
        student: &Network,
        gradient: Flat,
        queue: Box<dyn SumQueue>,
        settings: BucketSettings,
    ) -> Self {
        let element_bytes = gradient.buffer.kind().elt_size_in_bytes();
        let queued = Queued::new(queue, plan(student, &gradient, settings), element_bytes);
        let queued = Arc::new(Mutex::new(queued));
        let at_hooks = queued.clone();
        let hooks = hooks(student, &gradient, move |tensor| {
            unpoisoned(&at_hooks).arrive(tensor);
        });
        Self::with(gradient, hooks, Summing::Queue(queued))
    }

    fn with(gradient: Flat, hooks: GradientHooks, summing: Summing) -> Self {
        let (began, filled, times) = (Instant::now(), false, Vec::new());
        Self { gradient, hooks, began, filled, times, summing }
    }

    /// Forgets the last step.
    pub fn begin(&mut self) {
        self.filled = false;
        if let Summing::Queue(queued) = &self.summing {
            unpoisoned(queued).begin();
        }
    }

    /// A backward pass; `is_last` lets finished buckets go.
    pub fn backward(&mut self, loss: &Tensor, is_last: bool) {
        if !self.filled {
            self.began = Instant::now();
        }
        let announces = is_last && !matches!(self.summing, Summing::Alone);
        self.hooks.prepare(self.filled, announces);
        loss.backward();
        self.filled = true;
    }

    /// Sums all buckets, and then `tail` (flat, float64), over all ranks. What libtorch is given afterwards finds the
    /// sums; on a GPU the host has not waited for them. Collective.
    pub fn finish(&mut self, tail: &mut Tensor) -> Result<(), CollectiveError> {
        if !self.filled {
            self.began = Instant::now();
            let _ = self.gradient.buffer.zero_();
        }
        self.times = match &self.summing {
            Summing::Alone => Vec::new(),
            Summing::Thread { messages, sums, .. } => {
                let sent = messages.send(Message::Finish(host::read(tail), self.began));
                let sums = sent.ok().and_then(|()| sums.recv().ok()).unwrap_or_else(|| {
                    let what = "the thread that sums gradients has ended".to_owned();
                    Err(CollectiveError::Unsupported { what })
                })?;
                tail.copy_(&Tensor::from_slice(&sums.tail));
                sums.times
            }
            Summing::Queue(queued) => unpoisoned(queued).finish(tail, self.began)?,
        };
        Ok(())
    }

    /// Sums a `tail` behind which no bucket goes, as [`OverlappedReducer::finish`] does. Collective.
    pub fn sum_tail(
        &mut self,
        world: &mut dyn Communicator,
        tail: &mut Tensor,
    ) -> Result<(), CollectiveError> {
        match &self.summing {
            Summing::Alone => Ok(()),
            Summing::Thread { .. } => host::sum_over_ranks(world, SumOrder::Library, tail),
            Summing::Queue(queued) => unpoisoned(queued).sum_tail(tail),
        }
    }

    /// Waits until `is_over`, which asks how far the device has come; `count` numbers were in the last tail.
    /// Collective where a GPU sums.
    pub fn wait_for(
        &mut self,
        count: usize,
        is_over: &mut dyn FnMut() -> bool,
    ) -> Result<(), CollectiveError> {
        match &self.summing {
            Summing::Queue(queued) => unpoisoned(queued).wait_for(count, is_over),
            _ => poll::until(poll::PATIENCE, || Ok(is_over())),
        }
    }

    /// The gradient (flat); of this rank, and after [`OverlappedReducer::finish`] of all ranks.
    pub fn gradient(&self) -> &Tensor {
        &self.gradient.buffer
    }

    /// When the buckets of the last step were summed, in order; none where there is one rank.
    pub fn times(&self) -> &[BucketTimes] {
        &self.times
    }

    /// Gives up the communicator. Collective. A value that is merely dropped does not wait: other ranks may be gone.
    pub fn leave(&mut self) -> Result<(), CollectiveError> {
        match std::mem::replace(&mut self.summing, Summing::Alone) {
            Summing::Alone => Ok(()),
            Summing::Thread { messages, sums, thread } => {
                // Where the thread is gone already, there is nothing to leave.
                let _ = messages.send(Message::Leave);
                let left = sums.recv();
                let _ = thread.join();
                left.map_or(Ok(()), |left| left.map(drop))
            }
            Summing::Queue(queued) => unpoisoned(&queued).leave(),
        }
    }
}

fn unpoisoned(queued: &Mutex<Queued>) -> MutexGuard<'_, Queued> {
    queued.lock().unwrap_or_else(PoisonError::into_inner)
}

fn buffer_for(student: &Network) -> Flat {
    let parameters = &student.parameters;
    let (kind, device) = (parameters.buffer.kind(), parameters.buffer.device());
    Flat::zeros(parameters.slots().to_vec(), kind, device, false)
}

/// The buckets of what trains in `student`, in the order in which they are summed.
fn plan(student: &Network, gradient: &Flat, settings: BucketSettings) -> Vec<Bucket> {
    let slots = student.trainable();
    let tensors: Vec<usize> = gradient.views()[slots.clone()].iter().map(Tensor::numel).collect();
    let elements = |bytes: usize| bytes / gradient.buffer.kind().elt_size_in_bytes();
    let limits = Limits { ends: elements(settings.ends_bytes), others: elements(settings.bytes) };
    let first = gradient.elements_of(&slots).start;
    buckets::plan(&tensors, limits).into_iter().map(|bucket| bucket.moved_by(first)).collect()
}

/// Moves the gradients of what trains in `student` to their places, and tells of each.
fn hooks(
    student: &Network,
    gradient: &Flat,
    listener: impl Fn(usize) + Send + Sync + 'static,
) -> GradientHooks {
    let slots = student.trainable();
    let [leaves, places] = [&student.parameters, gradient].map(|flat| &flat.views()[slots.clone()]);
    GradientHooks::new(leaves, places, listener)
}
