//! From the files of CIFAR to a dataset.

use std::path::Path;

use super::forms::CifarFormat;
use super::records::{SHAPE, decode};
use super::source::CifarFiles;
use crate::augment::recipes::small;
use crate::datasets::Dataset;
use crate::error::DataError;
use crate::images::ImageSet;

/// Opens the dataset that `form` describes, from its folder or its archive under `root`.
///
/// # Errors
/// When there is neither, when only the Python form is there, or when a file is missing, damaged or
/// not of its exact length.
pub fn open(root: &Path, form: &CifarFormat) -> Result<Dataset, DataError> {
    let mut source = CifarFiles::find(root, form)?;
    let class_names = class_names(&mut source, form)?;
    let train = read(&mut source, form, form.train_files, form.train_records)?;
    let test = read(&mut source, form, &[form.test_file], form.test_records)?;
    let recipe = small::CROP_FLIP;
    Ok(Dataset::new(form.name, class_names, [train, test], form.normalisation, recipe))
}

/// Reads `files`, of `records` records each, into one set.
fn read(
    source: &mut CifarFiles,
    form: &CifarFormat,
    files: &[&str],
    records: usize,
) -> Result<ImageSet, DataError> {
    let (mut pixels, mut labels) = (Vec::new(), Vec::new());
    for file in files {
        let (path, bytes) = source.read(file, form)?;
        decode(&path, &bytes, records, form.label_classes, &mut pixels, &mut labels)?;
    }
    Ok(ImageSet::new(SHAPE, pixels, labels))
}

/// One name a line; the official file of CIFAR-10 ends with an empty line.
fn class_names(source: &mut CifarFiles, form: &CifarFormat) -> Result<Vec<String>, DataError> {
    let (path, bytes) = source.read(form.names_file, form)?;
    let text = lcsl_text::decode(&bytes).unwrap_or_default(); // then the number of names is wrong
    let lines =
        lcsl_text::lines(&text).map(|(_, line)| line.trim()).filter(|line| !line.is_empty());
    let names: Vec<String> = lines.map(str::to_owned).collect();
    let (expected, found) = (form.classes() as usize, names.len());
    if found != expected {
        return Err(DataError::ClassNames { path, expected, found });
    }
    Ok(names)
}
