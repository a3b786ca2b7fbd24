//! From files on disk to bytes in a batch.
//!
//! This crate knows "part i of n" and "position p of epoch e". It knows no rank, no tensor and no
//! device, and everything that has one right answer is a plain function of plain values. A newcomer
//! reads it in this order:
//!
//! 1. [`random`]: one stream of random numbers per (seed, purpose, coordinates). No generator is
//!    ever shared between threads or carried from step to step, so the number of threads and processes
//!    cannot change what is computed.
//! 2. [`share`]: which part of a whole belongs to part i of n.
//! 3. [`images`]: a set of labelled images of one size, in memory.
//! 4. [`datasets`]: the datasets by name, opened from their official files; [`idx`] is the format
//!    of one of them, and [`error`] says what can be wrong with a file and what to do about it.
//! 5. [`profile`]: how many images each class of a long-tailed set keeps.
//! 6. [`split`]: which images these are, and which ones are held out for validation.
//! 7. [`sampler`]: the order of an epoch, computed for each position on its own.
//! 8. [`augment`]: one image, changed at random, as a [recipe](augment::recipes) says.
//! 9. [`decode`]: a window of a JPEG file as pixels of the wanted size; [`crop`] draws the window.
//! 10. [`batch`]: all of it together: positions of an epoch in, bytes and labels out, wherever the
//!     images are.
//! 11. [`loader`]: batches of what has to be decoded, made ahead by threads.
//! 12. [`shard`]: sets too large for memory, in tar shards with an index; [`prepare`] makes them,
//!     [`verify`] compares their checksums, [`survey`] tells what is inside, [`staging`] copies them to a nearer disk.
//! 13. `pictures`: any picture, made into what a network sees when it is evaluated.
//!
//! ```
//! use lcsl_data::{batch::SampledImages, datasets, profile, split};
//! use std::{path::Path, sync::Arc};
//!
//! let options = datasets::DatasetOptions::default();
//! let dataset = datasets::open(datasets::DatasetId::Synthetic, Path::new("datasets"), &options)?;
//! let classes = dataset.classes();
//! let largest = dataset.largest_class();
//! let request = split::SplitRequest {
//!     targets: profile::counts(profile::ProfileShape::Exponential, classes, largest, 0.1),
//!     validation_per_class: 10,
//!     left: split::LeftOver::Unused,
//!     order: split::SelectionOrder::First,
//! };
//! let split = split::split(dataset.train.labels(), classes, &request)?;
//! let images = SampledImages::new(dataset.train.clone(), split.train.into(), dataset.recipe, 1);
//!
//! let (mut pixels, mut labels) = (Vec::new(), Vec::new());
//! images.fill(0, 0..64, 0, &mut pixels, &mut labels);
//! assert_eq!(pixels.len(), 64 * images.shape().bytes());
//! assert_eq!(labels.len(), 64);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod augment;
pub mod batch;
pub mod crop;
pub mod datasets;
pub mod decode;
pub mod error;
pub mod idx;
pub mod images;
#[cfg(feature = "pictures")]
pub mod loader;
#[cfg(feature = "pictures")]
pub mod pictures;
mod prefetch;
pub mod prepare;
pub mod profile;
pub mod random;
pub mod sampler;
pub mod shard;
pub mod share;
pub mod split;
#[cfg(feature = "pictures")]
pub mod staging;
#[cfg(feature = "pictures")]
pub mod survey;
#[cfg(feature = "pictures")]
pub mod verify;

pub use error::DataError;
