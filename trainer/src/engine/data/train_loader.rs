//! Where the pixels of training logical batches come from: a set in memory, or shards that threads decode ahead of
//! the loop.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use lcsl_config::{Data, OnCorrupt};
use lcsl_data::DataError;
use lcsl_data::batch::Batches;
use lcsl_data::images::Shape;
use lcsl_data::loader::{Kept, Loader, OnRefusal, Options, Refused, Request, ShardSource, View};
use lcsl_data::sampler::Sampler;
use lcsl_data::shard::ShardSet;

use crate::corrupt::{CorruptLog, CorruptScope};
use crate::data_module::{DataModule, Images};
use crate::engine::data::local_batch::StepIndex;
use crate::engine::data::pinned::Pinner;
use crate::plan::EpochPlan;

/// Parts that are decoded before they are asked for; more would only take memory.
const BATCHES_AHEAD: usize = 4;

/// How images in shards are decoded.
#[derive(Debug, Clone, Copy)]
pub struct Decoding {
    /// Threads that do it; they change no result.
    pub threads: usize,
    /// What happens when one cannot be.
    pub on_refusal: OnRefusal,
}

impl Decoding {
    /// As the configuration says.
    pub fn of(data: &Data) -> Self {
        let on_refusal = match data.on_corrupt {
            OnCorrupt::Fail => OnRefusal::Fail,
            OnCorrupt::Count => OnRefusal::Count,
        };
        Self { threads: data.loader_threads, on_refusal }
    }
}

/// The bytes of one logical batch, without the images that were refused.
#[derive(Debug)]
pub struct RawBatch<'a> {
    /// Images (N, H, W, C), row-major.
    pub pixels: Cow<'a, [u8]>,
    /// Classes (N).
    pub labels: Cow<'a, [i64]>,
    /// Positions in the epoch (N), ascending.
    pub positions: Vec<u64>,
}

/// Supplies the logical batches of one rank's logical ranks.
pub struct TrainLoader {
    /// The size of every image.
    pub shape: Shape,
    stored: Stored,
    /// Time that the loop has spent waiting for threads.
    waited: Duration,
}

enum Stored {
    Memory { batches: Batches, pixels: Vec<u8>, labels: Vec<i64> },
    Shards(Box<Ahead>),
}

/// A loader, and which step it comes to next.
struct Ahead {
    images: Arc<ShardSet>,
    indices: Arc<[u32]>,
    sampler: Sampler,
    view: View,
    seed: u64,
    decoding: Decoding,
    pinner: Option<Arc<Pinner>>,
    plan: EpochPlan,
    block: Range<usize>,
    running: Option<(Loader, StepIndex)>,
    corrupt: CorruptLog,
}

impl TrainLoader {
    /// Training images of `data_module`, for the logical ranks of `block`, decoded into memory that `pinner` is
    /// told of.
    pub fn new(
        data_module: &DataModule,
        plan: EpochPlan,
        block: Range<usize>,
        seed: u64,
        decoding: Decoding,
        pinner: Option<Arc<Pinner>>,
    ) -> Self {
        let indices = data_module.train.indices.clone();
        let stored = match &data_module.train.images {
            Images::Memory(set) => Stored::Memory {
                batches: Batches::new(set.clone(), indices, data_module.recipe, seed)
                    .drawn_by(data_module.sampler.clone()),
                pixels: Vec::new(),
                labels: Vec::new(),
            },
            Images::Shards(images) => Stored::Shards(Box::new(Ahead {
                images: images.clone(),
                indices,
                sampler: data_module.sampler.clone(),
                view: View::of(data_module.recipe, data_module.shape.height),
                seed,
                decoding,
                pinner,
                plan,
                block,
                running: None,
                corrupt: CorruptLog::default(),
            })),
        };
        Self { shape: data_module.shape, stored, waited: Duration::ZERO }
    }

