//! The project's files, as the tests of this program read them.

use std::fs;
use std::path::{Path, PathBuf};

/// What git, the set-up, people, runs and cargo put beside the project's own files.
const NOT_OURS: [&str; 5] = [".git", ".deps", "datasets", "runs", "target"];

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// A file that a person wrote: its path from the root, and its text.
pub(crate) struct Source {
    pub(crate) name: String,
    pub(crate) text: String,
}

impl Source {
    pub(crate) fn is_rust(&self) -> bool {
        extension(&self.name) == "rs"
    }

    /// C or C++.
    pub(crate) fn is_c(&self) -> bool {
        ["c", "cpp", "h"].contains(&extension(&self.name))
    }

    /// The tests of this program are full of the words that they forbid.
    pub(crate) fn is_style_test(&self) -> bool {
        self.name.starts_with("trainer/tests/style/")
    }

    /// Lines that are not comments.
    pub(crate) fn code(&self) -> impl Iterator<Item = &str> {
        self.text.lines().filter(|line| !line.trim_start().starts_with("//"))
    }
}

/// Every Rust source.
pub(crate) fn rust() -> Vec<Source> {
    let sources: Vec<_> = written().into_iter().filter(Source::is_rust).collect();
    assert!(sources.len() > 50, "only {} files found: is this the project?", sources.len());
    sources
}

/// Every source and script: Rust, C, C++, Python, shell, and make's rules.
pub(crate) fn written() -> Vec<Source> {
    let mut sources = Vec::new();
    for name in paths() {
        let path = root().join(&name);
        let is_known = ["rs", "c", "cpp", "h", "py", "sh"].contains(&extension(&name));
        if path.is_file() && (is_known || extension(&name).is_empty()) {
            // Without an extension it may be anything: scripts begin with `#!`.
            let Ok(text) = String::from_utf8(fs::read(&path).unwrap()) else { continue };
            if is_known || name == "Makefile" || text.starts_with("#!") {
                sources.push(Source { name, text });
            }
        }
    }
    sources
}

/// What is written for people: Markdown, and the commented keys of the configuration.
pub(crate) fn documents() -> Vec<Source> {
    let is_document = |name: &String| ["md", "toml"].contains(&extension(name));
    let names = paths().into_iter().filter(is_document);
    let read = |name: String| {
        let text = fs::read_to_string(root().join(&name)).unwrap();
        Source { name, text }
    };
    names.map(read).collect()
}

/// Names of the files that offend.
pub(crate) fn offenders(sources: Vec<Source>, offends: impl Fn(&Source) -> bool) -> Vec<String> {
    sources.into_iter().filter(offends).map(|source| source.name).collect()
}

/// Every file and folder of the project: paths from the root.
pub(crate) fn paths() -> Vec<String> {
    let mut paths = Vec::new();
    collect(&root(), &mut paths);
    paths
}

fn collect(folder: &Path, paths: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
        // Cargo marks the folders that it builds into, whatever they are called.
        let is_built = path.join("CACHEDIR.TAG").exists() || name == "data/fuzz/target";
        if path.is_dir() && !is_built && !NOT_OURS.contains(&name.as_str()) {
            collect(&path, paths);
        }
        paths.push(name);
    }
}

fn extension(name: &str) -> &str {
    Path::new(name).extension().and_then(|extension| extension.to_str()).unwrap_or("")
}
