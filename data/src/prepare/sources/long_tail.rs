//! ImageNet-LT and Places-LT (Liu et al., "Large-scale long-tailed recognition in an open world", CVPR 2019), whose
//! lists name images in folders of classes.
//!
//! A folder with `train/` and `val/`, and beside it (or in `ImageNet_LT/`, `Places_LT/`) the lists, of ImageNet-LT:
//!
//! ```text
//! ImageNet_LT_train.txt, _val.txt, _test.txt    train/n01440764/n01440764_762.JPEG 0
//! ```
//!
//! or, in their place, what the published code of LCSL reads: `train.csv` and `val.csv` (on which
//! it tests) without a header, `train,0,n01440764_762.JPEG` for the image
//! `train/0/n01440764_762.JPEG`. Of Places-LT, with Places365-Standard in its easy form:
//!
//! ```text
//! Places_LT_train.txt, _val.txt, _test.txt      train/airfield/00004851.jpg 0
//! ```

use std::path::{Path, PathBuf};

use lcsl_text::counted;

use super::lists::{self, List, find_missing, first_folder};
use crate::prepare::error::PrepareError;
use crate::prepare::plan::{PlannedSplit, PreparePlan};
use crate::prepare::problems::DataProblems;

/// A dataset of this kind, as it was published.
#[derive(Debug)]
pub struct Published {
    /// As papers write it.
    pub name: &'static str,
    /// How many classes it has.
    pub classes: u32,
    /// Images of each split.
    pub sizes: [(&'static str, usize); 3],
    /// What git calls the published list of training images.
    pub train_list_blob: &'static str,
    /// The lists of the splits.
    lists: [(&'static str, &'static str); 3],
    /// Lists in the form of the published code of LCSL, which it has of this dataset alone.
    csv: Option<[(&'static str, &'static str); 2]>,
    list_folders: &'static [&'static str],
    image_folders: &'static [&'static str],
    hint: &'static str,
}

/// 115,846 training, 20,000 validation and 50,000 test images of 1,000 classes.
pub const IMAGENET_LT: Published = Published {
    name: "ImageNet-LT",
    classes: 1000,
    sizes: [("train", 115_846), ("val", 20_000), ("test", 50_000)],
    train_list_blob: "a063f095fcd475db4cf8b0658c4b73955535bbf9",
    lists: [
        ("train", "ImageNet_LT_train.txt"),
        ("val", "ImageNet_LT_val.txt"),
        ("test", "ImageNet_LT_test.txt"),
    ],
    csv: Some([("train", "train.csv"), ("test", "val.csv")]),
    list_folders: &["", "ImageNet_LT", "ImageNet-LT"],
    image_folders: &["", "imagenet", "ImageNet", "ILSVRC2012", "ILSVRC/Data/CLS-LOC"],
    hint: "--root names an ImageNet folder (ILSVRC 2012, from https://image-net.org, \
           after registering) with train/ and val/; into it belong ImageNet_LT_train.txt, _val.txt and \
           _test.txt of https://liuziwei7.github.io/projects/LongTail.html",
};

/// 62,500 training, 7,300 validation and 36,500 test images of 365 scenes. The lists are those of Kang et al.
/// ("Decoupling representation and classifier for long-tailed recognition", ICLR 2020), whose names fit the easy form
/// of Places365: validation images are among those of `train/`, and test images are those of `val/`.
pub const PLACES_LT: Published = Published {
    name: "Places-LT",
    classes: 365,
    sizes: [("train", 62_500), ("val", 7_300), ("test", 36_500)],
    train_list_blob: "6392252f8ae867bc8a5e841cc1b29e5b8ef4b636",
    lists: [
        ("train", "Places_LT_train.txt"),
        ("val", "Places_LT_val.txt"),
        ("test", "Places_LT_test.txt"),
    ],
    csv: None,
    list_folders: &["", "Places_LT", "Places-LT", "Places_LT_v2"],
    image_folders: &["", "places365_standard", "Places365", "Places"],
    hint: "--root names Places365-Standard in its easy form (places365standard_easyformat.tar of \
           http://places2.csail.mit.edu/download.html) with train/ and val/; into it belong \
           Places_LT_train.txt, _val.txt and _test.txt of \
           https://github.com/facebookresearch/classifier-balancing (data/Places_LT)",
};

/// Plans from the files under `root`; returns the folder that the images' names start from too.
///
/// # Errors
/// When the folder is another one, or lists and images do not fit; with `official`, also when they
/// are not the published ones.
pub fn plan(
    published: &Published,
    root: &Path,
    official: bool,
) -> Result<(PreparePlan, PathBuf), PrepareError> {
    let mut problems = DataProblems::default();
    let images = first_folder(root, published.image_folders, "train");
    let lists = read_lists(published, root, images.as_deref().unwrap_or(root), &mut problems)?;
    let Some(images) = images else {
        let (place, name) = (root.display(), published.name);
        let what = format!("{place} has the lists of {name}, but no train/");
        return Err(PrepareError::WrongFolder { what, hint: published.hint.to_owned() });
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
    plan.warnings = compare_with_published(published, &plan);
    if official {
        for warning in &plan.warnings {
            problems.add("differences from the published dataset", warning.clone());
        }
    }
    if problems.is_empty() {
        return Ok((plan, images));
    }
    let root = root.to_owned();
    Err(PrepareError::Problems { root, problems, hint: published.hint })
}

/// Reads the lists under `root`, of images whose paths start from `images`.
fn read_lists(
    published: &Published,
    root: &Path,
    images: &Path,
    problems: &mut DataProblems,
) -> Result<Vec<(&'static str, List)>, PrepareError> {
    let found = |files: &[(&'static str, &'static str)]| {
        let holds = |folder: &&&str| root.join(folder).join(files[0].1).is_file();
        published.list_folders.iter().find(holds).copied()
    };
    let (txt, csv) = (&published.lists, published.csv.as_ref());
    let of_csv = || csv.and_then(|csv| Some((found(csv)?, csv.as_slice(), true)));
    let of_txt = found(txt).map(|folder| (folder, txt.as_slice(), false));
    let Some((folder, files, is_csv)) = of_txt.or_else(of_csv) else {
        let (place, first) = (root.display(), txt[0].1);
        let what = match csv {
            Some(csv) => format!("{place} holds neither {first} nor {}", csv[0].1),
            None => format!("{place} does not hold {first}"),
        };
        return Err(PrepareError::WrongFolder { what, hint: published.hint.to_owned() });
    };
    let parse = |line: &str| if is_csv { parse_csv(line) } else { parse_txt(line) };
    let mut lists = Vec::new();
    for &(part, file) in files {
        let file = Path::new(folder).join(file);
        let file = file.to_str().expect("made of constants");
        lists.push((part, lists::read((root, file), images, published.classes, parse, problems)?));
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

fn compare_with_published(published: &Published, plan: &PreparePlan) -> Vec<String> {
    let mut differences = Vec::new();
    for part in &plan.splits {
        let size = published.sizes.iter().find(|(name, _)| *name == part.name).map(|(_, it)| *it);
        if size != Some(part.items.len()) {
            differences.push(format!(
                "split {} has {} images instead of {}",
                part.name,
                part.items.len(),
                size.unwrap_or_default()
            ));
        }
    }
    let train = &plan.lists[0];
    if train.git_blob != published.train_list_blob {
        differences.push(format!(
            "{} is not the published list: git calls it {} instead of {}",
            train.file, train.git_blob, published.train_list_blob
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
