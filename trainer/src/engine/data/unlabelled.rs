//! Unlabelled images beside the training images of a step, each in two views.

use std::sync::Arc;

use lcsl_data::DataError;
use lcsl_data::batch::{Batches, ImageStream, Piece, Pieces, RawBatch};
use lcsl_data::images::Shape;
use lcsl_data::random::{Purpose, Stream};
use lcsl_data::sampler::{Sampler, SamplerKind};
use tch::Tensor;

use super::local_batch::{StepIndex, UnlabelledBatch};
use super::normaliser::Normaliser;
use super::pinned::Pinner;
use super::train_loader::{Decoding, after, log_skipped};
use crate::corrupt::{CorruptLog, CorruptScope};
use crate::data_module::{DataModule, UnlabelledImages};
use crate::plan::UnlabelledPlan;

/// What a seed of its own is drawn for; the numbers are part of what a run's seed means.
#[derive(Debug, Clone, Copy)]
enum SeedOf {
    Order = 0,
    Weak = 1,
    Strong = 2,
}

/// Loads the unlabelled images that come beside the logical batches of one rank.
pub struct UnlabelledLoader {
    plan: UnlabelledPlan,
    images: UnlabelledImages,
    shape: Shape,
    /// As the teacher sees them, and as they are learnt: in the same order.
    views: [ImageStream; 2],
    decoding: Decoding,
    pinner: Option<Arc<Pinner>>,
    /// The batches of both views from some step on, and the step that comes next.
    running: Option<([Box<dyn Batches>; 2], StepIndex)>,
    corrupt: CorruptLog,
}

impl UnlabelledLoader {
    /// The unlabelled images of `data_module`, `ratio` for each training image of an epoch of `epoch_images`; none
    /// where there are no unlabelled images.
    pub fn new(
        data_module: &DataModule,
        (ratio, epoch_images): (u64, u64),
        seed: u64,
        decoding: Decoding,
        pinner: Option<&Arc<Pinner>>,
    ) -> Option<Self> {
        let images = data_module.unlabelled.clone()?;
        let count = images.selection.indices.len();
        let seed_of =
            |what: SeedOf| Stream::new(seed, Purpose::Unlabelled, what as u64, 0, 0).next_u64();
        let order = std::iter::repeat_n(0, count);
        let sampler = Sampler::new(SamplerKind::Random, order, seed_of(SeedOf::Order));
        let view = |recipe, what| ImageStream {
            store: images.selection.images.clone(),
            indices: images.selection.indices.clone(),
            sampler: sampler.clone(),
            recipe,
            side: data_module.shape.height,
            seed: seed_of(what),
        };
        let views = [view(data_module.recipe, SeedOf::Weak), view(images.recipe, SeedOf::Strong)];
        Some(Self {
            plan: UnlabelledPlan { images: count as u64, ratio, epoch_images },
            images,
            shape: data_module.shape,
            views,
            decoding,
            pinner: pinner.cloned(),
            running: None,
            corrupt: CorruptLog::default(),
        })
    }

    /// Goes to a step, whose batches [`UnlabelledLoader::next_batch`] then gives, in the order of `pieces`: the logical
    /// batches of this rank from that step on, of which the largest has `largest` training images. `ahead` are made in
    /// advance.
    pub(super) fn go_to(
        &mut self,
        index: StepIndex,
        pieces: impl Fn() -> Pieces,
        (largest, ahead): (usize, usize),
    ) {
        match &mut self.running {
            Some((_, next)) if *next == index => *next = after(index),
            running => {
                *running = None; // its threads end before others begin
                let plan = self.plan;
                let batch_images = largest * plan.ratio as usize;
                let pinner = self.pinner.as_ref();
                let settings = self.decoding.settings(batch_images, ahead, pinner);
                let views = self.views.each_ref().map(|view| {
                    let beside = move |piece: Piece| plan.laps(piece.epoch, &piece.positions);
                    view.batches(Box::new(pieces().flat_map(beside)), settings.clone())
                });
                *running = Some((views, after(index)));
            }
        }
    }

    /// What comes beside the training images of this piece, which is the next one. Corrupt images are named in the log
    /// and missing, where that is wanted.
    ///
    /// # Errors
    /// When an image cannot be read.
    ///
    /// # Panics
    /// Before the first [`UnlabelledLoader::go_to`], and after an error.
    pub(super) fn next_batch(
        &mut self,
        piece: &Piece,
        normaliser: &Normaliser,
    ) -> Result<UnlabelledBatch, DataError> {
        let ([weak, strong], _) =
            self.running.as_mut().expect("the loader has been told where to begin");
        let (mut seen, mut learnt, mut keys) = (Vec::new(), Vec::new(), Vec::new());
        for lap in self.plan.laps(piece.epoch, &piece.positions) {
            let raw = next_of(weak, &lap)?;
            keys.extend(raw.positions.iter().map(|at| self.plan.key(piece.epoch, lap.epoch, *at)));
            log_skipped(&mut self.corrupt, CorruptScope::Epoch(piece.epoch), raw.corrupt);
            seen.push(normaliser.apply(&raw.pixels, raw.labels.len(), self.shape));
            // The same images, and the same of them are corrupt.
            let raw = next_of(strong, &lap)?;
            learnt.push(normaliser.apply(&raw.pixels, raw.labels.len(), self.shape));
        }
        let nothing = || normaliser.apply(&[], 0, self.shape);
        let joined = |tensors: Vec<Tensor>| match <[Tensor; 1]>::try_from(tensors) {
            Ok([one]) => one,
            Err(none) if none.is_empty() => nothing(),
            Err(several) => Tensor::cat(&several, 0),
        };
        Ok(UnlabelledBatch { weak: joined(seen), strong: joined(learnt), keys })
    }

    /// The true class of the image that this key of an epoch stands for; none for a training image, and where nobody
    /// knows.
    ///
    /// # Errors
    /// When the index of its shard cannot be read.
    pub fn true_class(&self, epoch: u64, key: u64) -> Result<Option<u32>, DataError> {
        let Some((lap, at)) = self.plan.position_of(epoch, key) else { return Ok(None) };
        self.images.true_class(self.views[0].sampler.order(lap).at(at) as usize)
    }
}

fn next_of<'a>(batches: &'a mut Box<dyn Batches>, lap: &Piece) -> Result<RawBatch<'a>, DataError> {
    let raw = batches.next()?.expect("pieces have no end, and no error is passed over");
    debug_assert_eq!(raw.piece, *lap);
    Ok(raw)
}
