//! Images of one's own that come without a test part.

use std::collections::BTreeSet;
use std::fs;

use lcsl_data::datasets::DatasetId;
use lcsl_data::datasets::prepared;
use lcsl_data::prepare::PrepareRequest;
use tempfile::{TempDir, tempdir};

use crate::stage::{classes, refusal, request, run};

/// Where `lcsl train --dataset folder` would look for it.
fn stage() -> (TempDir, PrepareRequest) {
    let folder = tempdir().unwrap();
    let out = folder.path().join("datasets/folder");
    let request = request(DatasetId::Folder, &folder.path().join("in"), &out);
    (folder, request)
}

fn names(request: &PrepareRequest, part: &str) -> BTreeSet<String> {
    let text = fs::read_to_string(request.out.join(part).join("names.txt")).unwrap();
    text.lines().map(str::to_owned).collect()
}

fn sizes(request: &PrepareRequest) -> Vec<(String, Vec<u64>)> {
    let manifest = run(request).unwrap().manifest;
    manifest.parts.into_iter().map(|part| (part.name, part.counts)).collect()
}

/// Story: the README's two commands for images of one's own, prepare and train, ended with 3: "has no
/// test images".
#[test]
fn folders_of_classes_can_be_trained_on_as_the_readme_says() {
    let (folder, mut request) = stage();
    classes(&request, "", &[10, 25, 2, 1]);
    let outcome = run(&request).unwrap();
    insta::assert_snapshot!(outcome.notes.join("\n"));
    insta::assert_snapshot!(outcome.manifest.warnings.join("\n"));
    let counts: Vec<_> = outcome.manifest.parts.iter().map(|part| part.counts.clone()).collect();
    assert_eq!(counts, [vec![8, 20, 1, 1], vec![2, 5, 1, 0]]);
    let (train, test) = (names(&request, "train"), names(&request, "test"));
    assert_eq!((train.len(), test.len(), train.intersection(&test).count()), (30, 8, 0));
    let opened = prepared::open(DatasetId::Folder, &folder.path().join("datasets")).unwrap();
    assert_eq!((opened.test.counts, opened.validation.is_none()), (vec![2, 5, 1, 0], true));

    request.out = folder.path().join("again");
    run(&request).unwrap();
    assert_eq!(names(&request, "test"), test, "the same seed, the same images");
    (request.seed, request.out) = (1, folder.path().join("other"));
    run(&request).unwrap();
    assert_ne!(names(&request, "test"), test, "another seed, others");
}

/// Story: with `--val_per_class 2` and no test part, the validation images became the test images, and
/// nobody was told.
#[test]
fn validation_images_are_never_tested_on_for_want_of_others() {
    let (folder, mut request) = stage();
    classes(&request, "", &[10, 10]);
    request.val_per_class = 2;
    let part = |name: &str, counts| (name.to_owned(), counts);
    let expected = [part("train", vec![6, 6]), part("val", vec![2, 2]), part("test", vec![2, 2])];
    assert_eq!(sizes(&request), expected);
    request.out = folder.path().join("refused");
    request.test_share = Some(0.0);
    let mut said = refusal(&request);
    request.test_share = Some(1.0);
    said += "\n\n";
    said += &refusal(&request);
    insta::assert_snapshot!(said);

    let mut drawn = PrepareRequest { dataset: DatasetId::Synthetic, ..request.clone() };
    (drawn.test_share, drawn.counts) = (None, Some("unread".into()));
    assert!(refusal(&drawn).contains("would be tested on"), "drawn images alike");

    // As it was prepared before: such a set is refused, and not tested on either.
    let out = folder.path().join("datasets/folder");
    let text = fs::read_to_string(out.join("manifest.json")).unwrap();
    let mut manifest: serde_json::Value = serde_json::from_str(&text).unwrap();
    manifest["parts"].as_array_mut().unwrap().pop();
    fs::write(out.join("manifest.json"), manifest.to_string()).unwrap();
    let error = prepared::open(DatasetId::Folder, &folder.path().join("datasets")).unwrap_err();
    assert!(error.to_string().ends_with("has no test images"), "{error}");
}

/// A validation part without a test part, as `ImageNet` has it.
#[test]
fn a_validation_part_alone_is_the_test_part_unless_others_are_held_out() {
    let (folder, mut request) = stage();
    classes(&request, "train/", &[10, 10]);
    classes(&request, "val/", &[3, 3]);
    let outcome = run(&request).unwrap();
    insta::assert_snapshot!(outcome.notes.join("\n"));
    (request.out, request.test_share) = (folder.path().join("three"), Some(0.3));
    let part = |name: &str, counts| (name.to_owned(), counts);
    let expected = [part("train", vec![7, 7]), part("val", vec![3, 3]), part("test", vec![3, 3])];
    assert_eq!(sizes(&request), expected);
    classes(&request, "test/", &[1, 1]);
    request.out = folder.path().join("refused");
    insta::assert_snapshot!(refusal(&request));
}
