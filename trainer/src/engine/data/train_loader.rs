//! The images of training's logical batches, in the order in which the logical ranks of a rank ask for them.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use lcsl_config::{Data, OnCorrupt};
use lcsl_data::DataError;
use lcsl_data::batch::{
    Batches, CorruptRecord, DecodeSettings, ImageStream, Piece, Pieces, RawBatch,
};
use lcsl_data::images::Shape;
use lcsl_data::loader::CorruptPolicy;
use lcsl_data::sampler::Sampler;

use crate::corrupt::{CorruptLog, CorruptScope};
use crate::data_module::DataModule;
use crate::engine::data::local_batch::StepIndex;
use crate::engine::data::pinned::Pinner;
use crate::plan::EpochPlan;

/// Logical batches that are decoded before they are asked for; more would only take memory.
const BATCHES_AHEAD: usize = 4;

/// How images in shards are decoded.
#[derive(Debug, Clone, Copy)]
pub struct Decoding {
    /// Threads that do it; they change no result.
    pub threads: usize,
    /// What happens when an image is corrupt.
    pub corrupt_policy: CorruptPolicy,
}

impl Decoding {
    /// As the configuration says.
    pub fn of(data: &Data) -> Self {
        let corrupt_policy = match data.on_corrupt {
            OnCorrupt::Fail => CorruptPolicy::Fail,
            OnCorrupt::Count => CorruptPolicy::Skip,
        };
        Self { threads: data.loader_threads, corrupt_policy }
    }

    /// For batches of at most `batch_images` images, `ahead` of which are made before they are asked
    /// for, in memory that `pinner` is told of.
    pub(crate) fn settings(
        self,
        batch_images: usize,
        ahead: usize,
        pinner: Option<&Arc<Pinner>>,
    ) -> DecodeSettings {
        let Self { threads, corrupt_policy } = self;
        let pin = pinner.cloned().map(|pinner| pinner as _);
        DecodeSettings { threads, ahead, batch_images, pin, corrupt_policy }
    }
}

/// Loads the logical batches of one rank's logical ranks. It alone knows which positions they are.
pub struct TrainLoader {
    /// The size of every image.
    pub shape: Shape,
    /// How an epoch is cut into logical batches.
    pub plan: EpochPlan,
    /// The logical ranks of this rank.
    pub block: Range<usize>,
    stream: ImageStream,
    settings: DecodeSettings,
    /// The batches from some step on, and the step that comes next.
    running: Option<(Box<dyn Batches>, StepIndex)>,
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
        pinner: Option<&Arc<Pinner>>,
    ) -> Self {
        let largest = plan.batch.div_ceil((plan.micro_batches * plan.logical_ranks) as u64);
        // The loop takes all logical batches of a step before it computes.
        let ahead = BATCHES_AHEAD.max(plan.micro_batches * block.len());
        let stream = ImageStream {
            store: data_module.train.images.clone(),
            indices: data_module.train.indices.clone(),
            sampler: data_module.sampler.clone(),
            recipe: data_module.recipe,
            side: data_module.shape.height,
            seed,
        };
        Self {
            shape: data_module.shape,
            plan,
            block,
            stream,
            settings: decoding.settings(largest as usize, ahead, pinner),
            running: None,
            corrupt: CorruptLog::default(),
        }
    }

    /// From the next step on, an epoch draws the images with this sampler.
    pub fn draw_with(&mut self, sampler: Sampler) {
        self.running = None;
        self.stream.sampler = sampler;
    }

    /// Goes to a step, whose batches [`TrainLoader::next_batch`] then gives. A step out of turn (the first
    /// one, also after a resume) is found by starting there.
    pub fn go_to(&mut self, index: StepIndex) {
        match &mut self.running {
            Some((_, next)) if *next == index => *next = after(index),
            running => {
                *running = None; // its threads end before others begin
                let pieces = pieces(self.plan, self.block.clone(), index);
                let batches = self.stream.batches(pieces, self.settings.clone());
                *running = Some((batches, after(index)));
            }
        }
    }

    /// The logical batches of this rank from a step on, without end.
    pub(super) fn pieces_from(&self, index: StepIndex) -> Pieces {
        pieces(self.plan, self.block.clone(), index)
    }

    /// Images of the largest logical batch, and logical batches that are made before they are asked for.
    pub(super) fn sizes(&self) -> (usize, usize) {
        (self.settings.batch_images, self.settings.ahead)
    }

    /// The images of the next logical rank at this step. Corrupt ones are named in the log and skipped, where
    /// that is wanted.
    ///
    /// # Errors
    /// When an image cannot be read.
    ///
    /// # Panics
    /// Before the first [`TrainLoader::go_to`], and after an error.
    pub fn next_batch(&mut self) -> Result<RawBatch<'_>, DataError> {
        let (batches, _) = self.running.as_mut().expect("the loader has been told where to begin");
        let batch = batches.next()?.expect("pieces have no end, and no error is passed over");
        log_skipped(&mut self.corrupt, CorruptScope::Epoch(batch.piece.epoch), batch.corrupt);
        Ok(batch)
    }

    /// Time that the loop has waited for threads since the last call.
    pub fn take_waited(&mut self) -> Duration {
        self.running.as_mut().map_or(Duration::ZERO, |(batches, _)| batches.take_waited())
    }
}

/// Names records that were skipped in this rank's log.
pub(crate) fn log_skipped(log: &mut CorruptLog, scope: CorruptScope, skipped: &[CorruptRecord]) {
    for sentence in log.sentences(scope, skipped.iter().map(|one| &one.error)) {
        tracing::warn!("{sentence}");
    }
}

/// The step after this one.
pub(super) fn after(index: StepIndex) -> StepIndex {
    let StepIndex { epoch, step, steps } = index;
    if step + 1 < steps {
        StepIndex { step: step + 1, ..index }
    } else {
        StepIndex { epoch: epoch + 1, step: 0, steps }
    }
}

/// The logical batches of the logical ranks of `block`, in order, from a step on and without end.
fn pieces(plan: EpochPlan, block: Range<usize>, from: StepIndex) -> Pieces {
    let steps = std::iter::successors(Some(from), |index| Some(after(*index)));
    Box::new(steps.flat_map(move |index| {
        let block = block.clone();
        let batches = (0..plan.micro_batches)
            .flat_map(move |micro| block.clone().map(move |logical_rank| (micro, logical_rank)));
        batches.map(move |(micro, logical_rank)| Piece {
            epoch: index.epoch,
            positions: plan.positions_of(index.step, micro, logical_rank),
        })
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_go_on_in_the_middle_of_an_epoch_and_over_its_end() {
        let plan = EpochPlan { images: 10, batch: 4, micro_batches: 1, logical_ranks: 4 };
        let from = StepIndex { epoch: 2, step: 1, steps: plan.steps() };
        let asked: Vec<Piece> = pieces(plan, 2..4, from).take(6).collect();
        let expected = [(2, 6..7), (2, 7..8), (2, 10..10), (2, 10..10), (3, 2..3), (3, 3..4)];
        let expected = expected.map(|(epoch, positions)| Piece { epoch, positions });
        assert_eq!(asked, expected);
    }
}
