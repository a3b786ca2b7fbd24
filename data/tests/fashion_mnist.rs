//! The real Fashion-MNIST, as `make setup` installs it (Debian package `dataset-fashion-mnist`).

use std::path::Path;

use lcsl_data::datasets::{DatasetId, DatasetOptions, open};
use lcsl_data::profile::{ProfileShape, counts};
use lcsl_data::split::{LeftOver, SelectionOrder, SplitRequest, split};

#[test]
fn the_installed_files_are_the_whole_dataset_and_can_be_split() {
    let dataset = open(DatasetId::FashionMnist, Path::new("/nowhere"), &DatasetOptions::default())
        .unwrap_or_else(|error| panic!("{error}\nhint: {:?}", error.hint()));
    assert_eq!((dataset.train.len(), dataset.test.len()), (60_000, 10_000));
    assert_eq!((dataset.classes(), dataset.largest_class()), (10, 6_000));
    // The first training image is the ankle boot of the dataset's description.
    assert_eq!(dataset.class_names[dataset.train.label(0) as usize], "Ankle boot");

    // The normalisation is that of these very images.
    let pixels = dataset.train.pixels();
    let n = pixels.len() as f64;
    let mean = pixels.iter().map(|&byte| f64::from(byte)).sum::<f64>() / n;
    let squares = pixels.iter().map(|&byte| (f64::from(byte) - mean).powi(2)).sum::<f64>();
    let std = (squares / n).sqrt() / 255.0;
    assert!((mean / 255.0 - f64::from(dataset.normalisation.mean[0])).abs() < 1e-4);
    assert!((std - f64::from(dataset.normalisation.std[0])).abs() < 1e-4);

    let request = SplitRequest {
        targets: counts(ProfileShape::Exponential, 10, 6_000, 0.01),
        validation_per_class: 100,
        left: LeftOver::Unused,
        order: SelectionOrder::First,
    };
    let split = split(dataset.train.labels(), 10, &request).unwrap();
    assert_eq!((split.train.len(), split.validation.len()), (14_786, 1_000));
}
