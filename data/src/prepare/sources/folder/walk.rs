//! The folders below a root, as they lie on disk.

use std::fs;
use std::io;
use std::path::Path;

use super::HINT;
use crate::prepare::error::PrepareError;
use crate::prepare::problems::DataProblems;

const EXTENSIONS: [&str; 3] = ["jpg", "jpeg", "png"];
/// Folders are looked for this deep below the root.
const DEPTH_MAX: usize = 10;
/// What systems put into folders by themselves, besides hidden names.
const LEFT_BY_SYSTEMS: [&str; 4] = ["__MACOSX", "@eaDir", "lost+found", "__pycache__"];

/// A folder and what is of use in it, each in the order of the names' bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Folder {
    /// Its name, without those of the folders above it; empty for the root.
    pub(super) name: String,
    /// The folders in it.
    pub(super) folders: Vec<Folder>,
    /// The names of the images that lie in it itself.
    pub(super) images: Vec<String>,
}

impl Folder {
    /// The images in it and below it.
    pub(super) fn total(&self) -> u64 {
        let below: u64 = self.folders.iter().map(Folder::total).sum();
        self.images.len() as u64 + below
    }

    /// The folders in it that hold images, themselves or below.
    pub(super) fn with_images(&self) -> impl Iterator<Item = &Folder> {
        self.folders.iter().filter(|folder| folder.total() > 0)
    }

    /// Adds every image in it and below it to `paths`; `prefix` leads to it and ends in `/`.
    pub(super) fn add_paths(&self, prefix: &str, paths: &mut Vec<String>) {
        paths.extend(self.images.iter().map(|name| format!("{prefix}{name}")));
        for folder in &self.folders {
            folder.add_paths(&format!("{prefix}{}/", folder.name), paths);
        }
    }
}

/// What has been met on the way.
#[derive(Debug, Default)]
pub(super) struct Met {
    /// Files that are not images by their names.
    pub(super) others: u64,
    /// What cannot be used as it is.
    pub(super) problems: DataProblems,
}

/// Reads everything below `root`.
///
/// # Errors
/// When a folder cannot be read.
pub(super) fn walk(root: &Path, met: &mut Met) -> Result<Folder, PrepareError> {
    read(root, String::new(), 0, met)
}

fn read(path: &Path, name: String, depth: usize, met: &mut Met) -> Result<Folder, PrepareError> {
    let mut folder = Folder { name, ..Folder::default() };
    for (name, is_folder) in entries(path, met)? {
        if is_folder {
            let inner = path.join(&name);
            if depth < DEPTH_MAX {
                folder.folders.push(read(&inner, name, depth + 1, met)?);
            } else {
                let what = inner.display().to_string();
                met.problems.add("folders that lie too deep", what);
            }
        } else if is_image(&name) {
            folder.images.push(name);
        } else {
            met.others += 1;
        }
    }
    Ok(folder)
}

fn is_image(name: &str) -> bool {
    let extension = name.rsplit_once('.').map(|(_, extension)| extension);
    extension.is_some_and(|found| EXTENSIONS.iter().any(|one| one.eq_ignore_ascii_case(found)))
}

/// Names in a folder, in order, and whether each is a folder. Hidden ones are left out.
fn entries(path: &Path, met: &mut Met) -> Result<Vec<(String, bool)>, PrepareError> {
    let mut names = Vec::new();
    let read = || -> io::Result<Vec<fs::DirEntry>> { fs::read_dir(path)?.collect() };
    let entries = read().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => PrepareError::WrongFolder {
            what: format!("{} is no folder", path.display()),
            hint: HINT.to_owned(),
        },
        _ => crate::DataError::Read { path: path.to_owned(), offset: 0, source: error }.into(),
    })?;
    for entry in entries {
        let name = entry.file_name();
        let Some(name) = name.to_str().filter(|name| !name.contains('\n')) else {
            let what = entry.path().display().to_string();
            met.problems.add("names that are not UTF-8, or hold a line break", what);
            continue;
        };
        if !name.starts_with('.') && !LEFT_BY_SYSTEMS.contains(&name) {
            // Follows links: datasets are often made of them.
            names.push((name.to_owned(), entry.path().is_dir()));
        }
    }
    names.sort();
    Ok(names)
}
