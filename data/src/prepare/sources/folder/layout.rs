//! Which folders are parts and which are classes. Where that would have to be guessed, it is asked.
//!
//! ```text
//! ROOT/cat/1.jpg          each folder is a class
//! ROOT/train/cat/1.jpg    parts, by any of their usual names, and a folder for each class in each
//! ```
//!
//! A folder with the name of a part is one where it holds folders of images. Where it holds images
//! itself, it may be a class: trains are photographed, too. One way out is always open: classes below a
//! folder `train/` are taken as they are, whatever they are called.

use std::collections::BTreeSet;

use lcsl_text::{counted, counted_as};

use super::plan::first;
use super::walk::Folder;
use crate::prepare::problems::DataProblems;

/// What parts are called, in any letter case.
const PARTS: [(&str, &[&str]); 3] = [
    ("train", &["train", "training"]),
    ("val", &["val", "valid", "validation", "dev"]),
    ("test", &["test", "testing"]),
];
/// Words that stand before or behind those: `train_images`, `test2017`, `Validation Set`.
const WITH_SET: [&str; 3] = ["set", "data", "images"];

/// How a root is to be read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Layout<'a> {
    /// The parts, that for training first, and for each the folders that lie above its classes.
    pub(super) parts: Vec<(&'static str, String, &'a Folder)>,
    /// What was taken for what, in sentences.
    pub(super) notes: Vec<String>,
    /// Images that are in no class, in sentences.
    pub(super) warnings: Vec<String>,
}

/// Understands the folders below `root`, or says everything that cannot be understood.
pub(super) fn understand(root: &Folder) -> Result<Layout<'_>, DataProblems> {
    let mut problems = DataProblems::default();
    let is_part = |folder: &&Folder| {
        let name = &folder.name;
        holds_folders(folder) && (part_named(name).is_some() || resembled(name).is_some())
    };
    let mut layout = if root.with_images().any(|folder| is_part(&folder)) {
        parts(root, &mut problems)
    } else {
        classes(root, &mut problems)
    };
    if !root.images.is_empty() && layout.parts.iter().all(|(_, prefix, _)| !prefix.is_empty()) {
        let images = counted_as(root.images.len() as u64, "image lies", "images lie");
        layout.warnings.push(format!("{images} beside the parts, in no class: passed over"));
    }
    for (_, prefix, part) in &layout.parts {
        let stray = part.images.len() as u64;
        if stray > 0 && holds_folders(part) {
            let place = if prefix.is_empty() { "the root" } else { prefix };
            let images = counted_as(stray, "image lies", "images lie");
            layout.warnings.push(format!("{images} in {place}, in no class: passed over"));
        }
        for class in part.with_images() {
            let inner = class.with_images().filter_map(|folder| part_named(&folder.name));
            if inner.collect::<BTreeSet<_>>().len() > 1 {
                let what = format!("{prefix}{}/ holds {}", class.name, listed(class.with_images()));
                problems.add("classes with parts inside", what);
            }
        }
    }
    if problems.is_empty() { Ok(layout) } else { Err(problems) }
}

/// A root with parts.
fn parts<'a>(root: &'a Folder, problems: &mut DataProblems) -> Layout<'a> {
    let mut found: Vec<(&'static str, &Folder)> = Vec::new();
    for folder in root.with_images() {
        let Folder { name, .. } = folder;
        if let Some(part) = part_named(name) {
            if let Some((_, other)) = found.iter().find(|(other, _)| *other == part) {
                let what = format!("{}/ and {name}/ are both {part}", other.name);
                problems.add("parts that are there twice", what);
            }
            found.push((part, folder));
            too_many_on_top(folder, name, problems);
        } else if let Some(part) = resembled(name).filter(|_| holds_folders(folder)) {
            let what = format!("{name}/: is it {part}?");
            problems.add("folders that may be a split", what);
        } else {
            let images = counted(folder.total(), "image");
            problems.add("folders with images beside the parts", format!("{name}/ ({images})"));
        }
    }
    for (part, folder) in &found {
        if !holds_folders(folder) {
            let images = counted(folder.images.len() as u64, "image");
            let what = format!("{}/ ({part}) holds {images} and no folder of a class", folder.name);
            problems.add("parts without classes", what);
        }
    }
    if !found.iter().any(|(part, _)| *part == "train") {
        problems.add("parts that are missing", "train".to_owned());
    }
    let order = |part: &str| PARTS.iter().position(|(name, _)| *name == part);
    found.sort_by_key(|(part, _)| order(part));
    let named: Vec<String> =
        found.iter().map(|(part, folder)| format!("{}/ is {part}", folder.name)).collect();
    let mut notes = vec![format!("taken for parts: {}", named.join(", "))];
    let empty: Vec<&Folder> = root.folders.iter().filter(|folder| folder.total() == 0).collect();
    if !empty.is_empty() {
        notes.push(format!("passed over, without an image: {}", listed(empty.into_iter())));
    }
    let parts = found
        .into_iter()
        .map(|(part, folder)| (part, format!("{}/", folder.name), folder))
        .collect();
    Layout { parts, notes, warnings: Vec::new() }
}

