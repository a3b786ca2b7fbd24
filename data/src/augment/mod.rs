//! One image, changed at random on its way into a batch.
//!
//! The random choices of an image belong to its place in the order, (seed, epoch, position, view),
//! never to the image: an image that an epoch draws twice is augmented twice.
//!
//! [`Recipe`] with [`augment()`] is what a training run applies: a window, then [`Step`]s. The
//! published ones stand in [`recipes`]. Steps work on RGB images that lie in a [`Canvas`], one module
//! per family: [`geometry`] moves pixels, [`colour`] and [`tone`] change each on its own, [`blur`]
//! mixes neighbours, [`cutout`](mod@cutout) leaves a square out. Policies draw such
//! [`Operation`]s: [`autoaugment_cifar10`], [`RandAugment`] and [`ColourJitter`].
//!
//! Every operation on pixels gives what Pillow gives, since published results were obtained with
//! it.

mod autoaugment;
pub mod blur;
mod canvas;
pub mod colour;
pub mod cutout;
pub mod geometry;
mod interpolation;
mod jitter;
mod operation;
mod randaugment;
mod recipe;
pub mod recipes;
mod step;
pub mod tone;
pub mod zoom;

pub use autoaugment::autoaugment_cifar10;
pub use canvas::{Canvas, RgbPixel};
pub use interpolation::{Interpolation, Reading};
pub use jitter::ColourJitter;
pub use operation::Operation;
pub use randaugment::RandAugment;
pub use recipe::{Crop, Recipe, augment};
pub use step::{Step, retouch};
