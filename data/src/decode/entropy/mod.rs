#![doc = include_str!("README.md")]
#![allow(clippy::inline_always)] // calls, 100,000 per photograph, would cost more than what they do

mod bits;
mod callbacks;
mod scan;
mod table;

pub(super) use callbacks::with_reader;
pub use scan::{BLOCKS_MAX, BlockPlace, CoefficientBlock, NotPlain, ScanLayout, ScanReader};
pub use table::{HuffmanClass, HuffmanSpec};
