//! What a policy can do to an image, with the size of it.

use super::{Canvas, Reading, colour, geometry, tone};

/// One operation on a [`Canvas`]. The names are those of the articles; the numbers mean what they
/// mean to the function of that name.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Operation {
    /// [`geometry::shear_x`] by this factor.
    ShearX(f64),
    /// [`geometry::shear_y`] by this factor.
    ShearY(f64),
    /// [`geometry::translate_x`] by so many pixels.
    TranslateX(f64),
    /// [`geometry::translate_y`] by so many pixels.
    TranslateY(f64),
    /// [`geometry::rotate`] by so many degrees.
    Rotate(f64),
    /// [`colour::brightness`] with this factor.
    Brightness(f64),
    /// [`colour::contrast`] with this factor.
    Contrast(f64),
    /// [`colour::saturation`] with this factor.
    Colour(f64),
    /// [`colour::sharpness`] with this factor.
    Sharpness(f64),
    /// [`tone::posterize`] to so many bits.
    Posterize(u8),
    /// [`tone::solarize`] from this level on.
    Solarize(u16),
    /// [`tone::solarize_add`] of so many levels.
    SolarizeAdd(u8),
    /// [`tone::autocontrast`].
    AutoContrast,
    /// [`tone::equalize`].
    Equalize,
    /// [`tone::invert`].
    Invert,
}

impl Operation {
    /// Does it to the image in `canvas`, which is read as `reading` says where pixels move.
    pub fn apply(self, canvas: &mut Canvas, reading: Reading) {
        match self {
            Self::ShearX(factor) => geometry::shear_x(canvas, factor, reading),
            Self::ShearY(factor) => geometry::shear_y(canvas, factor, reading),
            Self::TranslateX(pixels) => geometry::translate_x(canvas, pixels, reading),
            Self::TranslateY(pixels) => geometry::translate_y(canvas, pixels, reading),
            Self::Rotate(degrees) => geometry::rotate(canvas, degrees, reading),
            Self::Brightness(factor) => colour::brightness(canvas, factor),
            Self::Contrast(factor) => colour::contrast(canvas, factor),
            Self::Colour(factor) => colour::saturation(canvas, factor),
            Self::Sharpness(factor) => colour::sharpness(canvas, factor),
            Self::Posterize(bits) => tone::posterize(canvas, bits),
            Self::Solarize(threshold) => tone::solarize(canvas, threshold),
            Self::SolarizeAdd(amount) => tone::solarize_add(canvas, amount),
            Self::AutoContrast => tone::autocontrast(canvas),
            Self::Equalize => tone::equalize(canvas),
            Self::Invert => tone::invert(canvas),
        }
    }
}

/// An operation whose size is still to be chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum OperationKind {
    ShearX,
    ShearY,
    TranslateX,
    TranslateY,
    Rotate,
    Brightness,
    Contrast,
    Colour,
    Sharpness,
    Posterize,
    Solarize,
    SolarizeAdd,
    AutoContrast,
    Equalize,
    Invert,
}

/// The kind that the programs of others call `name`.
#[cfg(test)]
pub(super) fn named(name: &str) -> OperationKind {
    let kinds = [
        (OperationKind::ShearX, "ShearX"),
        (OperationKind::ShearY, "ShearY"),
        (OperationKind::TranslateX, "TranslateX"),
        (OperationKind::TranslateY, "TranslateY"),
        (OperationKind::Rotate, "Rotate"),
        (OperationKind::Brightness, "Brightness"),
        (OperationKind::Contrast, "Contrast"),
        (OperationKind::Colour, "Color"),
        (OperationKind::Sharpness, "Sharpness"),
        (OperationKind::Posterize, "Posterize"),
        (OperationKind::Solarize, "Solarize"),
        (OperationKind::SolarizeAdd, "SolarizeAdd"),
        (OperationKind::AutoContrast, "AutoContrast"),
        (OperationKind::Equalize, "Equalize"),
        (OperationKind::Invert, "Invert"),
    ];
    kinds.into_iter().find(|kind| kind.1 == name).expect("a known operation").0
}

/// The number inside, 0 where there is none.
#[cfg(test)]
pub(super) fn number(operation: Operation) -> f64 {
    match operation {
        Operation::ShearX(x)
        | Operation::ShearY(x)
        | Operation::TranslateX(x)
        | Operation::TranslateY(x)
        | Operation::Rotate(x)
        | Operation::Brightness(x)
        | Operation::Contrast(x)
        | Operation::Colour(x)
        | Operation::Sharpness(x) => x,
        Operation::Posterize(x) | Operation::SolarizeAdd(x) => f64::from(x),
        Operation::Solarize(x) => f64::from(x),
        Operation::AutoContrast | Operation::Equalize | Operation::Invert => 0.0,
    }
}
