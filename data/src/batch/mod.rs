//! Batches: positions of an epoch in, bytes and labels out.
//!
//! 1. [`batches`]: what a loop asks for, wherever the images are: [`Batches`].
//! 2. [`sampled`]: images in memory, drawn by a sampler and augmented; pure. [`arrays`]: their batches.
//!    Those of images in shards come from the [`loader`](crate::loader).
//! 3. [`store`] and [`stream`]: either of the two, by one call.
//! 4. [`corrupt`]: images that cannot be read.

pub mod arrays;
pub mod batches;
pub mod corrupt;
pub mod sampled;
pub mod store;
#[cfg(feature = "pictures")]
pub mod stream;

pub use arrays::ArrayBatches;
pub use batches::{Batches, Piece, Pieces, RawBatch};
pub use corrupt::{CorruptRecord, LoadError};
pub use sampled::SampledImages;
pub use store::ImageStore;
#[cfg(feature = "pictures")]
pub use stream::{DecodeSettings, ImageStream};