/// A root whose folders are all classes of training images.
fn classes<'a>(root: &'a Folder, problems: &mut DataProblems) -> Layout<'a> {
    let folders: Vec<&Folder> = root.with_images().collect();
    let named: Vec<&&Folder> =
        folders.iter().filter(|folder| part_named(&folder.name).is_some()).collect();
    let mut notes = Vec::new();
    if named.len() > 1 || (named.len() == 1 && folders.len() == 1) {
        for folder in named {
            let images = counted(folder.total(), "image");
            let what = format!("{}/ holds {images} and no folder of a class", folder.name);
            problems.add("parts without classes", what);
        }
    } else if let Some(folder) = named.first() {
        notes.push(format!("{}/ is taken for a class: it holds images itself", folder.name));
    }
    too_many_on_top(root, "", problems);
    let mut common: Option<BTreeSet<&str>> = None;
    for folder in &folders {
        let inner: BTreeSet<&str> = folder.with_images().map(|one| one.name.as_str()).collect();
        let inner = if folder.images.is_empty() { inner } else { BTreeSet::new() };
        common = Some(common.map_or(inner.clone(), |common| &common & &inner));
    }
    if folders.len() > 1 && common.as_ref().is_some_and(|common| common.len() > 1) {
        let (all, common) = (listed(folders.iter().copied()), common.unwrap_or_default());
        let common: Vec<&str> = common.into_iter().collect();
        let what = format!("{all} all hold {}: are they parts?", first(&common));
        problems.add("folders of equal folders", what);
    }
    let all =
        counted_as(root.folders.len() as u64, "sub-folder is a class", "sub-folders are classes");
    notes.insert(0, format!("{all}: {}", listed(root.folders.iter())));
    Layout { parts: vec![("train", String::new(), root)], notes, warnings: Vec::new() }
}

/// Adds a problem where all images below `folder` lie in one folder, which does not look like a class.
fn too_many_on_top(folder: &Folder, path: &str, problems: &mut DataProblems) {
    let (mut folder, mut path, begun) = (folder, path.to_owned(), path.len());
    while folder.images.is_empty() {
        let mut inner = folder.with_images();
        let (Some(only), None) = (inner.next(), inner.next()) else { break };
        if !holds_folders(only) || part_named(&only.name).is_some() {
            break;
        }
        if !path.is_empty() {
            path.push('/');
        }
        path.push_str(&only.name);
        folder = only;
    }
    if path.len() > begun {
        let what = format!("{path}/ holds {}", listed(folder.with_images()));
        problems.add("folders too many above the classes", what);
    }
}

/// Whether it holds folders of images.
fn holds_folders(folder: &Folder) -> bool {
    folder.with_images().next().is_some()
}

/// The part that is called so.
fn part_named(name: &str) -> Option<&'static str> {
    let name = name.to_lowercase();
    PARTS.iter().find(|(_, names)| names.contains(&name.as_str())).map(|(part, _)| *part)
}

/// The part that a name makes one think of: its first or last word is that of a part.
fn resembled(name: &str) -> Option<&'static str> {
    let mut words = vec![String::new()];
    let mut was_lower = false;
    for letter in name.chars() {
        if !letter.is_alphabetic() || (letter.is_uppercase() && was_lower) {
            words.push(String::new());
        }
        if letter.is_alphabetic() {
            words.last_mut().expect("it began with one").extend(letter.to_lowercase());
        }
        was_lower = letter.is_lowercase();
    }
    words.retain(|word| !word.is_empty());
    let ends = [words.first(), words.last()];
    ends.into_iter().flatten().find_map(|word| {
        let bare = WITH_SET.iter().find_map(|end| word.strip_suffix(end));
        part_named(word).or_else(|| bare.and_then(part_named))
    })
}

