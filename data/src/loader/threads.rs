//! The threads that fill batches, and the loop's side of them.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::DataError;
use crate::batch::{Batches, LoadError, Pieces, RawBatch};
use crate::sampler::EpochOrder;

use super::job::{DecodeScratch, ImageWork};
use super::memory::{Memory, PinMemory};
use super::ring::{Batch, Ring};
use super::source::ImageSource;
use super::view::View;

/// Images of a job: what a thread fills between two looks at the ring.
const JOB_IMAGES: usize = 8;

/// What happens when an image is corrupt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CorruptPolicy {
    /// The batch is not handed out, and the loader has ended.
    #[default]
    Fail,
    /// The image is black, has [`super::job::SKIPPED_LABEL`], and is listed in the batch. What is
    /// wrong with more than its record ends the loader all the same: a damaged index, a missing shard.
    Skip,
}

/// How batches are made.
#[derive(Clone, Debug)]
pub struct LoaderOptions {
    /// Threads that decode; at least 1.
    pub threads: usize,
    /// Batches that are made before they are asked for; at least 1.
    pub ahead: usize,
    /// Images of the largest batch that is wanted: memory for it is taken once.
    pub batch_images: usize,
    /// Is told of that memory.
    pub pin: Option<Arc<dyn PinMemory>>,
    /// The seed of every random choice.
    pub seed: u64,
    /// What is done to each image.
    pub view: View,
    /// What happens when one is corrupt.
    pub corrupt_policy: CorruptPolicy,
}

/// Makes batches ahead of the loop that wants them. Dropping it stops and joins its threads.
pub struct Loader {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    corrupt_policy: CorruptPolicy,
    current: Option<Batch>,
    memory: Memory,
    failed: bool,
    /// What [`Batches::take_waited`] answers next.
    waited: Duration,
}

/// A batch and how long the loop waited for it.
#[derive(Debug)]
pub struct Loaded<'a> {
    /// The batch; its memory is used again once the next one is asked for.
    pub batch: &'a Batch,
    /// The time between asking and getting: 0 while the threads keep up.
    pub waited: Duration,
}

/// What the loop and the threads share.
struct Shared {
    state: Mutex<State>,
    /// There may be a job, or a reason to end.
    job_or_end: Condvar,
    /// A job was done, or a thread died.
    filled: Condvar,
    work: ImageWork,
    order: Box<dyn Fn(u64) -> EpochOrder + Send + Sync>,
}

struct State {
    ring: Ring,
    stopping: bool,
    /// A thread panicked: what it had taken will never come.
    broken: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // The state is whole at every point where a holder could panic: see `broken` instead.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Loader {
    /// Starts threads that make the batches of `pieces`, in this order, from the images
    /// `indices` of `source` (all of them where there are none). `order` is the order of an epoch.
    ///
    /// # Panics
    /// When there are no threads, or the system cannot start one. A request for more than
    /// `batch_images` ends the thread that comes upon it, and so the loop, with a panic.
    pub fn start(
        source: Box<dyn ImageSource>,
        indices: Option<Vec<u32>>,
        order: Box<dyn Fn(u64) -> EpochOrder + Send + Sync>,
        pieces: Pieces,
        options: LoaderOptions,
    ) -> Self {
        assert!(options.threads > 0 && options.ahead > 0, "a loader that does nothing");
        let LoaderOptions { threads, ahead, batch_images, pin, seed, view, corrupt_policy } =
            options;
        let image = view.shape.bytes();
        let (memory, slots) = Memory::new(ahead + 1, batch_images * image, pin.as_ref());
        let ring = Ring::new(pieces, slots, batch_images, image, JOB_IMAGES);
        let shared = Arc::new(Shared {
            state: Mutex::new(State { ring, stopping: false, broken: false }),
            job_or_end: Condvar::new(),
            filled: Condvar::new(),
            work: ImageWork { source, indices, view, seed },
            order,
        });
        let threads = (0..threads)
            .map(|number| {
                let shared = Arc::clone(&shared);
                std::thread::Builder::new()
                    .name(format!("decode-{number}"))
                    .spawn(move || serve(&shared))
                    .expect("the system starts a thread")
            })
            .collect();
        Self {
            shared,
            threads,
            corrupt_policy,
            current: None,
            memory,
            failed: false,
            waited: Duration::ZERO,
        }
    }

