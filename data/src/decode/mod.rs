//! From the bytes of a JPEG file to pixels of the size that a network wants.
//!
//! A training image is a random window of a photograph, resized. Decoding the whole photograph
//! first wastes most of the work, so only the window is decoded:
//!
//! 1. [`header`](mod@header): what the file says of itself, and whether it is whole; pure.
//!    [`scans`]: whether all of them are there, where that decides how it is decoded; pure.
//! 2. [`region`]: which pixels have to be decoded for a window, and at which scale; pure.
//! 3. [`libjpeg`]: libjpeg-turbo, behind safe calls, with `libjpeg.c` beside it. `entropy` (feature
//!    `fast_huffman`): the Huffman codes of ordinary files, read for it.
//! 4. [`resize`]: a window of decoded pixels to the size asked for, mirrored or not.
//! 5. [`decoder`]: all of it together, with its buffers: one [`Decoder`] per thread.
//!
//! Pixels are those of Pillow's `crop` followed by `resize(…, BILINEAR)`, which is also what
//! torchvision's `RandomResizedCrop` computes: the filter is as wide as the reduction and sees
//! nothing outside the window. Orientation in Exif is ignored, as torchvision ignores it.

#[cfg(feature = "pictures")]
pub mod decoder;
#[cfg(feature = "fast_huffman")]
pub mod entropy;
pub mod error;
pub mod header;
#[cfg(feature = "pictures")]
pub mod libjpeg;
pub mod region;
#[cfg(feature = "pictures")]
pub mod resize;
pub mod scans;

#[cfg(feature = "pictures")]
pub use decoder::{DecodeLimits, Decoder};
pub use error::ImageError;
pub use region::Window;
