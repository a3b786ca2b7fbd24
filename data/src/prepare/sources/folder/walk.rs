//! The folders below a root, as they lie on disk.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::HINT;
use crate::prepare::error::PrepareError;
use crate::prepare::problems::DataProblems;

/// What images are called, in any letter case. What such a file holds is seen when it is read.
const EXTENSIONS: &[&str] = if cfg!(feature = "more_formats") {
    &["jpg", "jpeg", "png", "ppm", "bmp", "pgm", "tif", "tiff", "webp", "gif"]
} else {
    &["jpg", "jpeg", "png"]
};
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
    /// The names of links to folders that are still to be followed.
    pub(super) links: Vec<String>,
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
    /// Files that are not images by their names, by what stands behind their last dot, in lower case; nothing
    /// where there is no dot.
    pub(super) others: BTreeMap<String, u64>,
    /// Folders that were met again, through links.
    pub(super) read_once: Vec<String>,
    /// What cannot be used as it is.
    pub(super) problems: DataProblems,
}

/// Reads everything below `root`, each real folder once: where it lies, or else at the first link that leads
/// to it.
///
/// # Errors
/// When a folder cannot be read.
pub(super) fn walk(root: &Path, met: &mut Met) -> Result<Folder, PrepareError> {
    let mut walk = Walk { root: real(root)?, seen: HashSet::new(), met };
    let mut tree = walk.read(root, String::new(), 0)?;
    walk.follow(root, &mut tree, 0)?;
    Ok(tree)
}

struct Walk<'a> {
    /// The root, without links in its path.
    root: PathBuf,
    /// Device and number of every folder that has been read.
    seen: HashSet<(u64, u64)>,
    met: &'a mut Met,
}

impl Walk<'_> {
    /// Reads a folder and the real folders below it, and notes down the links.
    fn read(&mut self, path: &Path, name: String, depth: usize) -> Result<Folder, PrepareError> {
        let mut folder = Folder { name, ..Folder::default() };
        let metadata = fs::metadata(path).map_err(|error| unreadable(path, error))?;
        if !self.seen.insert((metadata.dev(), metadata.ino())) {
            // A link to it was met first, below another link.
            self.met.read_once.push(path.display().to_string());
            return Ok(folder);
        }
        for (name, kind) in entries(path, self.met)? {
            let inner = path.join(&name);
            match kind {
                Kind::Folder | Kind::LinkedFolder if depth >= DEPTH_MAX => {
                    let what = inner.display().to_string();
                    self.met.problems.add("folders that lie too deep", what);
                }
                Kind::Folder => folder.folders.push(self.read(&inner, name, depth + 1)?),
                Kind::LinkedFolder => folder.links.push(name),
                Kind::File if is_image(&name) => folder.images.push(name),
                Kind::File => {
                    let ending = ending(&name).map(str::to_lowercase).unwrap_or_default();
                    *self.met.others.entry(ending).or_default() += 1;
                }
                Kind::Nothing => {
                    let what = inner.display().to_string();
                    self.met.problems.add("links that lead nowhere", what);
                }
            }
        }
        Ok(folder)
    }

    /// Follows the links in a folder and below it. Real folders have all been read by then, so a link to
    /// one of them adds nothing, and cannot put its images into a second class.
    fn follow(
        &mut self,
        path: &Path,
        folder: &mut Folder,
        depth: usize,
    ) -> Result<(), PrepareError> {
        // Those of a folder before those below it: a class that is a link keeps its images.
        for name in std::mem::take(&mut folder.links) {
            let link = path.join(&name);
            let target = real(&link)?;
            let metadata = fs::metadata(&target).map_err(|error| unreadable(&target, error))?;
            if self.root.starts_with(&target) {
                let what = format!("{} leads to {}", link.display(), target.display());
                self.met.problems.add("links to the root or above it", what);
            } else if self.seen.contains(&(metadata.dev(), metadata.ino())) {
                self.met.read_once.push(link.display().to_string());
            } else {
                folder.folders.push(self.read(&link, name, depth + 1)?);
            }
        }
        for inner in &mut folder.folders {
            self.follow(&path.join(&inner.name), inner, depth + 1)?;
        }
        folder.folders.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(())
    }
}

fn real(path: &Path) -> Result<PathBuf, PrepareError> {
    fs::canonicalize(path).map_err(|error| unreadable(path, error))
}

fn unreadable(path: &Path, error: io::Error) -> PrepareError {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => PrepareError::WrongFolder {
            what: format!("{} is no folder", path.display()),
            hint: HINT.to_owned(),
        },
        _ => crate::DataError::Read { path: path.to_owned(), offset: 0, source: error }.into(),
    }
}

fn is_image(name: &str) -> bool {
    ending(name).is_some_and(|found| EXTENSIONS.iter().any(|one| one.eq_ignore_ascii_case(found)))
}

fn ending(name: &str) -> Option<&str> {
    name.rsplit_once('.').map(|(_, ending)| ending)
}

/// What a name in a folder stands for.
enum Kind {
    Folder,
    LinkedFolder,
    File,
    /// A link without a target.
    Nothing,
}

/// Names in a folder, in order, and what each stands for. Hidden ones are left out.
fn entries(path: &Path, met: &mut Met) -> Result<Vec<(String, Kind)>, PrepareError> {
    let mut names = Vec::new();
    let read = || -> io::Result<Vec<fs::DirEntry>> { fs::read_dir(path)?.collect() };
    for entry in read().map_err(|error| unreadable(path, error))? {
        let name = entry.file_name();
        let Some(name) = name.to_str().filter(|name| !name.contains('\n')) else {
            let what = entry.path().display().to_string();
            met.problems.add("names that are not UTF-8, or hold a line break", what);
            continue;
        };
        if name.starts_with('.') || LEFT_BY_SYSTEMS.contains(&name) {
            continue;
        }
        let kind = entry.file_type().map_err(|error| unreadable(&entry.path(), error))?;
        let target = kind.is_symlink().then(|| fs::metadata(entry.path()));
        let kind = match target {
            Some(Ok(target)) if target.is_dir() => Kind::LinkedFolder,
            Some(Err(error)) if error.kind() == io::ErrorKind::NotFound => Kind::Nothing,
            None if kind.is_dir() => Kind::Folder,
            // A link that leads round in a circle, or into a folder that is closed, is met when it is read.
            Some(_) | None => Kind::File,
        };
        names.push((name.to_owned(), kind));
    }
    names.sort_by(|(one, _), (other, _)| one.cmp(other));
    Ok(names)
}
