//! What a loop asks for batches, wherever the images are.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
use std::time::Duration;

use super::corrupt::CorruptRecord;
use crate::DataError;

/// A piece of an epoch: the positions of one batch, in the order in which they stand in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The epoch, from 0.
    pub epoch: u64,
    /// The positions in the epoch's order.
    pub positions: Range<u64>,
}

impl Piece {
    /// The number of images.
    pub fn images(&self) -> usize {
        self.positions.end.saturating_sub(self.positions.start) as usize
    }
}

/// The pieces of a stream, in the order in which they are wanted: it may begin in the middle of an
/// epoch, and it may have no end.
pub type Pieces = Box<dyn Iterator<Item = Piece> + Send>;

/// The images of one piece, without those that are corrupt.
#[derive(Debug)]
pub struct RawBatch<'a> {
    /// What was asked for.
    pub piece: Piece,
    /// Images (N, H, W, C), row-major, 8 bits, not normalised.
    pub pixels: Cow<'a, [u8]>,
    /// Classes (N).
    pub labels: Cow<'a, [i64]>,
    /// Positions in the epoch (N), ascending; with gaps where corrupt images were skipped.
    pub positions: Vec<u64>,
    /// The images of the piece that were skipped.
    pub corrupt: &'a [CorruptRecord],
}

/// A stream of batches: of each piece in turn, its images. The pieces are given once, to whoever makes
/// the stream, and each batch says which piece it is, so that no plan is kept twice. A stream holds its
/// own sampler and seed; several may run side by side.
pub trait Batches: Send {
    /// The batch of the next piece, or none behind the last one. Its memory is used again for the one
    /// after it.
    ///
    /// # Errors
    /// When an image cannot be read and that is fatal. The stream has then ended.
    fn next(&mut self) -> Result<Option<RawBatch<'_>>, DataError>;

    /// The time that [`Batches::next`] has waited for other threads since the last call.
    fn take_waited(&mut self) -> Duration;
}

impl fmt::Debug for dyn Batches {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Batches")
    }
}