    /// The next batch, or `None` after the last one and after a failure.
    ///
    /// # Errors
    /// When an image of the batch is corrupt and that is fatal: the first such image in its order.
    ///
    /// # Panics
    /// When a thread has panicked, or [`super::memory::Pinned::wait_until_read`] does.
    pub fn next_batch(&mut self) -> Option<Result<Loaded<'_>, LoadError>> {
        if self.failed {
            return None;
        }
        if let Some(batch) = &self.current {
            // Before the threads can get this memory; not time that the loop waits for them.
            self.memory.wait_until_read(&batch.pixels);
        }
        let asked = Instant::now();
        let mut state = self.shared.lock();
        if let Some(batch) = self.current.take() {
            state.ring.give_back(batch.pixels);
            self.shared.job_or_end.notify_all();
        }
        let mut batch = loop {
            assert!(!state.broken, "a decoding thread has panicked; its message is above");
            if let Some(batch) = state.ring.next_whole_batch() {
                break batch;
            }
            if state.ring.is_over() {
                return None;
            }
            state = self.shared.filled.wait(state).unwrap_or_else(PoisonError::into_inner);
        };
        drop(state);
        let is_fatal = |error: &LoadError| {
            self.corrupt_policy == CorruptPolicy::Fail || !error.is_of_one_record()
        };
        if let Some(first) = batch.corrupt.iter().position(|one| is_fatal(&one.error)) {
            self.failed = true;
            return Some(Err(batch.corrupt.swap_remove(first).error));
        }
        let waited = asked.elapsed();
        self.waited += waited;
        Some(Ok(Loaded { batch: self.current.insert(batch), waited }))
    }
}

impl Batches for Loader {
    fn next(&mut self) -> Result<Option<RawBatch<'_>>, DataError> {
        let loaded = self.next_batch().transpose()?;
        Ok(loaded.map(|loaded| loaded.batch.without_corrupt()))
    }

    fn take_waited(&mut self) -> Duration {
        std::mem::take(&mut self.waited)
    }
}

impl Drop for Loader {
    fn drop(&mut self) {
        self.shared.lock().stopping = true;
        self.shared.job_or_end.notify_all();
        for thread in self.threads.drain(..) {
            // A panic was reported by the thread itself; there is nothing left to stop.
            let _ = thread.join();
        }
    }
}

/// What a thread does: takes jobs and does them, until there are none or the loop has gone.
fn serve(shared: &Shared) {
    let _alarm = Alarm(shared);
    let mut scratch = DecodeScratch::default();
    let mut state = shared.lock();
    while !state.stopping {
        let Some(mut job) = state.ring.next_job() else {
            if state.ring.is_over() {
                break;
            }
            // An empty request is whole at once, and the loop may be waiting for it.
            shared.filled.notify_all();
            state = shared.job_or_end.wait(state).unwrap_or_else(PoisonError::into_inner);
            continue;
        };
        drop(state);
        let order = (shared.order)(job.epoch);
        let number = job.number();
        let (labels, corrupt) = shared.work.fill(
            job.epoch,
            &order,
            job.positions.clone(),
            job.first,
            &mut job.pixels,
            &mut scratch,
        );
        state = shared.lock();
        state.ring.finish(number, job.pixels, labels, corrupt);
        shared.filled.notify_all();
    }
    shared.filled.notify_all();
    shared.job_or_end.notify_all();
}

/// Tells the loop when its thread dies, so that it does not wait for ever.
struct Alarm<'a>(&'a Shared);

impl Drop for Alarm<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.lock().broken = true;
            self.0.filled.notify_all();
        }
    }
}
