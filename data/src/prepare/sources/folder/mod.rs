//! Any images, a folder for each class.
//!
//! 1. `walk`: the folders below the root, as they lie on disk.
//! 2. `layout`: which of them are parts and which are classes; pure.
//! 3. `hold_out`: the test and validation images that training must not see; pure.
//! 4. [`plan()`]: all of it together.

mod below;
mod hold_out;
mod layout;
mod plan;
mod walk;

pub use below::images_below;
pub use hold_out::TEST_SHARE;
pub use plan::plan;

/// What a root should look like.
const HINT: &str = "--root names a folder with a sub-folder for each class, or with train/ (and val/ \
    and test/) that have them; images are JPEG, PNG, GIF, WebP, BMP, TIFF, PPM or PGM";

/// The same where images have no classes.
const HINT_WITHOUT_CLASSES: &str = "--root names a folder with images in it or below it: JPEG, PNG, GIF, WebP, \
    BMP, TIFF, PPM or PGM";
