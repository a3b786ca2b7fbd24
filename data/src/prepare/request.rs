//! What is asked of a preparation.

use std::path::PathBuf;

use crate::datasets::DatasetId;
use crate::shard::RecordForm;

/// What is done about images that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnUnreadable {
    /// The preparation ends with all of them named.
    Fail,
    /// They are left out, listed and counted.
    LeaveOut,
}

/// What to prepare, from where, into which form.
#[derive(Clone, Debug)]
pub struct PrepareRequest {
    /// The dataset.
    pub dataset: DatasetId,
    /// The folder that holds it; not read for [`DatasetId::Synthetic`].
    pub root: PathBuf,
    /// The folder to write: made where it is not there.
    pub out: PathBuf,
    /// What is stored of an image.
    pub form: RecordForm,
    /// JPEGs with a longer side than this, in pixels, are made smaller and encoded again.
    pub max_side: Option<u32>,
    /// Quality of JPEGs that are encoded here, 1 to 100.
    pub quality: u8,
    /// Draws the order in which training images are stored, which ones a selection keeps, and the
    /// images of [`DatasetId::Synthetic`].
    pub seed: u64,
    /// Images of a shard.
    pub images_per_shard: u32,
    /// Whether anything but the official files is an error.
    pub official: bool,
    /// Whether each picture is decoded once, also where its bytes are stored as they come: training would end at
    /// the first that cannot be.
    pub decode: bool,
    /// What is done about images that cannot be read.
    pub on_unreadable: OnUnreadable,
    /// Threads that write shards.
    pub threads: usize,
    /// For [`DatasetId::Folder`]: whether folders say nothing, and all images below the root are unlabelled ones, one
    /// part of one class.
    pub without_classes: bool,
    /// For [`DatasetId::Folder`]: smallest class over largest class of an exponential profile that is
    /// cut from the training images.
    pub imb_factor: Option<f64>,
    /// For [`DatasetId::Folder`]: share of each class's images that is held out to test on, at least 0 and
    /// less than the whole. Where it is not given, a dataset without test images gives up
    /// [`TEST_SHARE`](super::sources::folder::TEST_SHARE).
    pub test_share: Option<f64>,
    /// Images of each class that are held out for validation ([`DatasetId::Folder`]) or drawn for it
    /// ([`DatasetId::Synthetic`]).
    pub val_per_class: usize,
    /// For [`DatasetId::Synthetic`]: test images per class.
    pub test_per_class: usize,
    /// For [`DatasetId::Synthetic`]: a file with the number of training images of each class, one a
    /// line.
    pub counts: Option<PathBuf>,
    /// For [`DatasetId::Synthetic`]: width and height of an image in pixels.
    pub image_size: u32,
}