    /// The images at these positions, which are those of a logical rank at this step. Logical ranks ask
    /// in order, step after step; a step out of turn (the first after a resume) is found by starting
    /// there. Images that are refused are named in the log and left out, where that is wanted.
    ///
    /// # Errors
    /// When an image cannot be read.
    pub fn next_batch(
        &mut self,
        index: StepIndex,
        logical_rank: usize,
        positions: Range<u64>,
    ) -> Result<RawBatch<'_>, DataError> {
        match &mut self.stored {
            Stored::Memory { batches, pixels, labels } => {
                batches.fill(index.epoch, positions.clone(), 0, pixels, labels);
                let (pixels, labels) = (pixels.as_slice().into(), labels.as_slice().into());
                Ok(RawBatch { pixels, labels, positions: positions.collect() })
            }
            Stored::Shards(ahead) => {
                let (loader, log) = ahead.at(index, logical_rank);
                let loaded =
                    loader.next().expect("requests have no end, and no error is passed over");
                let loaded = loaded?;
                let asked = Request { epoch: index.epoch, positions };
                assert_eq!(loaded.batch.request, asked, "a part that was not asked for");
                self.waited += loaded.waited;
                name(log, CorruptScope::Epoch(index.epoch), &loaded.batch.refused);
                let Kept { pixels, labels, positions } = Kept::of(loaded.batch);
                Ok(RawBatch { pixels, labels, positions })
            }
        }
    }

    /// Time that the loop has waited for threads since the last call.
    pub fn take_waited(&mut self) -> Duration {
        std::mem::take(&mut self.waited)
    }
}

/// Names records that were left out in this rank's log.
pub(crate) fn name(log: &mut CorruptLog, scope: CorruptScope, refused: &[Refused]) {
    for sentence in log.sentences(scope, refused.iter().map(|one| &one.error)) {
        tracing::warn!("{sentence}");
    }
}

impl Ahead {
    /// The loader, just before the part of `logical_rank` at `index`, and who was left out so far.
    fn at(&mut self, index: StepIndex, logical_rank: usize) -> (&mut Loader, &mut CorruptLog) {
        let begins = logical_rank == self.block.start;
        let comes = self.running.as_ref().is_some_and(|(_, next)| *next == index);
        if begins && !comes {
            self.running = None; // its threads end before others begin
            let loader = self.start(index);
            self.running = Some((loader, index));
        }
        let (loader, next) = self.running.as_mut().expect("the first logical rank has started it");
        if logical_rank + 1 == self.block.end {
            *next = after(index);
        }
        (loader, &mut self.corrupt)
    }

    fn start(&self, index: StepIndex) -> Loader {
        let sampler = self.sampler.clone();
        let whole = self.indices.len() == self.images.len();
        let largest = self.plan.batch.div_ceil(self.plan.logical_ranks as u64);
        Loader::start(
            Box::new(ShardSource(self.images.clone())),
            (!whole).then(|| self.indices.to_vec()),
            Box::new(move |epoch| sampler.order(epoch)),
            Box::new(requests(self.plan, self.block.clone(), index)),
            Options {
                threads: self.decoding.threads,
                ahead: BATCHES_AHEAD.max(self.block.len()),
                batch_images: largest as usize,
                pin: self.pinner.clone().map(|pinner| pinner as _),
                seed: self.seed,
                view: self.view,
                on_refusal: self.decoding.on_refusal,
            },
        )
    }
}

/// The step after this one.
fn after(index: StepIndex) -> StepIndex {
    let StepIndex { epoch, step, steps } = index;
    if step + 1 < steps {
        StepIndex { step: step + 1, ..index }
    } else {
        StepIndex { epoch: epoch + 1, step: 0, steps }
    }
}

/// The logical batches of the logical ranks of `block`, in order, from an index on and without end.
fn requests(
    plan: EpochPlan,
    block: Range<usize>,
    from: StepIndex,
) -> impl Iterator<Item = Request> + Send {
    let moments = std::iter::successors(Some(from), |index| Some(after(*index)));
    moments.flat_map(move |index| {
        block.clone().map(move |logical_rank| Request {
            epoch: index.epoch,
            positions: plan.positions_of(index.step, logical_rank),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_go_on_in_the_middle_of_an_epoch_and_over_its_end() {
        let plan = EpochPlan { images: 10, batch: 4, logical_ranks: 4 };
        let from = StepIndex { epoch: 2, step: 1, steps: plan.steps() };
        let asked: Vec<Request> = requests(plan, 2..4, from).take(6).collect();
        let expected = [(2, 6..7), (2, 7..8), (2, 10..10), (2, 10..10), (3, 2..3), (3, 3..4)];
        let expected = expected.map(|(epoch, positions)| Request { epoch, positions });
        assert_eq!(asked, expected);
    }
}
