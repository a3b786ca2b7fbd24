//! Image sets too large for memory: images in tar shards, found through an index.
//!
//! A set is a folder. Its shards are plain tar files that any WebDataset reader opens; the index
//! beside them says where each image lies, so that opening a set parses nothing, however many
//! images it has. In reading order:
//!
//! 1. [`index`]: the file format, with its picture; [`record`]: the 48 bytes of one image.
//! 2. [`set`]: an opened set, and what is checked when.
//! 3. [`mapping`]: a file as memory, and [`sigbus`]: what happens when such a file shrinks.
//! 4. [`writer`]: one shard being written.
//! 5. [`error`]: what can be wrong with any of it.

pub mod error;
pub mod index;
pub mod mapping;
pub mod record;
pub mod set;
pub mod sigbus;
pub mod writer;

pub use error::ShardError;
pub use index::RecordForm;
pub use record::Record;
pub use set::{Check, ShardSet};
