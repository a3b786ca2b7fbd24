//! ImageNet-LT from its lists.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use lcsl_data::datasets::DatasetId;
use lcsl_data::prepare::sources::long_tail::IMAGENET_LT;
use lcsl_data::prepare::{DatasetManifest, PrepareRequest};
use lcsl_data::shard::ShardSet;
use tempfile::{TempDir, tempdir};

use crate::stage::{files, imagenet_lt, put, refusal, request, run};

fn stage() -> (TempDir, PrepareRequest) {
    let folder = tempdir().unwrap();
    let root = folder.path().join("imagenet");
    imagenet_lt(&root);
    let request = request(DatasetId::ImagenetLt, &root, &folder.path().join("out"));
    (folder, request)
}

fn list(request: &PrepareRequest, part: &str) -> String {
    fs::read_to_string(request.root.join(format!("ImageNet_LT_{part}.txt"))).unwrap()
}

#[test]
fn every_listed_image_is_stored_once_with_its_label_and_its_bytes() {
    let (_folder, request) = stage();
    let manifest = run(&request).unwrap().manifest;
    for part in ["train", "val", "test"] {
        let folder = request.out.join(part);
        let set = ShardSet::open(&folder).unwrap();
        let names = fs::read_to_string(folder.join("names.txt")).unwrap();
        let mut listed = BTreeSet::new();
        for (i, name) in names.lines().enumerate() {
            assert_eq!(set.bytes(i).unwrap(), fs::read(request.root.join(name)).unwrap());
            let record = set.record(i).unwrap();
            assert_eq!((record.width, record.height, record.flags), (40, 30, 0));
            listed.insert(format!("{name} {}", record.label));
        }
        let expected = list(&request, part);
        assert_eq!(listed, expected.lines().map(str::to_owned).collect());
        assert_eq!(set.len(), expected.lines().count());
    }
    assert_eq!(manifest.class_names, ["n01440760", "n01440761", "n01440762"]);
    let counts: Vec<_> = manifest.parts.iter().map(|part| part.counts.as_slice()).collect();
    assert_eq!(counts, [[6, 3, 1], [1, 1, 1], [2, 2, 2]]);
    assert_eq!(DatasetManifest::read(&request.out).unwrap(), Some(manifest));
    assert_eq!(fs::read_dir(request.out.join("train")).unwrap().count(), 3 + 2);
}

#[test]
fn training_images_are_stored_mixed_and_by_the_seed() {
    let (folder, request) = stage();
    run(&request).unwrap();
    let other = PrepareRequest { seed: 1, out: folder.path().join("other"), ..request.clone() };
    run(&other).unwrap();
    let again = PrepareRequest { threads: 1, out: folder.path().join("again"), ..request.clone() };
    run(&again).unwrap();
    let names = |out: &Path| fs::read_to_string(out.join("train/names.txt")).unwrap();
    assert_ne!(names(&request.out), names(&other.out));
    assert_eq!(files(&request.out), files(&again.out));
    let sorted = |text: String| text.lines().map(str::to_owned).collect::<BTreeSet<_>>();
    assert_eq!(sorted(names(&request.out)), sorted(names(&other.out)));
}

#[test]
fn other_files_than_the_published_are_warned_about_and_fatal_when_official() {
    let (_folder, request) = stage();
    let manifest = run(&request).unwrap().manifest;
    insta::assert_snapshot!(manifest.warnings.join("\n"));
    assert_eq!(manifest.source.lists[0].git_blob.len(), 40);
    let official = PrepareRequest { official: true, ..request };
    insta::assert_snapshot!(refusal(&official));
    assert_eq!(IMAGENET_LT.sizes.iter().map(|(_, size)| size).sum::<usize>(), 185_846);
}

#[test]
fn lists_that_do_not_fit_are_refused_with_everything_that_is_wrong() {
    let (_folder, request) = stage();
    let mut train = list(&request, "train");
    train += "train/n01440760/n01440760_0.JPEG 0\n"; // again
    train += "train/n01440761/n01440761_7.JPEG 1000\n"; // no such class
    train += "../n01440761/n01440761_7.JPEG 1\nwithout a label\n\n";
    train += "train/n01440761/n01440761_0b.JPEG 4\n"; // class 3 stays empty
    for missing in 0..23 {
        writeln!(train, "train/n01440761/gone_{missing}.JPEG 1").unwrap();
    }
    put(&request.root.join("ImageNet_LT_train.txt"), train);
    fs::remove_file(request.root.join("val/n01440762/ILSVRC2012_val_20.JPEG")).unwrap();
    insta::assert_snapshot!(refusal(&request));
    assert!(!request.out.join("train").exists(), "nothing is written");
}

