//! The two datasets as their authors publish them (<https://www.cs.toronto.edu/~kriz/cifar.html>).

use crate::datasets::{DatasetId, PixelNormalisation};
use crate::error::Archive;

/// One of the two datasets: its files, its records and its numbers.
#[derive(Clone, Debug)]
pub struct CifarFormat {
    /// The dataset.
    pub name: DatasetId,
    /// Its name as a person writes it.
    pub title: &'static str,
    /// The folder that the archive unpacks to.
    pub folder: &'static str,
    /// The archive's file name.
    pub archive_file: &'static str,
    /// The archive's address and MD5.
    pub archive: Archive,
    /// Folder and archive of the Python form, which is recognised but never read.
    pub pickled: [&'static str; 2],
    /// The file of class names, one a line.
    pub names_file: &'static str,
    /// The files of training records, in the order of their images.
    pub train_files: &'static [&'static str],
    /// The file of test records.
    pub test_file: &'static str,
    /// The number of classes that each label byte of a record chooses from. The last one is the
    /// label.
    pub label_classes: &'static [u32],
    /// Records in each training file.
    pub train_records: usize,
    /// Records in the test file.
    pub test_records: usize,
    /// How bytes become the numbers that a network sees.
    pub normalisation: PixelNormalisation,
}

impl CifarFormat {
    /// The number of classes.
    pub fn classes(&self) -> u32 {
        self.label_classes[self.label_classes.len() - 1]
    }
}

/// CIFAR-10: five files of 10,000 training records. The normalisation is the one that nearly all
/// published results use, the long-tailed ones among them; its standard deviations are means over
/// images, not over the set.
pub const CIFAR10: CifarFormat = CifarFormat {
    name: DatasetId::Cifar10,
    title: "CIFAR-10",
    folder: "cifar-10-batches-bin",
    archive_file: "cifar-10-binary.tar.gz",
    archive: Archive {
        address: "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
        md5: "c32a1d4ab5d03f1284b67883e8d87530",
        instruction: "put it there; it need not be unpacked",
    },
    pickled: ["cifar-10-batches-py", "cifar-10-python.tar.gz"],
    names_file: "batches.meta.txt",
    train_files: &[
        "data_batch_1.bin",
        "data_batch_2.bin",
        "data_batch_3.bin",
        "data_batch_4.bin",
        "data_batch_5.bin",
    ],
    test_file: "test_batch.bin",
    label_classes: &[10],
    train_records: 10_000,
    test_records: 10_000,
    normalisation: PixelNormalisation {
        mean: [0.4914, 0.4822, 0.4465],
        std: [0.2023, 0.1994, 0.2010],
    },
};

/// CIFAR-100: one file of 50,000 training records. The label is the fine one of 100 classes; the
/// coarse one of 20 superclasses before it is checked and left aside.
pub const CIFAR100: CifarFormat = CifarFormat {
    name: DatasetId::Cifar100,
    title: "CIFAR-100",
    folder: "cifar-100-binary",
    archive_file: "cifar-100-binary.tar.gz",
    archive: Archive {
        address: "https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz",
        md5: "03b5dce01913d631647c71ecec9e9cb8",
        instruction: "put it there; it need not be unpacked",
    },
    pickled: ["cifar-100-python", "cifar-100-python.tar.gz"],
    names_file: "fine_label_names.txt",
    train_files: &["train.bin"],
    test_file: "test.bin",
    label_classes: &[20, 100],
    train_records: 50_000,
    test_records: 10_000,
    normalisation: PixelNormalisation {
        mean: [0.5071, 0.4867, 0.4408],
        std: [0.2675, 0.2565, 0.2761],
    },
};
