//! Lists of images, as text.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Component, Path, PathBuf};

use lcsl_text::excerpt;
use sha1::{Digest as _, Sha1};

use crate::prepare::error::PrepareError;
use crate::prepare::manifest::ListFile;
use crate::prepare::plan::Item;
use crate::prepare::problems::DataProblems;

/// No list of images is longer than this.
const BYTES_MAX: u64 = 1 << 30;

/// Characters of a line that are shown.
const EXCERPT: usize = 80;

/// A list, read.
#[derive(Clone, Debug)]
pub struct List {
    /// What to note down about it.
    pub file: ListFile,
    /// Its entries.
    pub items: Vec<Item>,
}

/// Reads the list `file` in `folder`, of images whose paths start from `root`. `parse` takes a line to a path and a
/// label, or to the reason why it cannot.
/// Lines that cannot be understood, lead out of the folder, have a label that is not below `classes`, or name an image
/// again, become problems. Paths are taken as [`inside`] takes them.
///
/// # Errors
/// When the file cannot be read.
pub(super) fn read(
    (folder, file): (&Path, &str),
    root: &Path,
    classes: u32,
    parse: impl Fn(&str) -> Result<(String, u64), String>,
    problems: &mut DataProblems,
) -> Result<List, PrepareError> {
    let path = folder.join(file);
    let content = read_bounded(&path)?;
    let text = text_of(&path, &content)?;
    let mut items = Vec::new();
    let mut seen = HashSet::new();
    for (number, line) in lcsl_text::lines(&text).filter(|(_, line)| !line.trim().is_empty()) {
        let place = format!("{file}, line {number}");
        let parsed = parse(line.trim());
        let (name, label) = match parsed.and_then(|(name, label)| Ok((inside(root, &name)?, label)))
        {
            Ok(parsed) => parsed,
            Err(why) => {
                let what = format!("{place}: {why}: {}", excerpt(line, EXCERPT));
                problems.add("lines that cannot be understood", what);
                continue;
            }
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

/// The text of the file at `path`.
pub(super) fn text_of<'a>(path: &Path, content: &'a [u8]) -> Result<Cow<'a, str>, PrepareError> {
    lcsl_text::decode(content).map_err(|why| PrepareError::WrongFolder {
        what: format!("{} cannot be read: {why}", path.display()),
        hint: "the file is damaged, or not the list that its name says".to_owned(),
    })
}

/// The label in a field of a line.
pub(super) fn label(field: &str) -> Result<u64, String> {
    let shown = excerpt(field, EXCERPT);
    field.trim().parse().map_err(|_| format!("the label \"{shown}\" is not a number from 0"))
}

/// A path of a list, from `root` on, with `/` between its parts: `./train/a.jpg`, `train//a.jpg`, `train\a.jpg`, and
/// paths that begin with the root itself, are `train/a.jpg`.
///
/// # Errors
/// Why it is none. A list must not make this program read files elsewhere.
pub(super) fn inside(root: &Path, name: &str) -> Result<String, String> {
    // On this system \ can be part of a name; nothing that is known has one.
    let slashes = if name.contains('/') { name.to_owned() } else { name.replace('\\', "/") };
    let path = Path::new(&slashes);
    // The disk is asked only where the name needs it: a list has a line for every image.
    let by_disk = || path.strip_prefix(fs::canonicalize(root).ok()?).ok();
    let relative = if path.is_absolute() {
        path.strip_prefix(root).ok().or_else(by_disk).ok_or_else(|| leads_out(root))?
    } else {
        path
    };
    let mut parts = Vec::new();
    for part in relative.components() {
        match part {
            Component::Normal(part) => parts.push(part.to_str().unwrap_or_default()),
            Component::CurDir => {}
            _ => return Err(leads_out(root)),
        }
    }
    let joined = parts.join("/");
    // Names are written down again, one a line.
    match joined.find(char::is_control) {
        _ if joined.is_empty() => Err("there is no path".to_owned()),
        Some(_) => Err("the path has a control character in it".to_owned()),
        None => Ok(joined),
    }
}

fn leads_out(root: &Path) -> String {
    format!("the path leads out of {}", root.display())
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
        let root = tempfile::tempdir().unwrap();
        let out = format!("the path leads out of {}", root.path().display());
        for bad in ["/etc/passwd", "../x.jpg", "train/../../x.jpg", "train/../x.jpg", "..\\x.jpg"] {
            assert_eq!(inside(root.path(), bad), Err(out.clone()), "{bad}");
        }
        assert_eq!(inside(root.path(), "./"), Err("there is no path".to_owned()));
        let control = Err("the path has a control character in it".to_owned());
        assert_eq!(inside(root.path(), "train/\u{1b}[2Jx.jpg"), control);
    }

    /// Story: lists that other tools write have paths from `./` on, from the root of the disk on, or with the slashes
    /// of Windows; all were lines that could not be understood.
    #[test]
    fn a_path_is_taken_as_it_is_meant() {
        let folder = tempfile::tempdir().unwrap();
        let real = folder.path().join("disk/imagenet");
        fs::create_dir_all(&real).unwrap();
        let root = folder.path().join("link");
        std::os::unix::fs::symlink(&real, &root).unwrap();
        let name = "train/n01440764/n01440764_762.JPEG";
        let [by_link, by_disk] = [&root, &real].map(|root| root.join(name).display().to_string());
        let [dotted, doubled] = [format!("./{name}"), name.replace('/', "//")];
        let windows = name.replace('/', "\\");
        for said in [name, &by_link, &by_disk, &dotted, &doubled, &windows] {
            assert_eq!(inside(&root, said).as_deref(), Ok(name), "{said}");
        }
    }
}
