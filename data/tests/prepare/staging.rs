//! A prepared dataset is copied to another disk.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use lcsl_data::datasets::DatasetId;
use lcsl_data::staging::{Staging, StagingError};
use lcsl_data::verify::{Thoroughness, VerifyProgress, verify};

use crate::stage::{request, run};

/// A dataset of nine images in shards of four.
fn prepared(folder: &Path) -> PathBuf {
    let counts = folder.join("counts");
    fs::write(&counts, "4\n3\n2\n").unwrap();
    let out = folder.join("set");
    let mut asked = request(DatasetId::Synthetic, folder, &out);
    (asked.counts, asked.test_per_class) = (Some(counts), 1);
    run(&asked).unwrap();
    out
}

/// Copies, and returns how many files that took.
fn copy(source: &Path, target: &Path) -> Result<usize, StagingError> {
    let staging = Staging::begin(source, target)?;
    let told = AtomicUsize::new(0);
    staging.finish(2, &|| {
        told.fetch_add(1, Ordering::Relaxed);
    })?;
    let files = staging.missing().0;
    let at_least = if files == 0 { 0 } else { files + 1 };
    assert!(told.load(Ordering::Relaxed) >= at_least, "progress is told behind each file");
    Ok(files)
}

/// The shards of training images.
fn shards(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder.join("train")).unwrap().map(|entry| entry.unwrap().path());
    let mut shards: Vec<PathBuf> =
        entries.filter(|path| path.extension().is_some_and(|end| end == "tar")).collect();
    shards.sort();
    shards
}

fn is_whole(folder: &Path) -> bool {
    verify(folder, Thoroughness::Pixels, 1, &VerifyProgress::default()).unwrap().problems.is_empty()
}

#[test]
fn a_copy_is_whole_goes_on_where_it_was_interrupted_and_is_made_once() {
    let folder = tempfile::tempdir().unwrap();
    let (source, target) = (prepared(folder.path()), folder.path().join("disk/copy"));
    let files = copy(&source, &target).unwrap();
    assert!(files > 4 && is_whole(&target), "{files}");
    assert_eq!(copy(&source, &target).unwrap(), 0, "it is there");
    // Cut off: a shard lacks its end, another is not there, and nothing was compared yet.
    let shards = shards(&target);
    let cut = fs::File::options().write(true).open(&shards[0]).unwrap();
    cut.set_len(1000).unwrap();
    fs::remove_file(&shards[1]).unwrap();
    fs::remove_file(target.join(".copied")).unwrap();
    assert_eq!(copy(&source, &target).unwrap(), 2);
    assert!(is_whole(&target));
    // What cleans up scratch disks leaves the mark where it is.
    fs::remove_file(&shards[2]).unwrap();
    assert_eq!(copy(&source, &target).unwrap(), 1);
    assert!(is_whole(&target));
}

#[test]
fn a_damaged_copy_is_named_and_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let (source, target) = (prepared(folder.path()), folder.path().join("copy"));
    let files = copy(&source, &target).unwrap();
    let shard = &shards(&target)[0];
    let mut bytes = fs::read(shard).unwrap();
    bytes[700] ^= 1;
    fs::write(shard, bytes).unwrap();
    fs::remove_file(target.join(".copied")).unwrap();
    let error = copy(&source, &target).unwrap_err();
    assert!(matches!(error, StagingError::Damaged { .. }), "{error}");
    assert!(error.to_string().contains("was damaged, and is removed: "), "{error}");
    assert_eq!(copy(&source, &target).unwrap(), files, "all of it");
    assert!(is_whole(&target));
}

#[test]
fn a_place_that_cannot_be_written_to_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let source = prepared(folder.path());
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let error = Staging::begin(&source, &file.join("copy")).unwrap_err();
    assert!(error.to_string().starts_with(&format!("cannot create {}", file.display())), "{error}");
    let error = Staging::begin(&folder.path().join("no"), &folder.path().join("copy")).unwrap_err();
    assert!(error.to_string().starts_with("cannot read "), "{error}");
}
