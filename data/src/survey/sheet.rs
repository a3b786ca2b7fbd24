//! A contact sheet: the largest classes above, the smallest below, a row for each.

use std::io::{self, Write};

use super::counts::by_size;
use super::open::SurveyedSplit;
use crate::error::DataError;
use crate::prepare::image::{RgbImage, resize};

/// Classes at either end.
const CLASSES: usize = 8;
/// Images of a class.
const IMAGES: usize = 10;
/// Pixels of a thumbnail, and between two.
const SIDE: u32 = 96;
const GAP: u32 = 4;
/// Pixels between head and tail.
const RULE: u32 = 16;
const BACKGROUND: u8 = 255;

/// A sheet and what its rows are.
#[derive(Debug)]
pub struct Sheet {
    /// The picture.
    pub picture: RgbImage,
    /// The class of each row, from the top.
    pub rows: Vec<usize>,
    /// How many of the rows are above the rule.
    pub head: usize,
}

/// Draws the sheet of a split.
///
/// # Errors
/// When an image that is to be on it is damaged.
pub fn draw(split: &SurveyedSplit) -> Result<Sheet, DataError> {
    let classes: Vec<usize> =
        by_size(&split.counts).into_iter().filter(|&class| split.counts[class] > 0).collect();
    let head = classes.len().div_ceil(2).min(CLASSES);
    let tail = (classes.len() - head).min(CLASSES);
    let rows: Vec<usize> =
        classes[..head].iter().chain(&classes[classes.len() - tail..]).copied().collect();
    let width = IMAGES as u32 * (SIDE + GAP) + GAP;
    let height = rows.len() as u32 * (SIDE + GAP) + GAP + RULE;
    let pixels = vec![BACKGROUND; (width * height * 3) as usize];
    let mut picture = RgbImage { width, height, pixels };
    for (row, &class) in rows.iter().enumerate() {
        let below = if row < head { 0 } else { RULE };
        let top = GAP + row as u32 * (SIDE + GAP) + below;
        for (column, i) in split.of_class(class as u32, IMAGES).into_iter().enumerate() {
            let thumbnail = resize(&split.decoded(i)?, SIDE, SIDE);
            let thumbnail = thumbnail.expect("both sizes are above 0");
            paste(&mut picture, &thumbnail, GAP + column as u32 * (SIDE + GAP), top);
        }
    }
    rule(&mut picture, GAP + head as u32 * (SIDE + GAP) + RULE / 2 - GAP);
    Ok(Sheet { picture, rows, head })
}

fn paste(picture: &mut RgbImage, image: &RgbImage, left: u32, top: u32) {
    let bytes = image.width as usize * 3;
    for (y, row) in image.pixels.chunks_exact(bytes).enumerate() {
        let at = ((top as usize + y) * picture.width as usize + left as usize) * 3;
        picture.pixels[at..at + bytes].copy_from_slice(row);
    }
}

/// A dark line across the sheet.
fn rule(picture: &mut RgbImage, top: u32) {
    let row = picture.width as usize * 3;
    picture.pixels[top as usize * row..][..2 * row].fill(0);
}

/// Writes a picture as PNG.
///
/// # Errors
/// When the system cannot write.
pub fn write_png(picture: &RgbImage, file: impl Write) -> io::Result<()> {
    let mut encoder = png::Encoder::new(file, picture.width, picture.height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.write_header()?.write_image_data(&picture.pixels)?;
    Ok(())
}
