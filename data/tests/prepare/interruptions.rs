//! What was done stays done, and nothing half-done is taken for whole.

use std::fs;
use std::sync::atomic::Ordering;

use lcsl_data::datasets::DatasetId;
use lcsl_data::prepare::{PrepareProgress, PrepareRequest, prepare};
use tempfile::{TempDir, tempdir};

use crate::stage::{files, imagenet_lt, put, refusal, request, run};

fn stage() -> (TempDir, PrepareRequest) {
    let folder = tempdir().unwrap();
    let root = folder.path().join("imagenet");
    imagenet_lt(&root);
    let request = request(DatasetId::ImagenetLt, &root, &folder.path().join("out"));
    (folder, request)
}

/// Stops a preparation in its middle: one image is not readable, so its shard, the index and the
/// manifest are missing.
fn interrupt(request: &PrepareRequest) {
    let path = request.root.join("train/n01440760/n01440760_5.JPEG");
    let image = fs::read(&path).unwrap();
    put(&path, "damaged");
    run(request).unwrap_err();
    put(&path, image);
}

#[test]
fn what_an_interrupted_preparation_left_is_used_and_the_result_is_the_same() {
    let (folder, request) = stage();
    interrupt(&request);
    // As a kill leaves it: a shard half written.
    let shard = |number: u32| request.out.join(format!("train/shard-0000{number}.tar"));
    let missing = (0..3).find(|&number| !shard(number).exists()).unwrap();
    put(&shard(missing).with_extension("tar.part"), "half");
    // What is there is not read again: these images could not be.
    for class in 0..3 {
        let name = format!("n0144076{class}_99.JPEG");
        put(&request.root.join(format!("train/n0144076{class}")).join(name), "damaged now");
    }
    let progress = PrepareProgress::default();
    let outcome = prepare(&request, &progress).unwrap();
    assert!(!outcome.already);
    let found = progress.found.load(Ordering::Relaxed);
    assert!(found >= 3 + 6, "validation and test images were there: {found}");
    assert_eq!(progress.done.load(Ordering::Relaxed), 10 + 3 + 6);

    imagenet_lt(&request.root);
    let straight = PrepareRequest { out: folder.path().join("straight"), ..request.clone() };
    run(&straight).unwrap();
    assert_eq!(files(&request.out), files(&straight.out));
    assert!(run(&request).unwrap().already);
}

#[test]
fn shards_that_were_damaged_meanwhile_are_written_again() {
    let (folder, request) = stage();
    interrupt(&request);
    let of = |name: &str| request.out.join(name);
    let shard = fs::File::options().write(true).open(of("test/shard-00000.tar")).unwrap();
    shard.set_len(700).unwrap();
    let mut records = fs::read(of("test/shard-00001.records")).unwrap();
    records[3] ^= 1;
    put(&of("test/shard-00001.records"), records);
    fs::remove_file(of("val/shard-00000.tar")).unwrap();
    run(&request).unwrap();
    let straight = PrepareRequest { out: folder.path().join("straight"), ..request.clone() };
    run(&straight).unwrap();
    assert_eq!(files(&request.out), files(&straight.out));
}

#[test]
fn another_preparation_does_not_mix_with_it() {
    let (_folder, request) = stage();
    interrupt(&request);
    let other = PrepareRequest { seed: 1, ..request.clone() };
    let mut said = refusal(&other);
    run(&request).unwrap();
    said += "\n";
    said += &refusal(&other);
    let lock = fs::File::open(request.out.join(".lock")).unwrap();
    lock.lock().unwrap();
    said += "\n";
    said += &refusal(&request);
    insta::assert_snapshot!(said);
}
