//! The Huffman codes of ordinary JPEG files, read faster than libjpeg-turbo reads them.
//!
//! Most of the time of a photograph goes into its codes, because they stand one behind the other: also
//! those of which nobody wants the pixels have to be read. Here a table tells of the next 10 bits which
//! code they begin with and how many bits the number behind it has, and, where no values are wanted,
//! of the next 11 how many coefficients they are ([`table`]). A scan ([`scan`]) is read unit by unit, as
//! libjpeg-turbo asks for it; all else remains its work.
//!
//! Ordinary means: one scan of sequential Huffman codes with 8 bits per sample, whole and without
//! mistakes. Whatever else comes up ends in [`NotPlain`], and libjpeg-turbo decodes the file from its
//! beginning and finds words for what is wrong. So this module answers the same coefficients as it
//! does, or none; `tests/codes.rs` and the fuzz target `jpeg` hold it to that.
//!
//! Source: ITU-T T.81, the JPEG standard.

#![allow(clippy::inline_always)] // calls, 100,000 per photograph, would cost more than what they do

mod bits;
mod scan;
mod table;

pub use scan::{BLOCKS_MAX, BlockPlace, CoefficientBlock, NotPlain, ScanLayout, ScanReader};
pub use table::{HuffmanClass, HuffmanSpec};
