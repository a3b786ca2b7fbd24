//! Gradients that are summed over ranks while the backward pass goes on.
//!
//! ```text
//!   this thread    backward: … fc ─ layer3 ─ layer2 ─ layer1 ─ conv1   finish
//!                              │ number pushed by a hook          │       ▲ sums
//!   other thread               └► bucket 0 ──► bucket 1 ── wait ──┴► bucket 2 ─ statistics
//! ```
//!
//! Buckets are summed in one order on all ranks, the same in every step. The backward pass of the
//! step's last logical batch announces; those before it (logical ranks, gradient accumulation) only add to the
//! buffer. Running statistics and losses travel behind the last bucket. The thread has a communicator
//! of its own, since candidates are gathered on the other one: NCCL where gradients lie on a GPU, in a
//! stream that waits for libtorch's before each bucket; else a second one of the same world.

#![allow(unsafe_code)] // two threads share the memory of the gradients

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Instant;

use lcsl_backends::NcclWorld;
use lcsl_backends::nccl::{Element, Libraries};
use lcsl_collective::buckets::{self, Arrivals, Bucket, BucketTimes, Limits};
use lcsl_collective::{CollectiveError, Communicator, Values};
use tch::{Device, Kind, Tensor};

use crate::engine::native::gradients::{GradientHooks, SharedMemory};
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

enum Message {
    /// The gradient of a tensor lies in the buffer since then.
    Arrived(usize, Instant),
    /// The backward passes of this step are over; they began at that time. Statistics and losses.
    Finish(Vec<f64>, Instant),
    Leave,
}

#[derive(Default)]
struct Sums {
    tail: Vec<f64>,
    times: Vec<BucketTimes>,
}

/// The thread that sums.
struct WorkerHandle {
    messages: Sender<Message>,
    sums: Receiver<Result<Sums, CollectiveError>>,
    thread: JoinHandle<()>,
}

/// The gradients of one rank, and the thread that sums them over ranks; a single rank has none.
pub struct OverlappedReducer {
    gradient: Flat,
    hooks: GradientHooks,
    began: Instant,
    /// Whether a backward pass of this step has filled the buffer.
    filled: bool,
    times: Vec<BucketTimes>,
    worker: Option<WorkerHandle>,
}

impl OverlappedReducer {
    /// For the gradients of what trains in `student`: the others have no hook, and stay zero. Collective.
    pub fn new(
        student: &Network,
        world: &mut dyn Communicator,
        settings: BucketSettings,
    ) -> Result<Self, CollectiveError> {
        let (parameters, slots) = (&student.parameters, student.trainable());
        let (kind, device) = (parameters.buffer.kind(), parameters.buffer.device());
        let gradient = Flat::zeros(parameters.slots().to_vec(), kind, device, false);
        let (messages, received) = channel();
        let worker = if world.world_size() > 1 {
            let tensors: Vec<usize> =
                gradient.views()[slots.clone()].iter().map(Tensor::numel).collect();
            let elements = |bytes: usize| bytes / kind.elt_size_in_bytes();
            let limits =
                Limits { ends: elements(settings.ends_bytes), others: elements(settings.bytes) };
            let (done, sums) = channel();
            let job = ReduceWorker {
                transport: Transport::new(world, device, kind)?,
                memory: SharedMemory::of(&gradient.buffer),
                plan: buckets::plan(&tensors, limits)
                    .into_iter()
                    .map(|bucket| bucket.moved_by(gradient.elements_of(&slots).start))
                    .collect(),
                element_bytes: kind.elt_size_in_bytes(),
            };
            let thread = std::thread::spawn(move || job.serve(&received, &done));
            Some(WorkerHandle { messages: messages.clone(), sums, thread })
        } else {
            None
        };
        let [leaves, places] = [parameters, &gradient].map(|flat| &flat.views()[slots.clone()]);
        let hooks = GradientHooks::new(leaves, places, move |tensor| {
            // When the thread is gone, `finish` says so.
            let _ = messages.send(Message::Arrived(tensor, Instant::now()));
        });
        let began = Instant::now();
        Ok(Self { gradient, hooks, began, filled: false, times: Vec::new(), worker })
    }

    /// Forgets the last step.
    pub fn begin(&mut self) {
        self.filled = false;
    }

    /// A backward pass; `is_last` lets finished buckets go.
    pub fn backward(&mut self, loss: &Tensor, is_last: bool) {
        if !self.filled {
            self.began = Instant::now();
        }
        self.hooks.prepare(self.filled, is_last && self.worker.is_some());
        loss.backward();
        self.filled = true;
    }

