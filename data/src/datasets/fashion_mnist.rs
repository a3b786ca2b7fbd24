//! Fashion-MNIST (Xiao, Rasul and Vollgraf, "Fashion-MNIST: a novel image dataset for benchmarking
//! machine learning algorithms", 2017): 60,000 training and 10,000 test pictures of clothes in 10
//! classes, 28 by 28, grey.
//!
//! Four files in the [`idx`] format, each plain or with `.gz` behind its name:
//!
//! ```text
//! train-images-idx3-ubyte   train-labels-idx1-ubyte
//! t10k-images-idx3-ubyte    t10k-labels-idx1-ubyte
//! ```
//!
//! Where the folder named by the user has none of them, the Debian package `dataset-fashion-mnist`
//! is looked for.

use std::path::{Path, PathBuf};

use super::{Dataset, DatasetId, PixelNormalisation};
use crate::augment::recipes::small;
use crate::error::{Archive, DataError};
use crate::idx;
use crate::images::Shape;

/// Where the Debian package `dataset-fashion-mnist` puts the files.
pub const SYSTEM_FOLDER: &str = "/usr/share/datasets/fashion-mnist";

/// The class names of the dataset's own description.
pub const CLASS_NAMES: [&str; 10] = [
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
];

/// Mean and standard deviation over the 60,000 training images.
pub const NORMALISATION: PixelNormalisation =
    PixelNormalisation { mean: [0.2860; 3], std: [0.3530; 3] };

/// The size of its pictures.
pub(super) const SHAPE: Shape = Shape { height: 28, width: 28, channels: 1 };

const ROWS_AND_COLUMNS: (u32, u32) = (SHAPE.height as u32, SHAPE.width as u32);

/// One of the four files.
struct IdxFile {
    name: &'static str,
    archive: Archive,
}

const INSTRUCTION: &str = "put it there together with the other three files, \
    or install the Debian package dataset-fashion-mnist";

macro_rules! idx_file {
    ($file:literal, $md5:literal) => {
        IdxFile {
            name: $file,
            archive: Archive {
                address: concat!(
                    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
                    $file,
                    ".gz"
                ),
                md5: $md5,
                instruction: INSTRUCTION,
            },
        }
    };
}

/// Images and labels of the training set, then of the test set.
const FILES: [[IdxFile; 2]; 2] = [
    [
        idx_file!("train-images-idx3-ubyte", "8d4fb7e6c68d591d4c3dfef9ec88bf0d"),
        idx_file!("train-labels-idx1-ubyte", "25c81989df183df01b3e8a0aad5dffbe"),
    ],
    [
        idx_file!("t10k-images-idx3-ubyte", "bef4ecab320f06d8554ea6380940ec79"),
        idx_file!("t10k-labels-idx1-ubyte", "bb300cfdad3c16e7a12a480ee83cd310"),
    ],
];

/// The four files as they are published: gzipped.
pub fn archives() -> impl Iterator<Item = (String, Archive)> {
    FILES.iter().flatten().map(|file| (format!("{}.gz", file.name), file.archive))
}

/// Opens Fashion-MNIST from `root`, or from [`SYSTEM_FOLDER`] where `root` has none of its files.
///
/// # Errors
/// When a file is missing or damaged; a missing one is named with its address.
pub fn open(root: &Path) -> Result<Dataset, DataError> {
    read(root, Path::new(SYSTEM_FOLDER))
}

/// [`open`] with another folder to fall back to.
fn read(root: &Path, fallback: &Path) -> Result<Dataset, DataError> {
    let any_in = |folder: &Path| FILES.iter().flatten().any(|file| file.find(folder).is_ok());
    let folder = if !any_in(root) && any_in(fallback) { fallback } else { root };

    // All four are found before the first is read, so that a missing one is named at once.
    let [[train_images, train_labels], [test_images, test_labels]] = &FILES;
    let train = (train_images.find(folder)?, train_labels.find(folder)?);
    let test = (test_images.find(folder)?, test_labels.find(folder)?);
    let read_set = |(images, labels): (PathBuf, PathBuf)| {
        idx::read_set(&images, &labels, ROWS_AND_COLUMNS, CLASS_NAMES.len() as u32)
    };
    let sets = [read_set(train)?, read_set(test)?];
    Ok(Dataset::new(
        DatasetId::FashionMnist,
        CLASS_NAMES.map(str::to_owned).to_vec(),
        sets,
        NORMALISATION,
        small::CROP_FLIP,
    ))
}

impl IdxFile {
    /// The path of this file in `folder`, plain or gzipped.
    fn find(&self, folder: &Path) -> Result<PathBuf, DataError> {
        let gzipped = format!("{}.gz", self.name);
        let candidates = [folder.join(self.name), folder.join(&gzipped)];
        candidates.into_iter().find(|path| path.is_file()).ok_or_else(|| DataError::Missing {
            dataset: "Fashion-MNIST",
            path: folder.join(gzipped),
            source_archive: self.archive,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use tempfile::TempDir;

    fn idx(magic: u32, dimensions: &[u32], payload: &[u8]) -> Vec<u8> {
        let header = std::iter::once(&magic).chain(dimensions);
        header.flat_map(|value| value.to_be_bytes()).chain(payload.iter().copied()).collect()
    }

    /// A folder with the four files: two training images and one test image.
    fn folder() -> TempDir {
        let folder = TempDir::new().unwrap();
        for (set, labels) in FILES.iter().zip([&[3, 9][..], &[4][..]]) {
            let count = labels.len() as u32;
            let pixels = vec![200; labels.len() * 28 * 28];
            let images = idx(idx::MAGIC_IMAGES, &[count, 28, 28], &pixels);
            fs::write(folder.path().join(set[0].name), images).unwrap();
            let labels = idx(idx::MAGIC_LABELS, &[count], labels);
            fs::write(folder.path().join(set[1].name), labels).unwrap();
        }
        folder
    }

    #[test]
    fn the_four_files_become_a_dataset() {
        let folder = folder();
        let dataset = read(folder.path(), Path::new("nowhere")).unwrap();
        assert_eq!((dataset.train.labels(), dataset.test.labels()), (&[3, 9][..], &[4][..]));
        assert_eq!((dataset.classes(), dataset.largest_class()), (10, 1));
    }

    /// What is said about the dataset in `root`, which is called ROOT, and what to do.
    fn explained(root: &Path, fallback: &Path) -> String {
        let error = read(root, fallback).unwrap_err();
        let message = error.to_string().replace(&root.display().to_string(), "ROOT");
        format!("{message}\nhint: {}", error.hint().unwrap())
    }

    #[test]
    fn the_system_folder_serves_only_where_the_root_has_nothing() {
        let (fallback, empty) = (folder(), TempDir::new().unwrap());
        assert!(read(empty.path(), fallback.path()).is_ok());

        let incomplete = folder();
        fs::remove_file(incomplete.path().join("t10k-labels-idx1-ubyte")).unwrap();
        insta::assert_snapshot!(explained(incomplete.path(), fallback.path()));
    }

    #[test]
    fn a_missing_dataset_is_explained() {
        insta::assert_snapshot!(explained(Path::new("datasets"), Path::new("nowhere")));
    }

    #[test]
    fn images_of_another_size_are_refused() {
        let folder = folder();
        let path = folder.path().join("train-images-idx3-ubyte");
        fs::write(&path, idx(idx::MAGIC_IMAGES, &[2, 0, 0], &[])).unwrap();
        insta::assert_snapshot!(explained(folder.path(), Path::new("nowhere")));
    }
}
