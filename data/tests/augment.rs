//! Every operation on pixels equals that of Pillow, byte for byte, on the images that
//! `golden/make_augment.py` made; only what is resized may be one level off.

use std::path::PathBuf;

use lcsl_data::augment::{Canvas, Interpolation, Reading, blur, colour, geometry, tone};
use serde_json::Value;

/// How pixels are read that move: what is uncovered becomes what it is in `golden/make_augment.py`.
const NEAREST: Reading = Reading::nearest([124, 116, 104]);

fn golden(file: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/augment").join(file);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The images of `golden/make_augment.py`: rows, columns, pixels.
fn images() -> Vec<(usize, usize, Vec<u8>)> {
    let cases: Value = serde_json::from_slice(&golden("cases.json")).expect("a JSON file");
    let sizes: Vec<(usize, usize)> =
        serde_json::from_value(cases["images"].clone()).expect("a list of sizes");
    let pixels = golden("images.rgb");
    let mut rest = &pixels[..];
    let image = |(height, width)| {
        let (image, others) = rest.split_at(height * width * 3);
        rest = others;
        (height, width, image.to_vec())
    };
    sizes.into_iter().map(image).collect()
}

/// Applies an operation by name with its numbers; false for an operation of another family.
type Apply = fn(&mut Canvas, &str, &[f64]) -> bool;

/// Compares all `cases` of the operations that `apply` knows, of which there are `expected_cases`,
/// with the pixels in `file`; levels may differ by `tolerance`.
fn compare(cases: &Value, file: &str, tolerance: u8, apply: Apply, expected_cases: usize) {
    let (images, expected) = (images(), golden(file));
    let (mut canvas, mut at, mut compared) = (Canvas::default(), 0, 0);
    for case in cases.as_array().expect("a list of cases") {
        let image = case["image"].as_u64().expect("the number of an image") as usize;
        let (height, width, pixels) = &images[image];
        canvas.load(*height, *width, pixels);
        let operation = case["operation"].as_str().expect("a name");
        let numbers: Vec<f64> =
            serde_json::from_value(case["arguments"].clone()).expect("a list of numbers");
        if apply(&mut canvas, operation, &numbers) {
            let levels = canvas.pixels().iter().zip(&expected[at..][..pixels.len()]);
            let differences = levels.filter(|(a, b)| a.abs_diff(**b) > tolerance).count();
            assert_eq!(differences, 0, "bytes that differ in {case}");
            compared += 1;
        }
        at += pixels.len();
    }
    assert_eq!(at, expected.len());
    assert_eq!(compared, expected_cases);
}

/// Compares operations with one number at most, byte for byte.
fn equal(apply: Apply, expected_cases: usize) {
    let cases: Value = serde_json::from_slice(&golden("cases.json")).expect("a JSON file");
    compare(&cases["cases"], "expected.rgb", 0, apply, expected_cases);
}

#[test]
fn geometry_is_that_of_pillow() {
    equal(
        |canvas, operation, numbers| {
            let a = numbers.first().copied().unwrap_or(0.0);
            match operation {
                "shear_x" => geometry::shear_x(canvas, a, NEAREST),
                "shear_y" => geometry::shear_y(canvas, a, NEAREST),
                "translate_x" => geometry::translate_x(canvas, a, NEAREST),
                "translate_y" => geometry::translate_y(canvas, a, NEAREST),
                "rotate" => geometry::rotate(canvas, a, NEAREST),
                _ => return false,
            }
            true
        },
        6 * (4 + 4 + 6 + 5 + 8),
    );
}

#[test]
fn colour_is_that_of_pillow() {
    equal(
        |canvas, operation, numbers| {
            let a = numbers.first().copied().unwrap_or(0.0);
            match operation {
                "brightness" => colour::brightness(canvas, a),
                "contrast" => colour::contrast(canvas, a),
                "saturation" => colour::saturation(canvas, a),
                "sharpness" => colour::sharpness(canvas, a),
                "hue" => colour::hue(canvas, a),
                "greyscale" => colour::greyscale(canvas),
                _ => return false,
            }
            true
        },
        6 * (4 + 4 + 4 + 4 + 6 + 1) + 4,
    );
}

#[test]
fn tone_is_that_of_pillow() {
    equal(
        |canvas, operation, numbers| {
            let a = numbers.first().copied().unwrap_or(0.0);
            match operation {
                "posterize" => tone::posterize(canvas, a as u8),
                "solarize" => tone::solarize(canvas, a as u16),
                "solarize_add" => tone::solarize_add(canvas, a as u8),
                "equalize" => tone::equalize(canvas),
                "autocontrast" => tone::autocontrast(canvas),
                "invert" => tone::invert(canvas),
                _ => return false,
            }
            true
        },
        6 * (4 + 3 + 3 + 1 + 1 + 1) + 2,
    );
}

#[test]
fn blur_is_that_of_pillow() {
    equal(
        |canvas, operation, numbers| {
            let a = numbers.first().copied().unwrap_or(0.0);
            if operation == "blur" {
                blur::gaussian(canvas, a);
            }
            operation == "blur"
        },
        6 * 6,
    );
}

#[test]
fn interpolation_is_that_of_pillow() {
    let cases: Value = serde_json::from_slice(&golden("resampled.json")).expect("a JSON file");
    let apply: Apply = |canvas, operation, numbers| {
        let Some((operation, interpolation)) = operation.split_once(' ') else { return false };
        let interpolation = match interpolation {
            "bilinear" => Interpolation::Bilinear,
            _ => Interpolation::Bicubic,
        };
        let reading = Reading { interpolation, ..NEAREST };
        match operation {
            "shear_x" => geometry::shear_x(canvas, numbers[0], reading),
            "shear_y" => geometry::shear_y(canvas, numbers[0], reading),
            "translate_x" => geometry::translate_x(canvas, numbers[0], reading),
            "translate_y" => geometry::translate_y(canvas, numbers[0], reading),
            "rotate" => geometry::rotate(canvas, numbers[0], reading),
            _ => return false,
        }
        true
    };
    compare(&cases, "resampled.rgb", 0, apply, 6 * 2 * (3 + 3 + 3 + 3 + 6));
}

#[test]
#[cfg(feature = "pictures")]
fn a_window_is_that_of_torchvision_to_one_level() {
    use lcsl_data::augment::zoom::zoom;
    use lcsl_data::decode::Window;
    let cases: Value = serde_json::from_slice(&golden("resampled.json")).expect("a JSON file");
    let apply: Apply = |canvas, operation, numbers| {
        if let ("window", &[left, top, width, height]) = (operation, numbers) {
            let [left, top, width, height] = [left, top, width, height].map(|n| n as u32);
            zoom(canvas, Window { left, top, width, height });
            return true;
        }
        false
    };
    compare(&cases, "resampled.rgb", 1, apply, 6 * 4);
}
