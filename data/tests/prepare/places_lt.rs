//! `lcsl data prepare places_lt` on a tiny copy of its files, in the form of the published lists.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use lcsl_data::datasets::DatasetId;
use lcsl_data::prepare::sources::long_tail::PLACES_LT;

use crate::stage::{jpeg, put, refusal, request, run};

/// Three scenes of 5, 2 and 1 training images; validation images lie in `train/`, and test images in `val/`.
fn places_lt(root: &Path) {
    let mut lists = [String::new(), String::new(), String::new()];
    let mut number = 0;
    for (class, (scene, count)) in
        [("airfield", 5), ("alley", 2), ("zen_garden", 1)].iter().enumerate()
    {
        let mut add = |list: &mut String, name: String| {
            number += 1;
            put(&root.join(&name), jpeg(number));
            writeln!(list, "{name} {class}").unwrap();
        };
        for image in 0..*count {
            add(&mut lists[0], format!("train/{scene}/{image:08}.jpg"));
        }
        add(&mut lists[1], format!("train/{scene}/00002049.jpg"));
        add(&mut lists[2], format!("val/{scene}/Places365_val_0000{class}597.jpg"));
    }
    for (name, list) in ["train", "val", "test"].into_iter().zip(lists) {
        put(&root.join(format!("Places_LT_{name}.txt")), list);
    }
}

#[test]
fn the_lists_of_places_lt_become_three_splits() {
    let folder = tempfile::tempdir().unwrap();
    let (root, out) = (folder.path().join("in"), folder.path().join("out"));
    places_lt(&root);
    let request = request(DatasetId::PlacesLt, &root, &out);
    let manifest = run(&request).unwrap().manifest;
    assert_eq!(manifest.class_names, ["airfield", "alley", "zen_garden"]);
    assert!(
        manifest.warnings[0].contains("split train has 8 images instead of 62500"),
        "{manifest:?}"
    );
    assert!(manifest.warnings.last().unwrap().contains(PLACES_LT.train_list_blob), "{manifest:?}");
    let names = fs::read_to_string(out.join("test/names.txt")).unwrap();
    assert!(names.contains("val/alley/Places365_val_00001597.jpg"), "{names}");
    assert_eq!(PLACES_LT.sizes.iter().map(|(_, size)| size).sum::<usize>(), 106_300);
}

#[test]
fn another_folder_is_told_what_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let request = request(DatasetId::PlacesLt, folder.path(), &folder.path().join("out"));
    let said = refusal(&request);
    assert!(said.contains("does not hold Places_LT_train.txt"), "{said}");
}
