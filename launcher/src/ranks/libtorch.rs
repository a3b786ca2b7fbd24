//! Which libtorch the ranks will load, and whether it is the one they were built for.
//!
//! A rank with another libtorch dies in the dynamic loader, before `main`, with a sentence about
//! symbols. The launcher looks first, in the loader's order, and says it in words.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};

use lcsl_config::Problem;

/// The version that `lcsl-rank` is built for.
pub const VERSION: &str = "2.11.0";

/// The library that is looked for; the others lie beside it.
const LIBRARY: &str = "libtorch_cpu.so";

/// Where libtorch may be, in the order of precedence.
#[derive(Debug, Clone, Default)]
pub struct Places {
    /// `LD_LIBRARY_PATH`.
    pub library_path: Option<OsString>,
    /// `LIBTORCH`; where it is set it decides, also when it is wrong.
    pub variable: Option<PathBuf>,
    /// The folder that was used when the program was built.
    pub built_with: Option<PathBuf>,
}

impl Places {
    /// The places of this process.
    pub fn here() -> Self {
        let variable = std::env::var_os("LIBTORCH").filter(|folder| !folder.is_empty());
        Self {
            library_path: std::env::var_os("LD_LIBRARY_PATH"),
            variable: variable.map(PathBuf::from),
            built_with: option_env!("LIBTORCH").map(PathBuf::from),
        }
    }

    /// Directories in the order in which the loader will see them, each with the name of where it
    /// comes from.
    fn directories(&self) -> Vec<(PathBuf, &'static str)> {
        let listed = self.library_path.as_deref().unwrap_or_default();
        let listed = std::env::split_paths(listed).filter(|folder| !folder.as_os_str().is_empty());
        let mut directories: Vec<_> = listed.map(|folder| (folder, "LD_LIBRARY_PATH")).collect();
        match (&self.variable, &self.built_with) {
            (Some(folder), _) => directories.push((folder.join("lib"), "LIBTORCH")),
            (None, Some(folder)) => directories.push((folder.join("lib"), "the build")),
            (None, None) => {}
        }
        directories
    }
}

/// Finds the directory that holds libtorch's shared libraries, as an absolute path.
pub fn find(places: &Places) -> Result<PathBuf, Problem> {
    let directories = places.directories();
    let Some((found, source)) =
        directories.iter().find(|(directory, _)| directory.join(LIBRARY).exists())
    else {
        return Err(absent(&directories));
    };
    match version(found) {
        Some(version) if release(&version) != VERSION => Err(Problem {
            what: format!("libtorch is version {version}, but lcsl-rank needs {VERSION}"),
            place: format!("{}, from {source}", found.display()),
            hint: Some(match *source {
                "LD_LIBRARY_PATH" => format!(
                    "take that folder out of LD_LIBRARY_PATH, or put libtorch {VERSION} before it"
                ),
                _ => format!(
                    "run `make setup`, which fetches libtorch {VERSION}, or set LIBTORCH to the \
                     folder of one"
                ),
            }),
        }),
        // Without a version file there is nothing to compare; if it is wrong, the loader's message
        // is explained later.
        _ => Ok(std::path::absolute(found).unwrap_or_else(|_| found.clone())),
    }
}

