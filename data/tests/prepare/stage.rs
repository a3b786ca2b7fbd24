//! Small datasets to prepare.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use lcsl_data::datasets::DatasetId;
use lcsl_data::prepare::image::{RgbImage, encode};
use lcsl_data::prepare::{
    OnUnreadable, Outcome, PrepareError, PrepareProgress, PrepareRequest, prepare,
};
use lcsl_data::shard::RecordForm;

/// A request with the defaults of the command line.
pub(crate) fn request(dataset: DatasetId, root: &Path, out: &Path) -> PrepareRequest {
    PrepareRequest {
        dataset,
        root: root.to_owned(),
        out: out.to_owned(),
        form: RecordForm::Jpeg,
        max_side: None,
        quality: 95,
        seed: 0,
        images_per_shard: 4,
        official: false,
        decode: true,
        on_unreadable: OnUnreadable::Fail,
        threads: 2,
        imb_factor: None,
        without_classes: false,
        test_share: None,
        val_per_class: 0,
        test_per_class: 0,
        counts: None,
        image_size: 32,
    }
}

pub(crate) fn run(request: &PrepareRequest) -> Result<Outcome, PrepareError> {
    prepare(request, &PrepareProgress::default())
}

/// What a preparation is refused with, with `root` called ROOT and `out` called OUT.
pub(crate) fn refusal(request: &PrepareRequest) -> String {
    let error = run(request).unwrap_err();
    let text = format!("{:?}: {error}\nhint: {}", error.blame(), error.hint().unwrap_or_default());
    text.replace(request.out.to_str().unwrap(), "OUT")
        .replace(request.root.to_str().unwrap(), "ROOT")
}

/// A smooth picture that differs from number to number.
pub(crate) fn picture(number: u32, width: u32, height: u32) -> RgbImage {
    let pixels = (0..height)
        .flat_map(|y| (0..width).map(move |x| (x, y)))
        .flat_map(|(x, y)| {
            [(x * 3 + number * 17) as u8, (y * 5 + number * 29) as u8, (x + y + number) as u8]
        })
        .collect();
    RgbImage { width, height, pixels }
}

pub(crate) fn jpeg(number: u32) -> Vec<u8> {
    encode(&picture(number, 40, 30), 90).unwrap()
}

pub(crate) fn put(path: &Path, content: impl AsRef<[u8]>) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

/// Classes of `counts` images under `prefix`.
pub(crate) fn classes(request: &PrepareRequest, prefix: &str, counts: &[u32]) {
    for (class, &count) in counts.iter().enumerate() {
        for image in 0..count {
            let number = class as u32 * 100 + image;
            let name = format!("{prefix}class-{class}/{image:03}.jpg");
            put(&request.root.join(name), jpeg(number));
        }
    }
}

/// A tiny ImageNet-LT: three classes of 6, 3 and 1 training images, one validation and two test
/// images each.
pub(crate) fn imagenet_lt(root: &Path) {
    let mut lists = [String::new(), String::new(), String::new()];
    let mut number = 0;
    for (class, count) in [6, 3, 1].into_iter().enumerate() {
        let wnid = format!("n0144076{class}");
        let mut add = |list: &mut String, name: String| {
            number += 1;
            put(&root.join(&name), jpeg(number));
            writeln!(list, "{name} {class}").unwrap();
        };
        for image in 0..count {
            add(&mut lists[0], format!("train/{wnid}/{wnid}_{image}.JPEG"));
        }
        add(&mut lists[1], format!("train/{wnid}/{wnid}_99.JPEG"));
        for image in 0..2 {
            let name = format!("val/{wnid}/ILSVRC2012_val_{class}{image}.JPEG");
            add(&mut lists[2], name);
        }
    }
    for (name, list) in ["train", "val", "test"].into_iter().zip(lists) {
        put(&root.join(format!("ImageNet_LT_{name}.txt")), list);
    }
}

/// Every file under `folder` with the hash of its content, but for the lock, which has none.
pub(crate) fn files(folder: &Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if !path.ends_with(".lock") {
                let name = path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
                let hash = blake3::hash(&fs::read(path).unwrap());
                found.push((name, hash.to_string()));
            }
        }
    }
    found.sort();
    found
}