/// Story: the same lists, saved by an editor of Windows with a mark or in UTF-16, or written by tools that begin paths
/// with `./` or with the root of the disk, were refused without a reason.
#[test]
fn lists_are_read_however_other_tools_write_them() {
    let (folder, request) = stage();
    let plain = list(&request, "train");
    let expected = run(&request).unwrap().manifest;
    let root = request.root.display();
    let prefixed = |prefix: &str| -> Vec<u8> {
        plain.lines().flat_map(|line| format!("{prefix}{line}\r\n").into_bytes()).collect()
    };
    let utf16 = plain.encode_utf16().flat_map(u16::to_le_bytes);
    let variants = [
        [&[0xef, 0xbb, 0xbf], plain.as_bytes()].concat(),
        [0xff, 0xfe].into_iter().chain(utf16).collect(),
        prefixed("./"),
        prefixed(&format!("{root}/")),
        plain.replace('/', "\\").replace('\n', "\r").into_bytes(),
    ];
    for (number, variant) in variants.into_iter().enumerate() {
        fs::write(request.root.join("ImageNet_LT_train.txt"), variant).unwrap();
        let out = folder.path().join(number.to_string());
        let manifest = run(&PrepareRequest { out, ..request.clone() }).unwrap().manifest;
        assert_eq!(manifest.parts, expected.parts, "variant {number}");
    }
}

#[test]
fn a_list_that_is_no_text_is_refused_with_its_place() {
    let (_folder, request) = stage();
    fs::write(request.root.join("ImageNet_LT_train.txt"), b"train/caf\xe9.JPEG 0\n").unwrap();
    let said = refusal(&request);
    assert!(
        said.contains("ImageNet_LT_train.txt cannot be read: it is not UTF-8: byte 9 is 0xe9"),
        "{said}"
    );
}

#[test]
fn another_folder_is_recognised() {
    let folder = tempdir().unwrap();
    let request =
        request(DatasetId::ImagenetLt, &folder.path().join("in"), &folder.path().join("out"));
    fs::create_dir_all(&request.root).unwrap();
    let mut said = refusal(&request);
    imagenet_lt(&request.root);
    fs::remove_dir_all(request.root.join("train")).unwrap();
    said += "\n\n";
    said += &refusal(&request);
    insta::assert_snapshot!(said);
}

/// What the published code of LCSL reads: folders are named by labels, and `val.csv` is tested on.
#[test]
fn headerless_csv_files_are_read_where_there_are_no_lists() {
    let (_folder, request) = stage();
    for part in ["train", "val", "test"] {
        fs::remove_file(request.root.join(format!("ImageNet_LT_{part}.txt"))).unwrap();
    }
    for class in 0..3 {
        for part in ["train", "val"] {
            let folder = request.root.join(part);
            fs::rename(folder.join(format!("n0144076{class}")), folder.join(class.to_string()))
                .unwrap();
        }
    }
    put(
        &request.root.join("train.csv"),
        "train,0,n01440760_0.JPEG\r\ntrain,1,n01440761_1.JPEG\r\n",
    );
    put(&request.root.join("val.csv"), "val,1,ILSVRC2012_val_10.JPEG\n");
    let manifest = run(&request).unwrap().manifest;
    let parts = manifest.parts.iter().map(|part| (part.name.as_str(), part.counts.as_slice()));
    assert_eq!(parts.collect::<Vec<_>>(), [("train", [1, 1].as_slice()), ("test", &[0, 1])]);
}

#[test]
fn validation_images_may_lie_in_one_folder_as_they_were_published() {
    let (_folder, request) = stage();
    for class in 0..3 {
        for image in 0..2 {
            let name = format!("ILSVRC2012_val_{class}{image}.JPEG");
            let val = request.root.join("val");
            fs::rename(val.join(format!("n0144076{class}")).join(&name), val.join(name)).unwrap();
        }
    }
    assert_eq!(run(&request).unwrap().manifest.parts[2].counts, [2, 2, 2]);
}

#[test]
fn images_that_lie_in_two_parts_are_found_by_what_is_in_them() {
    let (_folder, request) = stage();
    let of = |name: &str| request.root.join(name);
    fs::copy(of("train/n01440760/n01440760_2.JPEG"), of("val/n01440761/ILSVRC2012_val_11.JPEG"))
        .unwrap();
    fs::copy(of("train/n01440760/n01440760_3.JPEG"), of("train/n01440760/n01440760_4.JPEG"))
        .unwrap();
    let duplicates = run(&request).unwrap().manifest.duplicates;
    assert_eq!((duplicates.across_parts, duplicates.within_parts), (1, 1));
    assert_eq!(
        duplicates.named,
        [["train: train/n01440760/n01440760_2.JPEG", "test: val/n01440761/ILSVRC2012_val_11.JPEG"]]
    );
}
