//! From the folder of images to a plan.
//!
//! Where the folder has a `train/`, its splits are taken from `train/`, `val/` (or `valid/`) and
//! `test/`, as far as they are there; otherwise every sub-folder is a class of training images.
//! Classes are numbered in the order of their names' bytes.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;

use super::hold_out::{select, test_part, use_of_parts};
use crate::prepare::error::PrepareError;
use crate::prepare::plan::{Item, PlannedSplit, PreparePlan};
use crate::prepare::problems::DataProblems;
use crate::prepare::request::PrepareRequest;

const EXTENSIONS: [&str; 3] = ["jpg", "jpeg", "png"];
const HINT: &str = "--root names a folder with a sub-folder for each class, or with train/ (and \
    val/ and test/) that have them; images are JPEG or PNG";

/// Files below a folder of a class are looked for this deep.
const DEPTH_MAX: usize = 8;

/// Plans from the files under the request's root.
///
/// # Errors
/// When there are no classes, a class has no image, or the selection asks for more than there is.
pub fn plan(request: &PrepareRequest) -> Result<PreparePlan, PrepareError> {
    let root = &request.root;
    let mut walk =
        Walk { root, classes: BTreeSet::new(), others: 0, problems: DataProblems::default() };
    let has_parts = root.join("train").is_dir();
    let mut splits = Vec::new();
    if has_parts {
        for (name, folders) in
            [("train", ["train", "train"]), ("val", ["val", "valid"]), ("test", ["test", "test"])]
        {
            if let Some(folder) = folders.into_iter().find(|folder| root.join(folder).is_dir()) {
                splits.push((name, walk.part(folder)?));
            }
        }
    } else {
        splits.push(("train", walk.part("")?));
    }
    let class_names: Vec<String> = walk.classes.into_iter().collect();
    if class_names.is_empty() {
        let what = format!("{} has no sub-folders that could be classes", root.display());
        return Err(PrepareError::WrongFolder { what, hint: HINT.to_owned() });
    }
    let mut warnings = Vec::new();
    if walk.others > 0 {
        warnings.push(format!("{} files are not images by their names: passed over", walk.others));
    }
    let splits = splits
        .into_iter()
        .map(|(name, files)| PlannedSplit { name, items: items(files, &class_names) })
        .collect();
    let mut plan =
        PreparePlan { class_names, splits, lists: Vec::new(), warnings, notes: Vec::new() };
    plan.find_empty_classes(&mut walk.problems);
    if !walk.problems.is_empty() {
        let (root, problems) = (root.clone(), walk.problems);
        return Err(PrepareError::Problems { root, problems, hint: HINT });
    }
    test_part(&mut plan, request)?;
    select(&mut plan, request)?;
    plan.notes.push(use_of_parts(&plan));
    Ok(plan)
}

/// A number and what it counts.
pub(super) fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

fn items(files: Vec<(String, String)>, class_names: &[String]) -> Vec<Item> {
    let label = |class: &String| {
        class_names.binary_search(class).expect("every class was collected") as u32
    };
    let item = |(class, name)| Item { label: label(&class), name, number: 0 };
    files.into_iter().map(item).collect()
}

/// What has been met on the way through a folder.
struct Walk<'a> {
    root: &'a Path,
    classes: BTreeSet<String>,
    others: u64,
    problems: DataProblems,
}

impl Walk<'_> {
    /// The images of a split, in the order of their names: (class, path from the root).
    fn part(&mut self, folder: &str) -> Result<Vec<(String, String)>, PrepareError> {
        let mut files = Vec::new();
        for (class, is_folder) in self.entries(folder)? {
            if !is_folder {
                self.others += 1;
                continue;
            }
            self.classes.insert(class.clone());
            let begins =
                if folder.is_empty() { class.clone() } else { format!("{folder}/{class}") };
            self.class(&class, &begins, 0, &mut files)?;
        }
        Ok(files)
    }

    fn class(
        &mut self,
        class: &str,
        folder: &str,
        depth: usize,
        files: &mut Vec<(String, String)>,
    ) -> Result<(), PrepareError> {
        for (name, is_folder) in self.entries(folder)? {
            let path = format!("{folder}/{name}");
            let extension = name.rsplit_once('.').map(|(_, extension)| extension);
            let is_image = extension
                .is_some_and(|found| EXTENSIONS.iter().any(|one| one.eq_ignore_ascii_case(found)));
            if is_folder && depth < DEPTH_MAX {
                self.class(class, &path, depth + 1, files)?;
            } else if is_image {
                files.push((class.to_owned(), path));
            } else {
                self.others += 1;
            }
        }
        Ok(())
    }

    /// Names in a folder, in order, and whether each is a folder. Hidden ones are left out.
    fn entries(&mut self, folder: &str) -> Result<Vec<(String, bool)>, PrepareError> {
        let path = self.root.join(folder);
        let mut names = Vec::new();
        let read = || -> io::Result<Vec<fs::DirEntry>> { fs::read_dir(&path)?.collect() };
        let entries = read().map_err(|error| match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => PrepareError::WrongFolder {
                what: format!("{} is no folder", path.display()),
                hint: HINT.to_owned(),
            },
            _ => crate::DataError::Read { path: path.clone(), offset: 0, source: error }.into(),
        })?;
        for entry in entries {
            let name = entry.file_name();
            let Some(name) = name.to_str().filter(|name| !name.contains('\n')) else {
                let what = entry.path().display().to_string();
                self.problems.add("names that are not UTF-8, or hold a line break", what);
                continue;
            };
            if !name.starts_with('.') {
                // Follows links: datasets are often made of them.
                names.push((name.to_owned(), entry.path().is_dir()));
            }
        }
        names.sort();
        Ok(names)
    }
}
