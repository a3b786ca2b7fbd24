//! Pictures of any kind and size, made into what a network sees when it is evaluated.

use crate::augment::Canvas;
use crate::datasets::ImageForm;
use crate::decode::Decoder;
use crate::loader::{ImageEncoding, View};
use crate::prepare::image::{self, JPEG_MAGIC, RgbImage, words};
use crate::random::{Purpose, Stream};

/// Reads one picture after the other.
pub struct PictureReader {
    form: ImageForm,
    decoder: Decoder,
    canvas: Canvas,
    /// RGB rows of the size that is wanted.
    rows: Vec<u8>,
}

impl PictureReader {
    /// For pictures that are to look like images of this form.
    pub fn new(form: ImageForm) -> Self {
        let rows = vec![0; form.shape.height * form.shape.width * 3];
        Self { form, decoder: image::decoder(), canvas: Canvas::default(), rows }
    }

    /// Adds what a network sees of a picture, the bytes of whose file these are, to `pixels`: rows of pixels (H, W, C)
    /// of the form's shape. A photograph is cut and resized as an evaluation does it, to the same bytes; of a picture
    /// for a set of small images, the middle is taken as far as its shape asks for, and one that has the right size
    /// stays as it is. Grey is that of ITU-R 601, as Pillow computes it.
    ///
    /// # Errors
    /// In words that go on after the file's name: not an image, damaged, cut off, too large.
    pub fn read(&mut self, file: &[u8], pixels: &mut Vec<u8>) -> Result<(), String> {
        if file.is_empty() {
            return Err("is empty".to_owned());
        }
        let shape = self.form.shape;
        let (width, height) = (shape.width as u32, shape.height as u32);
        if self.form.are_photographs {
            let decoded;
            let encoded = if file.starts_with(&JPEG_MAGIC) {
                (ImageEncoding::Jpeg, file)
            } else {
                let RgbImage { width, height, pixels } = image::decode(file)?;
                decoded = pixels;
                (ImageEncoding::Rgb { width, height }, decoded.as_slice())
            };
            // Nothing is drawn from it.
            let mut stream = Stream::new(0, Purpose::Augment, 0, 0, 0);
            let memory = (&mut self.decoder, &mut self.canvas);
            let view = View::evaluation(shape.width);
            view.render(encoded, &mut stream, memory, &mut self.rows).map_err(words)?;
        } else {
            let picture = image::decode(file)?;
            let fits = (picture.width, picture.height) == (width, height);
            let fitted = if fits { picture } else { image::resize(&picture, width, height)? };
            self.rows.copy_from_slice(&fitted.pixels);
        }
        match shape.channels {
            1 => pixels.extend(self.rows.as_chunks().0.iter().map(|rgb| grey(*rgb))),
            _ => pixels.extend_from_slice(&self.rows),
        }
        Ok(())
    }
}

/// The brightness of a pixel, in 65,536ths that add up to one: equal colours stay what they are.
fn grey([red, green, blue]: [u8; 3]) -> u8 {
    let sum = 19_595 * u32::from(red) + 38_470 * u32::from(green) + 7_471 * u32::from(blue);
    ((sum + 0x8000) >> 16) as u8
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::datasets::DatasetId;
    use crate::images::Shape;
    use crate::prepare::image::encode;

    fn picture(width: u32, height: u32) -> RgbImage {
        let pixels = (0..width * height * 3).map(|at| (at * 37 % 251) as u8).collect();
        RgbImage { width, height, pixels }
    }

    fn png(picture: &RgbImage) -> Vec<u8> {
        let mut file = Vec::new();
        let mut encoder = png::Encoder::new(&mut file, picture.width, picture.height);
        encoder.set_color(png::ColorType::Rgb);
        encoder.write_header().unwrap().write_image_data(&picture.pixels).unwrap();
        file
    }

    fn seen(form: ImageForm, file: &[u8]) -> Result<Vec<u8>, String> {
        let mut pixels = Vec::new();
        PictureReader::new(form).read(file, &mut pixels).map(|()| pixels)
    }

    #[test]
    fn a_photograph_is_seen_as_in_an_evaluation() {
        let form = DatasetId::ImagenetLt.image_form(64);
        let picture = picture(150, 101);
        let jpeg = encode(&picture, 90).unwrap();
        let (width, height) = (picture.width, picture.height);
        let images = [
            (ImageEncoding::Jpeg, jpeg.clone(), jpeg),
            (ImageEncoding::Rgb { width, height }, picture.pixels.clone(), png(&picture)),
        ];
        for (encoding, stored, file) in images {
            let mut expected = vec![0; 64 * 64 * 3];
            let mut stream = Stream::new(0, Purpose::Augment, 0, 0, 0);
            let (mut decoder, mut canvas) = (image::decoder(), Canvas::default());
            View::evaluation(64)
                .render(
                    (encoding, &stored),
                    &mut stream,
                    (&mut decoder, &mut canvas),
                    &mut expected,
                )
                .unwrap();
            assert_eq!(seen(form, &file).unwrap(), expected);
        }
    }

    #[test]
    fn a_small_picture_of_the_right_size_stays_as_it_is_and_others_are_fitted() {
        let form = DatasetId::Cifar10.image_form(0);
        let small = picture(32, 32);
        assert_eq!(seen(form, &png(&small)).unwrap(), small.pixels);
        let large = picture(100, 64);
        assert_eq!(
            seen(form, &png(&large)).unwrap(),
            image::resize(&large, 32, 32).unwrap().pixels
        );
    }

    #[test]
    fn grey_images_are_made_of_colours_and_kept() {
        let form = DatasetId::FashionMnist.image_form(0);
        assert_eq!(form.shape, Shape { height: 28, width: 28, channels: 1 });
        let even = RgbImage { width: 28, height: 28, pixels: vec![77; 28 * 28 * 3] };
        assert_eq!(seen(form, &png(&even)).unwrap(), vec![77; 28 * 28]);
        // As Pillow's convert("L").
        let greys = [[255, 0, 0], [0, 255, 0], [0, 0, 255], [1, 2, 3], [255, 255, 255]].map(grey);
        assert_eq!(greys, [76, 150, 29, 2, 255]);
    }

    #[test]
    fn what_is_no_picture_is_told_in_words() {
        for form in [DatasetId::FashionMnist, DatasetId::ImagenetLt].map(|it| it.image_form(32)) {
            assert_eq!(seen(form, b"").unwrap_err(), "is empty");
            let words = seen(form, b"these are words, and no picture").unwrap_err();
            assert_eq!(words, "is none of the kinds of images that are read");
            let mut cut = encode(&picture(60, 60), 90).unwrap();
            cut.truncate(cut.len() / 2);
            assert!(seen(form, &cut).unwrap_err().starts_with("is a damaged JPEG: "));
        }
    }
}
