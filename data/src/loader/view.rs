//! What is done to a photograph on its way into a batch.

use crate::augment::recipes::photographs;
use crate::augment::{Canvas, Crop, Recipe, Step, retouch};
use crate::crop::{RandomResizedCrop, centre};
use crate::decode::resize::Mirror;
use crate::decode::{Decoder, ImageError, Window};
use crate::images::Shape;
use crate::random::Stream;

use super::source::ImageEncoding;

/// How the window of a photograph is chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Framing {
    /// A random window, mirrored half of the time: for training.
    Random(RandomResizedCrop),
    /// The square in the middle with this share of the shorter side: for evaluation.
    Centre {
        /// 224/256 for the evaluation that is usual on `ImageNet`.
        share: f64,
    },
}

/// A window of a photograph, resized to one shape for all.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct View {
    /// How the window is chosen.
    pub framing: Framing,
    /// What is done to it afterwards.
    pub steps: &'static [Step],
    /// The size of what comes out; three channels.
    pub shape: Shape,
}

impl View {
    /// The view of `recipe` on squares of `side` pixels. A photograph may have any size, so that one
    /// that is to be padded has a window drawn and resized instead; one that is to be shown as it is
    /// shows what is evaluated.
    pub fn of(recipe: Recipe, side: usize) -> Self {
        let framing = match recipe.crop {
            Crop::Whole => Framing::Centre { share: 0.875 },
            Crop::PadFlip { .. } => Framing::Random(RandomResizedCrop::INCEPTION),
            Crop::ResizedFlip(crop) => Framing::Random(crop),
        };
        let shape = Shape { height: side, width: side, channels: 3 };
        Self { framing, steps: recipe.steps, shape }
    }

    /// The view that trains on squares of `side` pixels.
    pub fn training(side: usize) -> Self {
        Self::of(photographs::CROP_FLIP, side)
    }

    /// The view that is evaluated on: squares of `side` pixels.
    pub fn evaluation(side: usize) -> Self {
        Self::of(Recipe::AS_IS, side)
    }

    /// Writes the view of one image, with the random choices of `stream`, to `target`. What `decoder`
    /// and `canvas` held does not matter.
    ///
    /// # Errors
    /// When the image is corrupt, or beyond the decoder's limits.
    ///
    /// # Panics
    /// When `target` is not as long as an image of this shape.
    pub fn render(
        &self,
        (encoding, bytes): (ImageEncoding, &[u8]),
        stream: &mut Stream,
        (decoder, canvas): (&mut Decoder, &mut Canvas),
        target: &mut [u8],
    ) -> Result<(), ImageError> {
        // The order of these draws is part of what a seed means.
        let choose = |width, height| self.choose(width, height, stream);
        match encoding {
            ImageEncoding::Jpeg => decoder.window(bytes, choose, self.shape, target),
            ImageEncoding::Rgb { width, height } => {
                decoder.window_of_rgb(bytes, (width, height), choose, self.shape, target)
            }
        }?;
        retouch(self.steps, self.shape, target, canvas, stream);
        Ok(())
    }

    /// The window of a picture of this size, and whether it is mirrored.
    pub fn choose(&self, width: u32, height: u32, stream: &mut Stream) -> (Window, Mirror) {
        match self.framing {
            Framing::Centre { share } => (centre(width, height, share), Mirror::No),
            Framing::Random(crop) => {
                // The order of these draws is part of what a seed means.
                let window = crop.draw(width, height, stream);
                let mirrored = stream.next_u32() & 1 == 1;
                (window, if mirrored { Mirror::Yes } else { Mirror::No })
            }
        }
    }
}