fn absent(directories: &[(PathBuf, &'static str)]) -> Problem {
    let looked: Vec<String> = directories
        .iter()
        .map(|(directory, source)| format!("{} ({source})", directory.display()))
        .collect();
    Problem {
        what: format!("libtorch was not found: no {LIBRARY}"),
        place: if looked.is_empty() {
            "neither LD_LIBRARY_PATH nor LIBTORCH is set".to_owned()
        } else {
            looked.join(", ")
        },
        hint: Some(format!(
            "run `make setup`, or set LIBTORCH to the folder of a libtorch {VERSION}"
        )),
    }
}

/// The version of the libtorch whose libraries lie in `directory`: a Python wheel says it in
/// `version.py`, libtorch's own archive in `build-version`.
pub fn version(directory: &Path) -> Option<String> {
    let above = [directory.parent().map(Path::to_owned), Some(directory.join(".."))];
    above.into_iter().flatten().find_map(|folder| {
        let wheel = fs::read_to_string(folder.join("version.py")).ok();
        let archive = || fs::read_to_string(folder.join("build-version")).ok();
        wheel.as_deref().and_then(version_in_python).or_else(|| Some(archive()?.trim().to_owned()))
    })
}

/// Reads `__version__ = '2.11.0+cu130'`.
fn version_in_python(text: &str) -> Option<String> {
    let line = text.lines().find_map(|line| line.strip_prefix("__version__"))?;
    let value = line.trim_start().strip_prefix('=')?.trim();
    Some(value.trim_matches(['\'', '"']).to_owned())
}

/// `2.11.0` of `2.11.0+cu130`.
fn release(version: &str) -> &str {
    version.split('+').next().unwrap_or(version)
}

/// `LD_LIBRARY_PATH` for the ranks: the directory found, then what was there.
pub fn library_path(found: &Path, inherited: Option<&OsStr>) -> OsString {
    let mut path = found.as_os_str().to_owned();
    if let Some(inherited) = inherited.filter(|inherited| !inherited.is_empty()) {
        path.push(":");
        path.push(inherited);
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder that looks like a libtorch to the eye of the launcher.
    fn libtorch(at: &Path, file: &str, text: &str) -> PathBuf {
        fs::create_dir_all(at.join("lib")).unwrap();
        fs::write(at.join("lib").join(LIBRARY), "").unwrap();
        fs::write(at.join(file), text).unwrap();
        at.to_owned()
    }

    #[test]
    fn both_kinds_of_version_file_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let wheel = "from typing import Optional\n__version__ = '2.11.0+cu130'\ndebug = False\n";
        for (name, file, text) in
            [("wheel", "version.py", wheel), ("archive", "build-version", "2.11.0+cpu\n")]
        {
            let at = libtorch(&folder.path().join(name), file, text);
            let places = Places { variable: Some(at.clone()), ..Places::default() };
            assert_eq!(find(&places), Ok(at.join("lib")), "{name}");
        }
    }

    #[test]
    fn another_version_is_named_with_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let at = libtorch(folder.path(), "version.py", "__version__ = \"2.7.1\"\n");
        let problem = find(&Places { variable: Some(at), ..Places::default() }).unwrap_err();
        assert_eq!(problem.what, "libtorch is version 2.7.1, but lcsl-rank needs 2.11.0");
        assert!(problem.place.ends_with("lib, from LIBTORCH"), "{}", problem.place);
        assert!(problem.hint.unwrap().contains("make setup"));
    }

    #[test]
    fn the_loaders_order_decides() {
        let folder = tempfile::tempdir().unwrap();
        let right = libtorch(&folder.path().join("right"), "build-version", "2.11.0");
        let wrong = libtorch(&folder.path().join("wrong"), "build-version", "2.7.1");
        let nowhere = folder.path().join("nowhere");
        let all = Places {
            library_path: Some(format!("{}::/", nowhere.display()).into()),
            variable: Some(right.clone()),
            built_with: Some(wrong.clone()),
        };
        assert_eq!(find(&all), Ok(right.join("lib")), "LIBTORCH decides over the build");
        let misled = Places { library_path: Some(wrong.join("lib").into()), ..all.clone() };
        let hint = find(&misled).unwrap_err().hint.unwrap();
        assert!(hint.contains("LD_LIBRARY_PATH"), "{hint}");
        let decisive = Places { variable: Some(nowhere), built_with: Some(right), ..all };
        let problem = find(&decisive).unwrap_err();
        assert!(problem.what.contains("not found"), "{problem:?}");
        assert!(problem.place.contains("nowhere/lib (LIBTORCH)"), "{problem:?}");
    }

    #[test]
    fn what_was_in_the_library_path_stays_behind_what_was_found() {
        let joined = |inherited: Option<&str>| {
            library_path(Path::new("/torch/lib"), inherited.map(OsStr::new))
        };
        assert_eq!(joined(None), "/torch/lib");
        assert_eq!(joined(Some("")), "/torch/lib");
        assert_eq!(joined(Some("/a:/b")), "/torch/lib:/a:/b");
    }
}
