//! How long a sampler takes from nothing to the image at position 10^9: microseconds, for each
//! sampler that needs no labels, and for a resampling one over iNaturalist 2018's 8,142 classes.
//!
//! `cargo bench -p lcsl-data --no-default-features --bench sampler_seek`

use std::hint::black_box;
use std::time::Instant;

use lcsl_data::sampler::{EpochOrder, Sampler, SamplerKind};

const POSITION: u64 = 1_000_000_000;
const SEEKS: u64 = 1_000;

fn main() {
    let n = 2 * POSITION;
    report("random", |epoch| EpochOrder::random(n, 1, epoch).at(POSITION));
    report("quasi_random", |epoch| EpochOrder::quasi_random(n, 1, epoch).at(POSITION));
    let labels = (0..437_513_u32).map(|place| place % 8_142);
    let sampler = Sampler::new(SamplerKind::Progressive { first: 0, epochs: SEEKS }, labels, 1);
    report("progressive, 437,513 images", |epoch| sampler.order(epoch).at(437_512));
}

/// The median and the slowest of many seeks, each in an epoch of its own.
fn report(name: &str, seek: impl Fn(u64) -> u64) {
    let mut microseconds: Vec<f64> = (0..SEEKS)
        .map(|epoch| {
            let start = Instant::now();
            black_box(seek(black_box(epoch)));
            start.elapsed().as_secs_f64() * 1e6
        })
        .collect();
    microseconds.sort_by(f64::total_cmp);
    let (median, slowest) = (microseconds[microseconds.len() / 2], microseconds.last());
    println!("{name}: median {median:.2} us, slowest {:.2} us", slowest.unwrap_or(&0.0));
}
