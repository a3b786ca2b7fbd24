//! From a dataset as it is published to sets of shards: `lcsl data prepare`.
//!
//! A preparation is planned first (which images, in which order, with which labels), which finds
//! everything that is wrong with lists and folders before a byte is written. Then threads write
//! shards, each on its own, so that a preparation that was killed goes on where it was. In reading
//! order:
//!
//! 1. [`request`]: what is asked for. [`plan`]: the images of each split.
//! 2. [`sources`]: a file for each kind of dataset, from its folder to a plan.
//! 3. [`image`]: an image as it comes, made into what is stored; `formats` (feature `more_formats`): what is
//!    neither JPEG nor PNG.
//! 4. [`work`]: shards written by threads, and found again after a kill.
//! 5. [`arrays`]: small sets of images of one size, as `images.npy` and `labels.npy`.
//! 6. [`manifest`]: what is written down about the result, [`duplicates`] among it; [`names`]: where each
//!    image came from; `noted`: which could not be read, and which may be damaged.
//! 7. [`run`]: all of it in order; `claim`: a folder belongs to one preparation.
//! 8. [`foreign`]: an index for shards that something else wrote.
//! 9. [`problems`] and [`error`]: what can be wrong, all of it at once.

#[cfg(feature = "pictures")]
pub mod arrays;
#[cfg(feature = "pictures")]
mod claim;
pub mod duplicates;
pub mod error;
#[cfg(feature = "pictures")]
pub mod foreign;
#[cfg(feature = "more_formats")]
mod formats;
#[cfg(feature = "pictures")]
pub mod image;
pub mod manifest;
pub mod names;
#[cfg(feature = "pictures")]
mod noted;
pub mod plan;
pub mod problems;
pub mod request;
#[cfg(feature = "pictures")]
pub mod run;
#[cfg(feature = "pictures")]
pub mod sources;
#[cfg(feature = "pictures")]
pub mod work;

pub use error::PrepareError;
pub use manifest::DatasetManifest;
pub use request::{OnUnreadable, PrepareRequest};
#[cfg(feature = "pictures")]
pub use run::{Outcome, prepare};
#[cfg(feature = "pictures")]
pub use work::PrepareProgress;
