//! A stream of images: one way to ask for batches, whether they are in memory or in shards.

use std::sync::Arc;

use super::arrays::ArrayBatches;
use super::batches::{Batches, Pieces};
use super::sampled::SampledImages;
use super::store::ImageStore;
use crate::augment::Recipe;
use crate::loader::{CorruptPolicy, Loader, LoaderOptions, PinMemory, ShardSource, View};
use crate::sampler::{Sampler, SamplerKind};

/// Which images of a set are drawn, in which order, and what is done to them. A plain value: two of
/// them, say with different samplers, make two streams that know nothing of each other.
#[derive(Clone, Debug)]
pub struct ImageStream {
    /// Where the images are.
    pub store: ImageStore,
    /// Which of them.
    pub indices: Arc<[u32]>,
    /// The order of each epoch.
    pub sampler: Sampler,
    /// How they are augmented.
    pub recipe: Recipe,
    /// Pixels of a side to which images in shards are resized; images in memory have their own size.
    pub side: usize,
    /// The seed of the augmentation.
    pub seed: u64,
}

/// How images in shards are decoded; none of this changes a byte. Images in memory need none of it.
#[derive(Clone, Debug)]
pub struct DecodeSettings {
    /// Threads that decode; at least 1.
    pub threads: usize,
    /// Batches that are decoded before they are asked for; at least 1.
    pub ahead: usize,
    /// Images of the largest piece: memory for it is taken once.
    pub batch_images: usize,
    /// Is told of that memory.
    pub pin: Option<Arc<dyn PinMemory>>,
    /// What happens when an image is corrupt.
    pub corrupt_policy: CorruptPolicy,
}

impl ImageStream {
    /// The images of `indices` in this order and as they are, in every epoch alike: for evaluation.
    pub fn in_order(store: ImageStore, indices: Arc<[u32]>, side: usize) -> Self {
        let sampler = Sampler::new(SamplerKind::Sequential, indices.iter().map(|_| 0), 0);
        Self { store, indices, sampler, recipe: Recipe::AS_IS, side, seed: 0 }
    }

    /// Starts with the first of `pieces`. Threads, where there are any, end when the batches are dropped.
    ///
    /// # Panics
    /// When an index names no image, and as [`Loader::start`] does.
    pub fn batches(&self, pieces: Pieces, settings: DecodeSettings) -> Box<dyn Batches> {
        match &self.store {
            ImageStore::Memory(set) => {
                let indices = self.indices.clone();
                let images = SampledImages::new(set.clone(), indices, self.recipe, self.seed)
                    .drawn_by(self.sampler.clone());
                Box::new(ArrayBatches::new(images, pieces))
            }
            ImageStore::Shards(set) => {
                let in_order = self.indices.iter().copied().eq(0..set.len() as u32);
                let sampler = self.sampler.clone();
                let DecodeSettings { threads, ahead, batch_images, pin, corrupt_policy } = settings;
                let view = View::of(self.recipe, self.side);
                let seed = self.seed;
                Box::new(Loader::start(
                    Box::new(ShardSource(set.clone())),
                    (!in_order).then(|| self.indices.to_vec()),
                    Box::new(move |epoch| sampler.order(epoch)),
                    pieces,
                    LoaderOptions { threads, ahead, batch_images, pin, seed, view, corrupt_policy },
                ))
            }
        }
    }
}
