//! ImageNet-LT (Liu et al., "Large-scale long-tailed recognition in an open world", CVPR 2019):
//! 115,846 training, 20,000 validation and 50,000 test images of 1,000 classes.
//!
//! An ImageNet folder with `train/` and `val/`, and beside it (or in `ImageNet_LT/`) the lists:
//!
//! ```text
//! ImageNet_LT_train.txt, _val.txt, _test.txt    train/n01440764/n01440764_762.JPEG 0
//! ```
//!
//! or, in their place, what the published code of LCSL reads: `train.csv` and `val.csv` (on which
//! it tests) without a header, `train,0,n01440764_762.JPEG` for the image
//! `train/0/n01440764_762.JPEG`.

use std::path::{Path, PathBuf};

use lcsl_text::counted;

use super::lists::{self, List, find_missing, first_folder};
use crate::prepare::error::PrepareError;
use crate::prepare::plan::{PlannedSplit, PreparePlan};
use crate::prepare::problems::DataProblems;

/// Classes of ImageNet.
pub const CLASSES: u32 = 1000;
/// The published number of images of each split.
pub const SIZES: [(&str, usize); 3] = [("train", 115_846), ("val", 20_000), ("test", 50_000)];
/// What git calls the published list of training images.
pub const TRAIN_LIST_BLOB: &str = "a063f095fcd475db4cf8b0658c4b73955535bbf9";

const TXT: [(&str, &str); 3] = [
    ("train", "ImageNet_LT_train.txt"),
    ("val", "ImageNet_LT_val.txt"),
    ("test", "ImageNet_LT_test.txt"),
];
const CSV: [(&str, &str); 2] = [("train", "train.csv"), ("test", "val.csv")];
const LIST_FOLDERS: [&str; 3] = ["", "ImageNet_LT", "ImageNet-LT"];
const IMAGE_FOLDERS: [&str; 5] = ["", "imagenet", "ImageNet", "ILSVRC2012", "ILSVRC/Data/CLS-LOC"];

const HINT: &str = "--root names an ImageNet folder (ILSVRC 2012, from https://image-net.org, \
    after registering) with train/ and val/; into it belong ImageNet_LT_train.txt, _val.txt and \
    _test.txt of https://liuziwei7.github.io/projects/LongTail.html";

/// Plans from the files under `root`; returns the folder that the images' names start from too.
///
/// # Errors
/// When the folder is another one, or lists and images do not fit; with `official`, also when they
/// are not the published ones.
pub fn plan(root: &Path, official: bool) -> Result<(PreparePlan, PathBuf), PrepareError> {
    let mut problems = DataProblems::default();
    let images = first_folder(root, &IMAGE_FOLDERS, "train");
    let lists = read_lists(root, images.as_deref().unwrap_or(root), &mut problems)?;
    let Some(images) = images else {
        let what = format!("{} has the lists of ImageNet-LT, but no train/", root.display());
        return Err(PrepareError::WrongFolder { what, hint: HINT.to_owned() });
    };
    let mut plan = PreparePlan {
        class_names: Vec::new(),
        splits: Vec::new(),
        lists: Vec::new(),
        warnings: Vec::new(),
        notes: Vec::new(),
        left_out: 0,
    };
    for (name, mut list) in lists {
        if name != "train" {
            find_flat(&images, &mut list);
        }
        find_missing(&images, &list.items, &mut problems);
        plan.lists.push(list.file);
        plan.splits.push(PlannedSplit { name, items: list.items });
    }
    plan.class_names = class_names(&plan.splits, &mut problems);
    plan.find_empty_classes(&mut problems);
    plan.warnings = compare_with_published(&plan);
    if official {
        for warning in &plan.warnings {
            problems.add("differences from the published dataset", warning.clone());
        }
    }
    if problems.is_empty() {
        return Ok((plan, images));
    }
    let root = root.to_owned();
    Err(PrepareError::Problems { root, problems, hint: HINT })
}

/// Reads the lists under `root`, of images whose paths start from `images`.
fn read_lists(
    root: &Path,
    images: &Path,
    problems: &mut DataProblems,
) -> Result<Vec<(&'static str, List)>, PrepareError> {
    let found = |files: &[(&'static str, &'static str)]| {
        let holds = |folder: &&&str| root.join(folder).join(files[0].1).is_file();
        LIST_FOLDERS.iter().find(holds).copied()
    };
    let (folder, files, is_csv) = match (found(&TXT), found(&CSV)) {
        (Some(folder), _) => (folder, TXT.as_slice(), false),
        (None, Some(folder)) => (folder, CSV.as_slice(), true),
        (None, None) => {
            let what = format!("{} holds neither {} nor {}", root.display(), TXT[0].1, CSV[0].1);
            return Err(PrepareError::WrongFolder { what, hint: HINT.to_owned() });
        }
    };
    let parse = |line: &str| if is_csv { parse_csv(line) } else { parse_txt(line) };
    let mut lists = Vec::new();
    for &(part, file) in files {
        let file = Path::new(folder).join(file);
        let file = file.to_str().expect("made of constants");
        lists.push((part, lists::read((root, file), images, CLASSES, parse, problems)?));
    }
    Ok(lists)
}