    /// Waits until all buckets, and then `tail`, are summed over all ranks. Collective.
    pub fn finish(&mut self, tail: &mut Vec<f64>) -> Result<(), CollectiveError> {
        if !self.filled {
            self.began = Instant::now();
            let _ = self.gradient.buffer.zero_();
        }
        let Some(worker) = &self.worker else { return Ok(()) };
        let sent = worker.messages.send(Message::Finish(std::mem::take(tail), self.began));
        let sums = sent.ok().and_then(|()| worker.sums.recv().ok()).unwrap_or_else(|| {
            let what = "the thread that sums gradients has ended".to_owned();
            Err(CollectiveError::Unsupported { what })
        })?;
        (*tail, self.times) = (sums.tail, sums.times);
        Ok(())
    }

    /// The gradient (flat); of this rank, and after [`OverlappedReducer::finish`] of all ranks.
    pub fn gradient(&self) -> &Tensor {
        &self.gradient.buffer
    }

    /// When the buckets of the last step were summed, in order; none where there is one rank.
    pub fn times(&self) -> &[BucketTimes] {
        &self.times
    }

    /// Ends the thread, which leaves its communicator. Collective. A value that is merely dropped does not
    /// wait: the thread may hang in a call whose other ranks are gone.
    pub fn leave(&mut self) -> Result<(), CollectiveError> {
        let Some(worker) = self.worker.take() else { return Ok(()) };
        // Where the thread is gone already, there is nothing to leave.
        let _ = worker.messages.send(Message::Leave);
        let left = worker.sums.recv();
        let _ = worker.thread.join();
        left.map_or(Ok(()), |left| left.map(drop))
    }
}

/// What the messages of the owner ask for.
enum Next {
    Sums(Result<Sums, CollectiveError>),
    Leave,
    Gone,
}

/// How gradients reach the other ranks.
enum Transport {
    /// Through the memory of this process.
    Host(Box<dyn Communicator>),
    /// From GPU to GPU.
    Gpu(NcclWorld, Element),
}

impl Transport {
    /// For float32 or float64 on `device`, beside `world`. Collective.
    fn new(
        world: &mut dyn Communicator,
        device: Device,
        kind: Kind,
    ) -> Result<Self, CollectiveError> {
        let Device::Cuda(ordinal) = device else {
            return Ok(Self::Host(world.duplicate()?));
        };
        let element = if kind == Kind::Double { Element::F64 } else { Element::F32 };
        Ok(Self::Gpu(NcclWorld::join(&Libraries::load()?, world, ordinal)?, element))
    }

    fn communicator(&mut self) -> &mut dyn Communicator {
        match self {
            Self::Host(world) => world.as_mut(),
            Self::Gpu(world, _) => world,
        }
    }
}

/// What the other thread owns.
struct ReduceWorker {
    transport: Transport,
    memory: SharedMemory,
    plan: Vec<Bucket>,
    element_bytes: usize,
}

impl ReduceWorker {
    /// Sums step after step until it is told to leave, or nobody is there to tell it anything: then it
    /// does not leave in good order, which would wait for the other ranks.
    fn serve(mut self, messages: &Receiver<Message>, done: &Sender<Result<Sums, CollectiveError>>) {
        loop {
            let (answer, more) = match self.step(messages) {
                Next::Sums(sums) => (sums, true),
                Next::Leave => {
                    (self.transport.communicator().leave().map(|()| Sums::default()), false)
                }
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
                outcome = outcome.and_then(|()| {
                    self.transport.communicator().all_reduce_sum(Values::F64(&mut tail))
                });
                let times = self.times(&hooks, &spans, began);
                return Next::Sums(outcome.map(|()| Sums { tail, times }));
            }
        }
    }

    fn sum(&mut self, bucket: usize) -> Result<(), CollectiveError> {
        let elements = self.plan[bucket].elements.clone();
        // SAFETY: the bucket was released, so either its gradients were written (on a GPU: the writing was
        // given to the default stream) before messages that this thread has received, or the backward passes
        // are over. The owner next touches the buffer when `finish` has received this step's sums, which
        // are sent when these values are gone, and the GPU is done with its sum.
        unsafe {
            match &mut self.transport {
                Transport::Host(world) => world.all_reduce_sum(self.memory.values(elements)),
                Transport::Gpu(world, element) => {
                    let (address, count) = (self.memory.address(&elements), elements.len());
                    world.sum_on_device(address, count, *element)
                }
            }
        }
    }

    fn times(
        &self,
        hooks: &[Option<Instant>],
        spans: &[(Instant, Instant)],
        began: Instant,
    ) -> Vec<BucketTimes> {
        let since = |at: Instant| at.saturating_duration_since(began).as_secs_f64();
        let buckets = self.plan.iter().zip(hooks).zip(spans);
        let times = buckets.map(|((bucket, hook), (start, end))| BucketTimes {
            bytes: bucket.elements.len() * self.element_bytes,
            hook: since(hook.unwrap_or(*start)),
            start: since(*start),
            end: since(*end),
        });
        times.collect()
    }
}
