//! Where the pixels of training parts come from: a set in memory, or shards that threads decode ahead of
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

use crate::corrupt::{Occasion, Roll};
use crate::engine::data::local_batch::Moment;
use crate::engine::data::pinned::Pinner;
use crate::material::{Images, Material};
use crate::plan::EpochPlan;

/// Parts that are decoded before they are asked for; more would only take memory.
const PARTS_AHEAD: usize = 4;

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

/// The bytes of one part, without the images that were refused.
#[derive(Debug)]
pub struct Bytes<'a> {
    /// Images (N, H, W, C), row-major.
    pub pixels: Cow<'a, [u8]>,
    /// Classes (N).
    pub labels: Cow<'a, [i64]>,
    /// Positions in the epoch (N), ascending.
    pub positions: Vec<u64>,
}

/// Supplies the parts of one rank's logical ranks.
pub struct Supply {
    /// The size of every image.
    pub shape: Shape,
    from: From,
    /// Time that the loop has spent waiting for threads.
    waited: Duration,
}

enum From {
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
    running: Option<(Loader, Moment)>,
    roll: Roll,
}

impl Supply {
    /// Training images of `material`, for the logical ranks of `block`, decoded into memory that `pinner` is
    /// told of.
    pub fn new(
        material: &Material,
        plan: EpochPlan,
        block: Range<usize>,
        seed: u64,
        decoding: Decoding,
        pinner: Option<Arc<Pinner>>,
    ) -> Self {
        let indices = material.train.indices.clone();
        let from = match &material.train.images {
            Images::Memory(set) => From::Memory {
                batches: Batches::new(set.clone(), indices, material.recipe, seed)
                    .drawn_by(material.sampler.clone()),
                pixels: Vec::new(),
                labels: Vec::new(),
            },
            Images::Shards(images) => From::Shards(Box::new(Ahead {
                images: images.clone(),
                indices,
                sampler: material.sampler.clone(),
                view: View::of(material.recipe, material.shape.height),
                seed,
                decoding,
                pinner,
                plan,
                block,
                running: None,
                roll: Roll::default(),
            })),
        };
        Self { shape: material.shape, from, waited: Duration::ZERO }
    }

    /// The images at these positions, which are those of a logical rank at this moment. Logical ranks ask
    /// in order, step after step; a step out of turn (the first after a resume) is found by starting
    /// there. Images that are refused are named in the log and left out, where that is wanted.
    ///
    /// # Errors
    /// When an image cannot be read.
    pub fn part(
        &mut self,
        moment: Moment,
        logical_rank: usize,
        positions: Range<u64>,
    ) -> Result<Bytes<'_>, DataError> {
        match &mut self.from {
            From::Memory { batches, pixels, labels } => {
                batches.fill(moment.epoch, positions.clone(), 0, pixels, labels);
                let (pixels, labels) = (pixels.as_slice().into(), labels.as_slice().into());
                Ok(Bytes { pixels, labels, positions: positions.collect() })
            }
            From::Shards(ahead) => {
                let (loader, roll) = ahead.at(moment, logical_rank);
                let loaded =
                    loader.next().expect("requests have no end, and no error is passed over");
                let loaded = loaded?;
                let asked = Request { epoch: moment.epoch, positions };
                assert_eq!(loaded.batch.request, asked, "a part that was not asked for");
                self.waited += loaded.waited;
                name(roll, Occasion::Epoch(moment.epoch), &loaded.batch.refused);
                let Kept { pixels, labels, positions } = Kept::of(loaded.batch);
                Ok(Bytes { pixels, labels, positions })
            }
        }
    }

    /// Time that the loop has waited for threads since the last call.
    pub fn take_waited(&mut self) -> Duration {
        std::mem::take(&mut self.waited)
    }
}

/// Names records that were left out in this rank's log.
pub(crate) fn name(roll: &mut Roll, occasion: Occasion, refused: &[Refused]) {
    for sentence in roll.call(occasion, refused.iter().map(|one| &one.error)) {
        tracing::warn!("{sentence}");
    }
}

impl Ahead {
    /// The loader, just before the part of `logical_rank` at `moment`, and who was left out so far.
    fn at(&mut self, moment: Moment, logical_rank: usize) -> (&mut Loader, &mut Roll) {
        let begins = logical_rank == self.block.start;
        let comes = self.running.as_ref().is_some_and(|(_, next)| *next == moment);
        if begins && !comes {
            self.running = None; // its threads end before others begin
            let loader = self.start(moment);
            self.running = Some((loader, moment));
        }
        let (loader, next) = self.running.as_mut().expect("the first logical rank has started it");
        if logical_rank + 1 == self.block.end {
            *next = after(moment);
        }
        (loader, &mut self.roll)
    }

    fn start(&self, moment: Moment) -> Loader {
        let sampler = self.sampler.clone();
        let whole = self.indices.len() == self.images.len();
        let largest = self.plan.batch.div_ceil(self.plan.logical_ranks as u64);
        Loader::start(
            Box::new(ShardSource(self.images.clone())),
            (!whole).then(|| self.indices.to_vec()),
            Box::new(move |epoch| sampler.order(epoch)),
            Box::new(requests(self.plan, self.block.clone(), moment)),
            Options {
                threads: self.decoding.threads,
                ahead: PARTS_AHEAD.max(self.block.len()),
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
fn after(moment: Moment) -> Moment {
    let Moment { epoch, step, steps } = moment;
    if step + 1 < steps {
        Moment { step: step + 1, ..moment }
    } else {
        Moment { epoch: epoch + 1, step: 0, steps }
    }
}

/// The parts of the logical ranks of `block`, in order, from a moment on and without end.
fn requests(
    plan: EpochPlan,
    block: Range<usize>,
    from: Moment,
) -> impl Iterator<Item = Request> + Send {
    let moments = std::iter::successors(Some(from), |moment| Some(after(*moment)));
    moments.flat_map(move |moment| {
        block.clone().map(move |logical_rank| Request {
            epoch: moment.epoch,
            positions: plan.part_at(moment.step, logical_rank),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_go_on_in_the_middle_of_an_epoch_and_over_its_end() {
        let plan = EpochPlan { images: 10, batch: 4, logical_ranks: 4 };
        let from = Moment { epoch: 2, step: 1, steps: plan.steps() };
        let asked: Vec<Request> = requests(plan, 2..4, from).take(6).collect();
        let expected = [(2, 6..7), (2, 7..8), (2, 10..10), (2, 10..10), (3, 2..3), (3, 3..4)];
        let expected = expected.map(|(epoch, positions)| Request { epoch, positions });
        assert_eq!(asked, expected);
    }
}