fn listed<'a>(folders: impl Iterator<Item = &'a Folder>) -> String {
    let names: Vec<String> = folders.map(|folder| format!("{}/", folder.name)).collect();
    first(&names)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tree of folders from the paths of its images.
    fn tree(paths: &[&str]) -> Folder {
        let mut root = Folder::default();
        for path in paths {
            let mut folder = &mut root;
            let (above, image) = path.rsplit_once('/').unwrap_or(("", path));
            for name in above.split('/').filter(|name| !name.is_empty()) {
                let found = folder.folders.iter().position(|inner| inner.name == name);
                let place = found.unwrap_or_else(|| {
                    let name = name.to_owned();
                    folder.folders.push(Folder { name, ..Folder::default() });
                    folder.folders.len() - 1
                });
                folder = &mut folder.folders[place];
            }
            folder.images.push(image.to_owned());
        }
        root
    }

    /// What is made of it: notes and warnings, or problems.
    fn told(paths: &[&str]) -> String {
        match understand(&tree(paths)) {
            Ok(layout) => [layout.notes, layout.warnings].concat().join("\n"),
            Err(problems) => format!("refused: {problems}"),
        }
    }

    #[test]
    fn names_of_parts_are_known_and_others_make_one_think_of_them() {
        for name in ["Train", "TRAINING", "valid", "Validation", "dev", "Test"] {
            assert!(part_named(name).is_some(), "{name}");
        }
        for name in
            ["train2017", "train_images", "imagesTest", "Validation Set", "testset", "my-val"]
        {
            assert!(part_named(name).is_none() && resembled(name).is_some(), "{name}");
        }
        for name in ["trainer", "valley", "testarossa", "cat", "constrained", "7", "device"] {
            assert_eq!((part_named(name), resembled(name)), (None, None), "{name}");
        }
    }

    /// Story: `Train/` beside `Test/`, and `training/` or `validation/`, were two classes.
    #[test]
    fn parts_are_understood_by_their_usual_names() {
        let (train, test) = (["Train/a/1", "Train/b/1"], ["Test/a/2", "Test/b/2"]);
        assert_eq!(
            told(&[train, test].concat()),
            "taken for parts: Train/ is train, Test/ is test"
        );
        let named = told(&["training/a/1", "validation/a/1", "testing/a/2", "stray"]);
        insta::assert_snapshot!(named);
    }

    /// Story: `val/` beside `train/`, and `extra/`, were passed over without a word, and folders of images
    /// without classes were an empty part.
    #[test]
    fn what_is_nearly_a_layout_of_parts_is_refused_with_all_that_is_wrong() {
        insta::assert_snapshot!(told(&[
            "train/a/1",
            "valid/a/1",
            "val/a/1",
            "test/1",
            "extra/2",
            "train_old/a/3"
        ]));
        insta::assert_snapshot!(told(&["test/a/1", "valid/a/1"]));
        insta::assert_snapshot!(told(&["train/images/a/1", "train/images/b/1"]));
    }

    #[test]
    fn folders_of_classes_are_refused_where_they_may_be_something_else() {
        insta::assert_snapshot!(told(&["train/1", "test/2"]));
        // Story: a folder too many on top was "30 images of 1 classes".
        insta::assert_snapshot!(told(&["pets/all/cat/1", "pets/all/dog/1"]));
        insta::assert_snapshot!(told(&["one/cat/1", "one/dog/1", "two/cat/1", "two/dog/1"]));
        insta::assert_snapshot!(told(&["cat/train/1", "cat/test/2", "dog/train/1"]));
    }

    #[test]
    fn folders_of_classes_are_taken_as_they_are() {
        insta::assert_snapshot!(told(&["bus/1", "bus/deep/er/2", "train/1", "stray"]));
        insta::assert_snapshot!(told(&["train/train/1", "train/bus/old/1", "train/testing/2"]));
        insta::assert_snapshot!(told(&["a/1", "b/1", "c/1", "d/1", "e/1", "f/1", "g/1"]));
    }
}
