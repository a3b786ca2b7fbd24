//! What a trained model says of pictures in files.

use std::fs;
use std::path::Path;

use lcsl_data::datasets::synthetic::{SyntheticOptions, generate};
use serde_json::Value;

use crate::lcsl::{json, lcsl, stderr, train};

/// The first test images of the set that `SMALL` draws, as PPM files, which lose nothing.
fn write_pictures(folder: &Path, count: usize) {
    let options = SyntheticOptions {
        classes: 10,
        train_per_class: 40,
        test_per_class: 20,
        image_size: 16,
        ..SyntheticOptions::default()
    };
    let test = generate(&options).test;
    fs::create_dir(folder).unwrap();
    for index in 0..count {
        let file = [b"P6 16 16 255\n", test.image(index)].concat();
        fs::write(folder.join(format!("{index:03}.ppm")), file).unwrap();
    }
}

/// Pictures in files are told the same as the same images in their dataset, and what is no picture is named without
/// losing what is said of the others.
#[test]
fn pictures_in_files_are_predicted_as_in_an_evaluation() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    train(&run, &["--nproc=2"]);
    let (run, pictures) = (run.to_str().unwrap(), folder.path().join("pictures"));
    write_pictures(&pictures, 40);
    let table = folder.path().join("evaluated.csv");
    let output = lcsl(&["eval", run, &format!("--predictions={}", table.display())]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let table = fs::read_to_string(&table).unwrap();
    let expected: Vec<(u64, f64)> = table
        .lines()
        .skip(1)
        .take(40)
        .map(|line| {
            let fields: Vec<&str> = line.split(',').collect();
            (fields[2].parse().unwrap(), fields[3].parse().unwrap())
        })
        .collect();

    let output = lcsl(&[
        "predict",
        run,
        pictures.to_str().unwrap(),
        "--json",
        "--top=10",
        "--temperature=1",
    ]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    let images = answer["images"].as_array().unwrap();
    assert_eq!(images.len(), 40);
    for (place, (image, (class, confidence))) in images.iter().zip(expected).enumerate() {
        assert!(image["image"].as_str().unwrap().ends_with(&format!("/{place:03}.ppm")));
        let told: Vec<f64> =
            (0..10).map(|rank| image["classes"][rank]["probability"].as_f64().unwrap()).collect();
        assert_eq!(image["classes"][0]["class"], class);
        // Batches of another size are added up in another order.
        assert!((told[0] - confidence).abs() < 1e-5, "{} and {confidence}", told[0]);
        assert!(told.is_sorted_by(|a, b| a >= b), "{told:?}");
        assert!((told.iter().sum::<f64>() - 1.0).abs() < 1e-9, "{told:?}");
    }

    // By itself it divides logits by the temperature that the run has found: probabilities p become p^(1/T), up to a
    // factor.
    let calibrated = json(&Path::new(run).join("result.json"))["calibrated"].clone();
    let temperature = calibrated["temperature"].as_f64().unwrap();
    let output = lcsl(&["predict", run, pictures.to_str().unwrap(), "--json", "--top=10"]);
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    let probability = |image: &Value| image["classes"][0]["probability"].as_f64().unwrap();
    for (image, plain) in answer["images"].as_array().unwrap().iter().zip(images) {
        let powers: Vec<f64> = plain["classes"]
            .as_array()
            .unwrap()
            .iter()
            .map(|told| told["probability"].as_f64().unwrap().powf(1.0 / temperature))
            .collect();
        let expected = powers[0] / powers.iter().sum::<f64>();
        assert!((probability(image) - expected).abs() < 1e-9, "{} {expected}", probability(image));
    }

    let words = pictures.join("words.png");
    fs::write(&words, "no picture").unwrap();
    let missing = folder.path().join("missing.jpg");
    let output = lcsl(&["predict", run, pictures.to_str().unwrap(), missing.to_str().unwrap()]);
    let (message, lines) = (stderr(&output), String::from_utf8(output.stdout).unwrap());
    assert_eq!(output.status.code(), Some(3), "{message}");
    assert_eq!(lines.lines().count(), 1 + 40 * 5, "{lines}");
    assert!(lines.starts_with("image,class,name,probability\n"), "{lines}");
    let says = |path: &Path, why: &str| message.contains(&format!("  {} {why}", path.display()));
    assert!(message.starts_with("error: 2 of 42 pictures cannot be used\n"), "{message}");
    assert!(says(&words, "is none of the kinds of images that are read"), "{message}");
    assert!(says(&missing, "cannot be read: No such file or directory"), "{message}");
}
