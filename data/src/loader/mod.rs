//! Batches of images, decoded ahead by threads.
//!
//! 1. [`source`]: where bytes and labels come from; [`shards`]: from prepared shards.
//!    [`opened`]: whatever a path holds.
//! 2. [`view`]: what is done to an image on its way into a batch.
//! 3. [`part`]: some images of one batch, filled by one thread; pure but for the source.
//! 4. [`memory`]: where batches lie, and who is told of it.
//! 5. [`ring`]: which part is filled next, and when a batch is whole.
//! 6. [`threads`]: the threads, and the [`Loader`] that a training loop asks for batches.
//! 7. [`kept`]: a batch without the images that were refused.
//!
//! ```text
//!   requests            batch k+1                       batch k
//!   (epoch, positions)  [part|part|part|part]  threads  [part|part|part|part]  whole, in order
//!        ------------>      memory of a slot  -------->     memory of a slot  ----------------> loop
//!                                 ^                                                              |
//!                                 +----------------- given back with the next request -----------+
//! ```
//!
//! A slot is one piece of memory, cut into parts that threads own while they fill them, and joined
//! again without a copy. There are as many slots as [`Options::ahead`] says plus the one that the
//! loop looks at: a slow loop stops the threads, and memory does not grow.
//!
//! Which image stands where, and how it is augmented, follows from (seed, epoch, position, view)
//! alone, so any number of threads gives the same bytes. There is never a fork: threads share the
//! mapped files and the index.

pub mod kept;
pub mod memory;
pub mod opened;
pub mod part;
pub mod ring;
pub mod shards;
pub mod source;
pub mod threads;
pub mod view;

pub use kept::Kept;
pub use memory::{PinMemory, Pinned};
pub use opened::Opened;
pub use part::{LoadError, Refused};
pub use ring::{Batch, Request};
pub use shards::ShardSource;
pub use source::{Encoding, FolderSource, MemorySource, Source};
pub use threads::{Loader, OnRefusal, Options};
pub use view::{Framing, View};
