//! The readers on small files in the exact official format: as many records as a test needs, in
//! place of 50,000.

use std::fs;
use std::path::Path;

use flate2::{Compression, write::GzEncoder};
use tempfile::TempDir;

use super::source::md5;
use super::{CIFAR10, CIFAR100, CifarFormat, open};
use crate::error::DataError;

/// CIFAR-10 and CIFAR-100 with two records in each training file and one in the test file.
fn small(form: &CifarFormat) -> CifarFormat {
    CifarFormat { train_records: 2, test_records: 1, ..form.clone() }
}

/// Record `number` of a file: its label is `number`, and pixel p of its planes is p, p + 1 and p +
/// 2 modulo 251.
fn record(form: &CifarFormat, number: usize) -> Vec<u8> {
    let label = number as u8;
    let labels = if form.label_classes.len() == 2 { vec![label / 5, label] } else { vec![label] };
    let planes = (0..3).flat_map(|plane| (0..1_024).map(move |p| ((p + plane) % 251) as u8));
    labels.into_iter().chain(planes).collect()
}

/// The files of `form`, each with its content. The k-th record of all has label k.
fn files(form: &CifarFormat) -> Vec<(&'static str, Vec<u8>)> {
    let mut number = 0;
    let mut records = |count: usize| -> Vec<u8> {
        number += count;
        (number - count..number).flat_map(|number| record(form, number)).collect()
    };
    let mut files: Vec<_> =
        form.train_files.iter().map(|&file| (file, records(form.train_records))).collect();
    files.push((form.test_file, record(form, 7)));
    let names: Vec<String> = (0..form.classes()).map(|class| format!("class_{class}")).collect();
    files.push((form.names_file, format!("{}\n\n", names.join("\n")).into_bytes()));
    files
}

fn write_folder(root: &Path, form: &CifarFormat) {
    fs::create_dir(root.join(form.folder)).unwrap();
    for (file, content) in files(form) {
        fs::write(root.join(form.folder).join(file), content).unwrap();
    }
}

/// Writes the archive and gives back the form that expects it.
fn write_archive(root: &Path, form: &CifarFormat) -> CifarFormat {
    let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    let strangers = [("readme.html", vec![1; 700]), ("elsewhere/../test.bin", vec![2; 9])];
    for (file, content) in files(form).into_iter().chain(strangers) {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        let path = format!("{}/{file}", form.folder);
        // A hostile name is written straight into the header: the builder would refuse it.
        header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
        header.set_cksum();
        archive.append(&header, content.as_slice()).unwrap();
    }
    let bytes = archive.into_inner().unwrap().finish().unwrap();
    let path = root.join(form.archive_file);
    fs::write(&path, bytes).unwrap();
    let mut form = form.clone();
    form.archive.md5 = md5(&path).unwrap().leak();
    form
}

/// What is said about the dataset under `root`, which is called ROOT, and what to do.
fn explained(root: &Path, form: &CifarFormat) -> String {
    let error = open(root, form).unwrap_err();
    let message = error.to_string().replace(&root.display().to_string(), "ROOT");
    format!("{message}\nhint: {}", error.hint().unwrap())
}

#[test]
fn a_folder_becomes_a_dataset() {
    for form in [small(&CIFAR10), small(&CIFAR100)] {
        let root = TempDir::new().unwrap();
        write_folder(root.path(), &form);
        let dataset = open(root.path(), &form).unwrap();
        let images = form.train_files.len() as u32 * 2;
        assert!(dataset.train.labels().iter().copied().eq(0..images));
        assert_eq!(dataset.test.labels(), [7]);
        assert_eq!(dataset.class_names[9], "class_9");
        assert_eq!(dataset.class_names.len(), form.classes() as usize);
        // Planes become pixels: red, green and blue of the first two, then of the first in the
        // second row.
        assert_eq!(dataset.train.image(1)[..6], [0, 1, 2, 1, 2, 3]);
        assert_eq!(dataset.train.image(1)[32 * 3..][..3], [32, 33, 34]);
    }
}

#[test]
fn an_archive_reads_as_its_folder_does() {
    for form in [small(&CIFAR10), small(&CIFAR100)] {
        let (packed, unpacked) = (TempDir::new().unwrap(), TempDir::new().unwrap());
        let form = write_archive(packed.path(), &form);
        write_folder(unpacked.path(), &form);
        let dataset = open(packed.path(), &form).unwrap();
        assert_eq!(dataset.digest, open(unpacked.path(), &form).unwrap().digest);
        // Nothing was unpacked to disk.
        assert_eq!(fs::read_dir(packed.path()).unwrap().count(), 1);
    }
}

#[test]
fn an_archive_that_is_not_the_official_one_is_refused() {
    let root = TempDir::new().unwrap();
    fs::write(root.path().join(CIFAR100.archive_file), b"half of a download").unwrap();
    insta::assert_snapshot!(explained(root.path(), &CIFAR100));
}

#[test]
fn a_missing_dataset_is_explained() {
    insta::assert_snapshot!(explained(Path::new("datasets"), &CIFAR10));
}

#[test]
fn a_file_missing_from_the_folder_is_explained() {
    let root = TempDir::new().unwrap();
    write_folder(root.path(), &small(&CIFAR100));
    fs::remove_file(root.path().join("cifar-100-binary/test.bin")).unwrap();
    insta::assert_snapshot!(explained(root.path(), &small(&CIFAR100)));
}

#[test]
fn the_python_form_is_recognised_and_never_read() {
    let root = TempDir::new().unwrap();
    fs::create_dir(root.path().join("cifar-100-python")).unwrap();
    insta::assert_snapshot!(explained(root.path(), &CIFAR100));
}

#[test]
fn damage_is_named_with_file_and_place() {
    let form = small(&CIFAR100);
    let damaged = |file: &str, damage: fn(&mut Vec<u8>)| {
        let root = TempDir::new().unwrap();
        write_folder(root.path(), &form);
        let path = root.path().join(form.folder).join(file);
        let mut content = fs::read(&path).unwrap();
        damage(&mut content);
        fs::write(&path, content).unwrap();
        explained(root.path(), &form).lines().next().unwrap().to_owned()
    };
    let messages = [
        damaged("train.bin", |bytes| bytes.truncate(6_000)),
        damaged("test.bin", |bytes| bytes.push(0)),
        damaged("train.bin", |bytes| bytes[3_074] = 20),
        damaged("train.bin", |bytes| bytes[3_075] = 100),
        damaged("fine_label_names.txt", |bytes| bytes.truncate(70)),
    ];
    insta::assert_snapshot!(messages.join("\n"), @r"
    ROOT/cifar-100-binary/train.bin ends after 6000 of 6148 bytes
    ROOT/cifar-100-binary/test.bin has 1 byte after its last record, at byte 3074
    ROOT/cifar-100-binary/train.bin has label 20 at byte 3074, but there are only 20 classes
    ROOT/cifar-100-binary/train.bin has label 100 at byte 3075, but there are only 100 classes
    ROOT/cifar-100-binary/fine_label_names.txt has 9 class names instead of 100
    ");
}

#[test]
fn the_official_forms_demand_the_official_numbers() {
    for form in [CIFAR10, CIFAR100] {
        assert_eq!(form.train_files.len() * form.train_records, 50_000);
        assert_eq!(form.test_records, 10_000);
        let root = TempDir::new().unwrap();
        write_folder(root.path(), &small(&form));
        assert!(matches!(open(root.path(), &form), Err(DataError::Truncated { .. })));
    }
}
