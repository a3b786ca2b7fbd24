//! Images in a folder for each class.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;

use lcsl_data::datasets::DatasetId;
use lcsl_data::prepare::PrepareRequest;
use lcsl_data::shard::ShardSet;
use tempfile::tempdir;

use crate::stage::{classes, jpeg, put, refusal, request, run};

#[test]
fn a_long_tail_and_a_validation_part_are_cut_without_overlap() {
    let folder = tempdir().unwrap();
    let mut request =
        request(DatasetId::Folder, &folder.path().join("in"), &folder.path().join("out"));
    classes(&request, "", &[20, 20, 20]);
    put(&request.root.join("class-0/notes.txt"), "not an image");
    put(&request.root.join("class-1/.hidden.jpg"), "not to be seen");
    (request.imb_factor, request.val_per_class) = (Some(0.1), 2);
    let manifest = run(&request).unwrap().manifest;
    assert_eq!(manifest.class_names, ["class-0", "class-1", "class-2"]);
    // The first class has no image to spare: its validation images come from its training images.
    assert_eq!(manifest.parts[0].counts, [14, 5, 1]);
    assert_eq!(manifest.parts[1].counts, [2, 2, 2]);
    assert_eq!(manifest.warnings, ["1 file is not an image by its name, and passed over: 1 .txt"]);
    let names = |part: &str| {
        let text = fs::read_to_string(request.out.join(part).join("names.txt")).unwrap();
        text.lines().map(str::to_owned).collect::<BTreeSet<_>>()
    };
    let (train, val) = (names("train"), names("val"));
    assert_eq!((train.len(), val.len(), train.intersection(&val).count()), (20, 6, 0));

    let other = PrepareRequest { seed: 5, out: folder.path().join("other"), ..request.clone() };
    run(&other).unwrap();
    let text = fs::read_to_string(other.out.join("val/names.txt")).unwrap();
    assert_ne!(val, text.lines().map(str::to_owned).collect(), "another seed, other images");
}

#[test]
fn parts_are_taken_from_their_folders() {
    let folder = tempdir().unwrap();
    let request = request(DatasetId::Folder, &folder.path().join("in"), &folder.path().join("out"));
    classes(&request, "train/", &[3, 2]);
    classes(&request, "valid/", &[1, 1]);
    classes(&request, "test/", &[0, 2]);
    put(&request.root.join("train/class-0/deeper/more.PNG.jpg"), jpeg(1));
    let manifest = run(&request).unwrap().manifest;
    let parts: Vec<_> =
        manifest.parts.iter().map(|part| (part.name.as_str(), part.counts.clone())).collect();
    assert_eq!(parts, [("train", vec![4, 2]), ("val", vec![1, 1]), ("test", vec![0, 2])]);
    assert_eq!(ShardSet::open(&request.out.join("test")).unwrap().label(0).unwrap(), 1);
}

#[test]
fn folders_that_are_no_dataset_are_refused() {
    let folder = tempdir().unwrap();
    let mut request =
        request(DatasetId::Folder, &folder.path().join("in"), &folder.path().join("out"));
    let mut said = refusal(&request);
    put(&request.root.join("a.jpg"), jpeg(1));
    said += "\n\n";
    said += &refusal(&request);
    classes(&request, "", &[2]);
    fs::create_dir(request.root.join("empty")).unwrap();
    said += "\n\n";
    said += &refusal(&request);
    fs::remove_dir(request.root.join("empty")).unwrap();
    request.imb_factor = Some(0.0);
    said += "\n\n";
    said += &refusal(&request);
    insta::assert_snapshot!(said);
}

/// Images lie anywhere, in folders that say nothing, and are one part of one class.
#[test]
fn images_without_classes_are_taken_from_wherever_they_lie() {
    let folder = tempdir().unwrap();
    let mut request =
        request(DatasetId::Folder, &folder.path().join("in"), &folder.path().join("out"));
    request.without_classes = true;
    put(&request.root.join("notes.txt"), "not an image");
    let said = refusal(&request);
    assert!(said.contains("ROOT holds no images"), "{said}");
    put(&request.root.join("b.jpg"), jpeg(1));
    classes(&request, "train/", &[2, 1]);
    classes(&request, "val/", &[1]);
    let manifest = run(&request).unwrap().manifest;
    assert_eq!(manifest.class_names, ["unlabelled"]);
    let parts: Vec<_> =
        manifest.parts.iter().map(|part| (part.name.as_str(), part.counts.clone())).collect();
    assert_eq!(parts, [("train", vec![5])]);
    assert_eq!(manifest.warnings, ["1 file is not an image by its name, and passed over: 1 .txt"]);
    let names = fs::read_to_string(request.out.join("train/names.txt")).unwrap();
    let names: BTreeSet<&str> = names.lines().collect();
    assert!(names.contains("b.jpg") && names.contains("val/class-0/000.jpg"), "{names:?}");
}

/// Story: `ln -s .. root/cat/up` and `ln -s . root/dog/self` made 429 images of 29, 224 of them under the
/// wrong class.
#[test]
fn each_real_folder_is_read_once() {
    let folder = tempdir().unwrap();
    let mut request =
        request(DatasetId::Folder, &folder.path().join("in"), &folder.path().join("out"));
    let root = request.root.clone();
    classes(&request, "", &[3, 3]);
    classes(&request, "../elsewhere/", &[2]);
    put(&root.join(".hidden/4.jpg"), jpeg(4));
    let link = |target: &str, name: &str| symlink(target, root.join(name)).unwrap();
    link("../elsewhere/class-0", "linked"); // a class that lies on another disk
    link("../../elsewhere", "class-1/more"); // leads to the same images, but is met later
    link(".", "class-0/self");
    link("../class-0", "class-1/cousin");
    link(".hidden", "shown");
    let manifest = run(&request).unwrap().manifest;
    assert_eq!(manifest.class_names, ["class-0", "class-1", "linked", "shown"]);
    let images: Vec<u64> = manifest.parts.iter().map(|part| part.images).collect();
    assert_eq!(images.iter().sum::<u64>(), 3 + 3 + 2 + 1);
    insta::assert_snapshot!(manifest.warnings.join("\n").replace(root.to_str().unwrap(), "ROOT"));

    link("..", "class-0/up");
    link("../..", "class-1/above");
    link("gone", "class-2");
    request.out = folder.path().join("refused");
    let said = refusal(&request).replace(folder.path().to_str().unwrap(), "ABOVE");
    insta::assert_snapshot!(said);
}
