//! Passes over all images, and what they cost.

use std::sync::Arc;
use std::time::{Duration, Instant};

use lcsl_data::DataError;
use lcsl_data::batch::{ArrayBatches, Batches, Piece, Pieces, SampledImages};
use lcsl_data::images::ImageSet;
use lcsl_data::loader::{CorruptPolicy, ImageSource, Loader, LoaderOptions, View};
use lcsl_data::sampler::EpochOrder;

use super::Setting;

/// Batches that are made before the loop asks for them.
const AHEAD: usize = 2;

/// What was measured. There is at least one pass.
#[derive(Debug)]
pub(super) struct Measured {
    /// Images per second, of each pass.
    pub(super) passes: Vec<f64>,
    /// Memory that this process has for itself at the end of each pass, in bytes; empty where the system
    /// does not say.
    pub(super) private_bytes: Vec<u64>,
    /// Time that the loop waited for batches, in all passes.
    pub(super) waited: Duration,
}

impl Measured {
    fn new() -> Self {
        Self { passes: Vec::new(), private_bytes: Vec::new(), waited: Duration::ZERO }
    }

    fn sorted(&self) -> Vec<f64> {
        let mut sorted = self.passes.clone();
        sorted.sort_by(f64::total_cmp);
        sorted
    }

    /// The pass in the middle, the slower of two.
    pub(super) fn median(&self) -> f64 {
        let sorted = self.sorted();
        sorted[(sorted.len() - 1) / 2]
    }

    /// The slowest and the fastest pass.
    pub(super) fn spread(&self) -> (f64, f64) {
        let sorted = self.sorted();
        (sorted[0], sorted[sorted.len() - 1])
    }

    fn add(&mut self, images: u64, took: Duration) {
        self.passes.push(images as f64 / took.as_secs_f64());
        self.private_bytes.extend(private_bytes());
    }
}

/// Loads every picture once to warm up, and then once per pass.
pub(super) fn pictures(
    source: Box<dyn ImageSource>,
    setting: Setting,
) -> Result<Measured, DataError> {
    let Setting { threads, batch, side, seed, recipe: (_, recipe), .. } = setting;
    let images = source.len() as u64;
    let options = LoaderOptions {
        threads,
        ahead: AHEAD,
        batch_images: batch.min(images) as usize,
        pin: None,
        seed,
        view: View::of(recipe, side),
        corrupt_policy: CorruptPolicy::Fail,
    };
    let order = Box::new(move |epoch| EpochOrder::random(images, seed, epoch));
    let loader = Loader::start(source, None, order, pieces(images, setting), options);
    measure(loader, images, setting)
}

/// Copies every image once to warm up, and then once per pass, augmented as training does.
pub(super) fn arrays(set: ImageSet, setting: Setting) -> Result<Measured, DataError> {
    let images = set.len() as u64;
    let indices: Arc<[u32]> = (0..images as u32).collect();
    let sampled = SampledImages::new(Arc::new(set), indices, setting.recipe.1, setting.seed);
    measure(ArrayBatches::new(sampled, pieces(images, setting)), images, setting)
}

/// All epochs in batches, that of the warm-up first.
fn pieces(images: u64, setting: Setting) -> Pieces {
    let Setting { batch, epochs, .. } = setting;
    Box::new((0..=epochs).flat_map(move |epoch| {
        (0..images)
            .step_by(batch as usize)
            .map(move |start| Piece { epoch, positions: start..(start + batch).min(images) })
    }))
}

/// The time of each pass after the first one.
fn measure(
    mut batches: impl Batches,
    images: u64,
    setting: Setting,
) -> Result<Measured, DataError> {
    let mut measured = Measured::new();
    for epoch in 0..=setting.epochs {
        let began = Instant::now();
        for _ in 0..images.div_ceil(setting.batch) {
            std::hint::black_box(batches.next()?);
        }
        let waited = batches.take_waited();
        if epoch > 0 {
            measured.add(images, began.elapsed());
            measured.waited += waited;
        }
    }
    Ok(measured)
}

/// Memory that only this process has, in bytes: what it has written, not the files that it maps.
fn private_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/smaps_rollup").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("Private_Dirty:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes << 10)
}
