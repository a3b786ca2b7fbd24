//! Every operation on pixels equals that of Pillow, byte for byte, on the images that
//! `golden/make_augment.py` made.

use std::path::PathBuf;

use lcsl_data::augment::{Canvas, blur, colour, geometry, tone};
use serde_json::Value;

/// What uncovered pixels become, as in `golden/make_augment.py`.
const FILL: [u8; 3] = [124, 116, 104];

fn golden(file: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/augment").join(file);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Applies `operation` with the number `a`; false for an operation of another family.
type Apply = fn(&mut Canvas, &str, f64) -> bool;

/// Compares all cases of the operations that `apply` knows, of which there are `expected_cases`.
fn compare(apply: Apply, expected_cases: usize) {
    let cases: Value = serde_json::from_slice(&golden("cases.json")).expect("a JSON file");
    let (pixels, expected) = (golden("images.rgb"), golden("expected.rgb"));
    let sizes: Vec<(usize, usize)> =
        serde_json::from_value(cases["images"].clone()).expect("a list of sizes");
    let starts: Vec<usize> = sizes
        .iter()
        .scan(0, |end, (height, width)| Some(std::mem::replace(end, *end + height * width * 3)))
        .collect();

    let (mut canvas, mut at, mut compared) = (Canvas::default(), 0, 0);
    for case in cases["cases"].as_array().expect("a list of cases") {
        let image = case["image"].as_u64().expect("the number of an image") as usize;
        let (height, width) = sizes[image];
        let bytes = height * width * 3;
        canvas.load(height, width, &pixels[starts[image]..][..bytes]);
        let operation = case["operation"].as_str().expect("a name");
        if apply(&mut canvas, operation, case["arguments"][0].as_f64().unwrap_or(0.0)) {
            let differences =
                canvas.pixels().iter().zip(&expected[at..][..bytes]).filter(|(a, b)| a != b);
            assert_eq!(differences.count(), 0, "bytes that differ in {case}");
            compared += 1;
        }
        at += bytes;
    }
    assert_eq!(at, expected.len());
    assert_eq!(compared, expected_cases);
}

#[test]
fn geometry_is_that_of_pillow() {
    compare(
        |canvas, operation, a| {
            match operation {
                "shear_x" => geometry::shear_x(canvas, a, FILL),
                "shear_y" => geometry::shear_y(canvas, a, FILL),
                "translate_x" => geometry::translate_x(canvas, a, FILL),
                "translate_y" => geometry::translate_y(canvas, a, FILL),
                "rotate" => geometry::rotate(canvas, a, FILL),
                _ => return false,
            }
            true
        },
        6 * (4 + 4 + 6 + 5 + 8),
    );
}

#[test]
fn colour_is_that_of_pillow() {
    compare(
        |canvas, operation, a| {
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
    compare(
        |canvas, operation, a| {
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
    compare(
        |canvas, operation, a| {
            if operation == "blur" {
                blur::gaussian(canvas, a);
            }
            operation == "blur"
        },
        6 * 6,
    );
}
