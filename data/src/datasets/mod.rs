//! The datasets by name: [`open`] reads the official files of one into memory, [`prepared`] opens those
//! that lie in shards.
//!
//! Each dataset has a file of its own, which says where it comes from and what its files look like.

#[cfg(feature = "pictures")]
mod arrays;
pub mod cifar;
mod dataset;
pub mod fashion_mnist;
mod form;
#[cfg(feature = "pictures")]
pub mod images;
mod open;
pub mod prepared;
pub mod synthetic;

pub use dataset::{Dataset, DatasetId, PixelNormalisation, UnknownDataset};
pub use form::ImageForm;
pub use open::{DatasetOptions, open, open_official};
