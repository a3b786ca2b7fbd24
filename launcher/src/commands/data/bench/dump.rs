//! The first images as they come out, for others to compare.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use lcsl_data::augment::{Canvas, Recipe, augment};
use lcsl_data::batch::LoadError;
use lcsl_data::decode::header::Header;
use lcsl_data::decode::resize::Mirror;
use lcsl_data::decode::{Decoder, ImageError, Window};
use lcsl_data::images::ImageSet;
use lcsl_data::loader::{ImageEncoding, ImageSource, OpenedImages, View};
use lcsl_data::random::{Purpose, Stream};
use lcsl_data::sampler::EpochOrder;
use serde_json::{Value, json};

use super::Setting;
use crate::commands::data::fault::bad_data;
use crate::fault::Fault;

/// Writes the first `count` images of the first epoch as PPM (or PGM) files, and `windows.jsonl`: where each
/// of them comes from.
pub(super) fn write(
    images: &OpenedImages,
    setting: Setting,
    count: u64,
    folder: &Path,
) -> Result<(), Fault> {
    let failed = |error| Fault::disk("write to", folder, &error);
    fs::create_dir_all(folder).map_err(failed)?;
    let mut list = fs::File::create(folder.join("windows.jsonl")).map_err(failed)?;
    let total = match images {
        OpenedImages::Pictures(source) => source.len() as u64,
        OpenedImages::Arrays(set) => set.len() as u64,
    };
    let order = EpochOrder::random(total, setting.seed, 0);
    let mut decoder = Decoder::default();
    for position in 0..count.min(total) {
        let index = order.at(position) as usize;
        let stream = || Stream::new(setting.seed, Purpose::Augment, 0, position, 0);
        let (origin, magic, [width, height], pixels) = match images {
            OpenedImages::Pictures(source) => {
                let view = View::of(setting.recipe.1, setting.side);
                let (origin, pixels) = picture(source.as_ref(), index, view, stream, &mut decoder)?;
                (origin, "P6", [setting.side; 2], pixels)
            }
            OpenedImages::Arrays(set) => {
                let shape = set.shape();
                let magic = if shape.channels == 1 { "P5" } else { "P6" };
                (
                    json!({}),
                    magic,
                    [shape.width, shape.height],
                    array(set, index, setting.recipe.1, stream()),
                )
            }
        };
        let line = json!({ "position": position, "index": index, "origin": origin });
        writeln!(list, "{line}").map_err(failed)?;
        let mut file = format!("{magic}\n{width} {height}\n255\n").into_bytes();
        file.extend(pixels);
        fs::write(folder.join(format!("{position:06}.ppm")), file).map_err(failed)?;
    }
    Ok(())
}

/// A picture as training sees it, and which window of which file it is.
fn picture(
    source: &dyn ImageSource,
    index: usize,
    view: View,
    stream: impl Fn() -> Stream,
    decoder: &mut Decoder,
) -> Result<(Value, Vec<u8>), Fault> {
    let mut scratch = Vec::new();
    let (encoding, bytes) = source.image(index, &mut scratch).map_err(|error| bad_data(&error))?;
    let wrong = |error: ImageError| {
        let place = source.place(index);
        bad_data(&LoadError::Image { place, index: index as u64, source: error }.into())
    };
    let mut pixels = vec![0; view.shape.bytes()];
    let hands = (decoder, &mut Canvas::default());
    view.render((encoding, bytes), &mut stream(), hands, &mut pixels).map_err(wrong)?;
    let (width, height) = match encoding {
        ImageEncoding::Jpeg => {
            let header = Header::read(bytes).map_err(wrong)?;
            (header.width, header.height)
        }
        ImageEncoding::Rgb { width, height } => (width, height),
    };
    let (Window { left, top, width, height }, mirrored) = view.choose(width, height, &mut stream());
    let origin = json!({
        "place": source.place(index),
        "window": [left, top, width, height],
        "mirrored": mirrored == Mirror::Yes,
    });
    Ok((origin, pixels))
}

fn array(set: &ImageSet, index: usize, recipe: Recipe, mut stream: Stream) -> Vec<u8> {
    let shape = set.shape();
    let mut pixels = vec![0; shape.bytes()];
    let canvas = &mut Canvas::default();
    augment(recipe, shape, set.image(index), &mut pixels, canvas, &mut stream);
    pixels
}
