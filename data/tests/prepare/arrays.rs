//! Small sets as numpy arrays.

use std::path::{Path, PathBuf};
use std::process::Command;

use lcsl_data::datasets::{DatasetId, DatasetOptions, open};
use lcsl_data::images::{ImageSet, Shape};
use lcsl_data::prepare::arrays;
use tempfile::tempdir;

use crate::stage::{put, request, run};

#[test]
fn fashion_mnist_comes_back_as_it_was() {
    let folder = tempdir().unwrap();
    let mut request = request(DatasetId::FashionMnist, Path::new("/nowhere"), folder.path());
    let manifest = run(&request).unwrap().manifest;
    assert_eq!((manifest.form.as_str(), manifest.parts.len()), ("arrays", 2));
    let dataset =
        open(DatasetId::FashionMnist, Path::new("/nowhere"), &DatasetOptions::default()).unwrap();
    assert_eq!(arrays::read(&folder.path().join("train"), 10).unwrap(), *dataset.train);
    assert_eq!(arrays::read(&folder.path().join("test"), 10).unwrap(), *dataset.test);
    request.threads = 1;
    assert!(run(&request).unwrap().already);
}

/// The ranks of a machine each read their own copy of a prepared set: 150 MiB a rank for CIFAR.
#[test]
fn a_prepared_set_is_what_training_opens_and_it_is_mapped() {
    let root = tempdir().unwrap();
    let folder = root.path().join("fashion_mnist");
    run(&request(DatasetId::FashionMnist, Path::new("/nowhere"), &folder)).unwrap();
    let options = DatasetOptions::default();
    let official = open(DatasetId::FashionMnist, Path::new("/nowhere"), &options).unwrap();
    let prepared = open(DatasetId::FashionMnist, root.path(), &options).unwrap();
    assert_eq!(format!("{:?}", prepared.train).matches("mapped").count(), 1);
    assert_eq!((&prepared.train, &prepared.test), (&official.train, &official.test));
    assert_eq!(prepared.digest, official.digest, "a run goes on with either");
    assert_eq!(prepared.class_names, official.class_names);
    assert_eq!(prepared.normalisation, official.normalisation);

    // What is there is what counts: no other files are looked for behind a damaged set.
    std::fs::remove_file(folder.join("test/images.npy")).unwrap();
    let error = open(DatasetId::FashionMnist, root.path(), &options).unwrap_err().to_string();
    assert!(error.contains("test/images.npy"), "{error}");
    let other = root.path().join("cifar10");
    std::fs::rename(&folder, &other).unwrap();
    let error = open(DatasetId::Cifar10, root.path(), &options).unwrap_err().to_string();
    assert!(error.contains("holds fashion_mnist, not cifar10"), "{error}");
}

/// A Python that has numpy: the one that `make pytorch` sets up, or else the system's.
fn python() -> Option<PathBuf> {
    let prepared = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.deps/venv/bin/python");
    let has_it = |python: &PathBuf| {
        let found = Command::new(python).args(["-c", "import numpy"]).output();
        found.is_ok_and(|output| output.status.success())
    };
    [prepared, PathBuf::from("python3")].into_iter().find(has_it)
}

#[test]
fn numpy_reads_both_shapes() {
    let Some(python) = python() else {
        assert!(std::env::var_os("CI").is_none(), "CI must run this test: `make pytorch` first");
        eprintln!("not checked against numpy: `make pytorch` adds it to .deps/venv");
        return;
    };
    let folder = tempdir().unwrap();
    for channels in [1, 3] {
        let shape = Shape { height: 2, width: 3, channels };
        let pixels = (0..4 * shape.bytes()).map(|at| at as u8).collect();
        arrays::write(folder.path(), &ImageSet::new(shape, pixels, vec![3, 1, 0, 2])).unwrap();
        let script = "import numpy as np; i = np.load('images.npy', mmap_mode='r'); \
            l = np.load('labels.npy'); print(i.shape, i.dtype, l.tolist(), l.dtype, i.ravel()[-1])";
        let output = Command::new(&python).args(["-c", script]).current_dir(folder.path()).output();
        let said = String::from_utf8(output.unwrap().stdout).unwrap();
        let expected = if channels == 1 {
            "(4, 2, 3) uint8 [3, 1, 0, 2] int64 23\n"
        } else {
            "(4, 2, 3, 3) uint8 [3, 1, 0, 2] int64 71\n"
        };
        assert_eq!(said, expected);
    }
}

#[test]
fn arrays_that_are_not_what_they_should_be_are_refused() {
    let folder = tempdir().unwrap();
    let shape = Shape { height: 2, width: 2, channels: 1 };
    let set = ImageSet::new(shape, vec![7; 12], vec![0, 1, 2]);
    arrays::write(folder.path(), &set).unwrap();
    let refused = |classes| arrays::read(folder.path(), classes).unwrap_err().to_string();
    assert!(refused(2).contains("label 2 is 2, but there are only 2 classes"));
    let images = folder.path().join("images.npy");
    let good = std::fs::read(&images).unwrap();
    put(&images, &good[..good.len() - 1]);
    assert!(refused(3).contains("images.npy cannot be used"), "{}", refused(3));
    let text = String::from_utf8_lossy(&good).into_owned();
    let lying = text.replace("(3, 2, 2)", "(9223372036854775807, 9, 9)");
    put(&images, &lying.as_bytes()[..good.len()]);
    assert!(refused(3).contains("images.npy cannot be used"));
    // Objects are pickles: never read.
    put(&images, text.replace("|u1", "|O1").replace("u1", "O"));
    assert!(refused(3).contains("images.npy cannot be used"));
}
