//! Batches of images, decoded ahead by threads: [`Batches`](crate::batch::Batches) of whatever has to be
//! decoded.
//!
//! 1. [`source`]: where bytes and labels come from; [`shards`]: from prepared shards.
//!    [`opened`]: whatever a path holds.
//! 2. [`view`]: what is done to an image on its way into a batch.
//! 3. [`job`]: some images of one batch, filled by one thread; pure but for the source.
//! 4. [`memory`]: where batches lie, and who is told of it.
//! 5. [`ring`]: which job is done next, and when a batch is whole.
//! 6. [`threads`]: the threads, and the [`Loader`] that a training loop asks for batches.
//! 7. [`sound`]: a batch without its corrupt images.
//!
//! ```text
//!   pieces              batch k+1                   batch k
//!   (epoch, positions)  [job|job|job|job]  threads  [job|job|job|job]  whole, in order
//!        ------------>  memory of a slot  ------->  memory of a slot  ----------------> loop
//!                             ^                                                           |
//!                             +---------- given back when the next one is asked for ------+
//! ```
//!
//! A slot is one piece of memory, cut into jobs that threads own while they fill them, and joined
//! again without a copy. There are as many slots as [`LoaderOptions::ahead`] says plus the one that the
//! loop looks at: a slow loop stops the threads, and memory does not grow.
//!
//! Which image stands where, and how it is augmented, follows from (seed, epoch, position, view)
//! alone, so any number of threads gives the same bytes. There is never a fork: threads share the
//! mapped files and the index.

pub mod job;
pub mod memory;
pub mod opened;
pub mod ring;
pub mod shards;
pub mod sound;
pub mod source;
pub mod threads;
pub mod view;

pub use memory::{PinMemory, Pinned};
pub use opened::OpenedImages;
pub use ring::Batch;
pub use shards::ShardSource;
pub use source::{FolderSource, ImageEncoding, ImageSource, MemorySource};
pub use threads::{CorruptPolicy, Loader, LoaderOptions};
pub use view::{Framing, View};