fn parse_txt(line: &str) -> Result<(String, u64), String> {
    let (path, field) = line.rsplit_once([' ', '\t']).ok_or("no label behind the path")?;
    Ok((path.trim_end().to_owned(), lists::label(field)?))
}

/// Names in these files have no quotes: they are ImageNet's.
fn parse_csv(line: &str) -> Result<(String, u64), String> {
    let fields: Vec<&str> = line.split(',').map(str::trim).collect();
    match fields[..] {
        [folder, label, file] => Ok((format!("{folder}/{label}/{file}"), lists::label(label)?)),
        _ => Err(format!(
            "{} instead of 3 (folder, label, file)",
            counted(fields.len() as u64, "field")
        )),
    }
}

/// Validation images lie in a folder for each class, or all in one, as they were published.
fn find_flat(images: &Path, list: &mut List) {
    for item in &mut list.items {
        let folders: Vec<&str> = item.name.split('/').collect();
        if let ["val", _, file] = folders[..] {
            let flat = format!("val/{file}");
            if !images.join(&item.name).exists() && images.join(&flat).exists() {
                item.name = flat;
            }
        }
    }
}

/// The folder of each class's training images; a class has one, and a folder one class.
fn class_names(splits: &[PlannedSplit], problems: &mut DataProblems) -> Vec<String> {
    let labels = splits.iter().flat_map(|part| &part.items).map(|item| item.label);
    let classes = labels.max().map_or(0, |largest| largest as usize + 1);
    let mut names: Vec<Option<&str>> = vec![None; classes];
    for item in splits.iter().filter(|part| part.name == "train").flat_map(|part| &part.items) {
        let Some(folder) = item.name.split('/').rev().nth(1) else { continue };
        let name = &mut names[item.label as usize];
        match *name {
            None => *name = Some(folder),
            Some(other) if other != folder => {
                let what = format!("class {} has images of {other} and of {folder}", item.label);
                problems.add("classes with more than one folder", what);
                *name = Some(folder);
            }
            Some(_) => {}
        }
    }
    let named = names.into_iter().enumerate();
    named.map(|(class, name)| name.map_or_else(|| class.to_string(), str::to_owned)).collect()
}

fn compare_with_published(plan: &PreparePlan) -> Vec<String> {
    let mut differences = Vec::new();
    for part in &plan.splits {
        let published = SIZES.iter().find(|(name, _)| *name == part.name).map(|(_, size)| *size);
        if published != Some(part.items.len()) {
            differences.push(format!(
                "split {} has {} images instead of {}",
                part.name,
                part.items.len(),
                published.unwrap_or_default()
            ));
        }
    }
    let train = &plan.lists[0];
    if train.git_blob != TRAIN_LIST_BLOB {
        differences.push(format!(
            "{} is not the published list: git calls it {} instead of {TRAIN_LIST_BLOB}",
            train.file, train.git_blob
        ));
    }
    differences
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_both_kinds_of_list_are_read() {
        let image = |path: &str, label| Ok((path.to_owned(), label));
        let txt = parse_txt("train/n01440764/n01440764_762.JPEG\t0");
        assert_eq!(txt, image("train/n01440764/n01440764_762.JPEG", 0));
        assert_eq!(parse_csv("train,17,a_1.JPEG"), image("train/17/a_1.JPEG", 17));
        let no_number = |label: &str| Err(format!("the label \"{label}\" is not a number from 0"));
        assert_eq!(parse_txt("train/a.JPEG"), Err("no label behind the path".to_owned()));
        assert_eq!(parse_txt("train/a.JPEG -1"), no_number("-1"));
        assert_eq!(parse_txt("train/a.JPEG x"), no_number("x"));
        assert_eq!(parse_csv("a,b,c"), no_number("b"));
        for (bad, fields) in [("train,a.JPEG", 2), ("train,1,a.JPEG,2", 4)] {
            let why = format!("{fields} fields instead of 3 (folder, label, file)");
            assert_eq!(parse_csv(bad), Err(why));
        }
    }
}
