//! Lists of images, as text.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Component, Path, PathBuf};

use sha1::{Digest as _, Sha1};

use crate::prepare::error::PrepareError;
use crate::prepare::manifest::ListFile;
use crate::prepare::plan::Item;
use crate::prepare::problems::DataProblems;

/// No list of images is longer than this.
const BYTES_MAX: u64 = 1 << 30;

/// A list, read.
#[derive(Clone, Debug)]
pub struct List {
    /// What to note down about it.
    pub file: ListFile,
    /// Its entries.
    pub items: Vec<Item>,
}

/// Reads the list `file` under `root`. `parse` takes a line to a path and a label, or to `None`.
/// Lines that cannot be understood, lead out of the folder, have a label that is not below
/// `classes`, or name an image again, become problems.
///
/// # Errors
/// When the file cannot be read.
pub(super) fn read(
    root: &Path,
    file: &str,
    classes: u32,
    parse: impl Fn(&str) -> Option<(String, u64)>,
    problems: &mut DataProblems,
) -> Result<List, PrepareError> {
    let path = root.join(file);
    let content = read_bounded(&path)?;
    let text = String::from_utf8_lossy(&content);
    let mut items = Vec::new();
    let mut seen = HashSet::new();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let place = format!("{file}, line {}", number + 1);
        let Some((name, label)) = parse(line).filter(|(name, _)| stays_inside(name)) else {
            let line: String = line.chars().take(80).collect();
            problems.add("lines that cannot be understood", format!("{place}: {line}"));
            continue;
        };
        if label >= u64::from(classes) {
            let what = format!("{place}: label {label}, but there are only {classes} classes");
            problems.add("labels out of range", what);
        } else if seen.insert(name.clone()) {
            items.push(Item { name, label: label as u32, number: 0 });
        } else {
            problems.add("images listed twice", format!("{place}: {name}"));
        }
    }
    let file = ListFile {
        file: file.to_owned(),
        entries: items.len() as u64,
        git_blob: git_blob(&content),
    };
    Ok(List { file, items })
}

/// The bytes of a text file of believable length.
pub(super) fn read_bounded(path: &Path) -> Result<Vec<u8>, PrepareError> {
    let failed =
        |source| crate::DataError::Read { path: path.to_owned(), offset: 0, source }.into();
    let length = fs::metadata(path).map_err(failed)?.len();
    if length > BYTES_MAX {
        let (announced, limit) = (u128::from(length), BYTES_MAX);
        return Err(crate::DataError::TooLarge { path: path.to_owned(), announced, limit }.into());
    }
    fs::read(path).map_err(failed)
}

/// What git calls a file with this content.
pub fn git_blob(content: &[u8]) -> String {
    let mut hasher = Sha1::new();
    hasher.update(format!("blob {}\0", content.len()));
    hasher.update(content);
    let mut digits = String::with_capacity(40);
    for byte in hasher.finalize() {
        let _ = write!(digits, "{byte:02x}");
    }
    digits
}

/// A list must not make this program read files elsewhere.
pub(super) fn stays_inside(name: &str) -> bool {
    let path = Path::new(name);
    // Names are written down again, one a line.
    !name.is_empty()
        && !name.contains('\n')
        && path.components().all(|part| matches!(part, Component::Normal(_)))
}

/// The first of `candidates` under `root` that is a folder.
pub(super) fn first_folder(root: &Path, candidates: &[&str], inside: &str) -> Option<PathBuf> {
    let folders = candidates.iter().map(|candidate| root.join(candidate));
    folders.into_iter().find(|folder| folder.join(inside).is_dir())
}

/// Adds a problem for each item without a file.
pub(super) fn find_missing(root: &Path, items: &[Item], problems: &mut DataProblems) {
    for item in items {
        if !root.join(&item.name).is_file() {
            problems.add("listed images without a file", item.name.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blob_has_the_name_that_git_gives_it() {
        assert_eq!(git_blob(b"hello\n"), "ce013625030ba8dba906f756967f9e9ca394464a");
    }

    #[test]
    fn paths_that_lead_elsewhere_are_recognised() {
        for bad in ["", "/etc/passwd", "../x.jpg", "train/../../x.jpg"] {
            assert!(!stays_inside(bad), "{bad}");
        }
        assert!(stays_inside("train/n01440764/n01440764_762.JPEG"));
    }
}
