//! The corpora of the fuzz targets, replayed: every input that once showed something new must go on
//! being survived. No fuzzer is needed for it.

use std::fs;
use std::path::Path;

#[path = "../fuzz/src/lib.rs"]
pub mod targets;

const FUZZ: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz");

/// Hands every file of a target's corpus to `run`. Some must be accepted, and some must not, or the
/// corpus tests little.
fn replay(target: &str, run: fn(&[u8]) -> bool) {
    let folder = Path::new(FUZZ).join("corpus").join(target);
    let entries = fs::read_dir(&folder);
    let entries = entries.unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let paths: Vec<_> = entries.map(|entry| entry.expect("it can be listed").path()).collect();
    let accepted = paths.iter().filter(|path| run(&fs::read(path).expect("it can be read")));
    let (accepted, files) = (accepted.count(), paths.len());
    assert!(0 < accepted && accepted < files, "{accepted} of {files} in {}", folder.display());
}

#[test]
fn cifar() {
    replay("cifar", targets::cifar::run);
}

#[test]
fn idx() {
    replay("idx", targets::idx::run);
}

#[test]
fn index() {
    replay("index", targets::index::run);
}

#[test]
fn manifest() {
    replay("manifest", targets::manifest::run);
}

#[cfg(feature = "pictures")]
#[test]
fn jpeg() {
    replay("jpeg", targets::jpeg::run);
}

#[cfg(feature = "pictures")]
#[test]
fn tar() {
    replay("tar", targets::tar::run);
}

/// The bugs that are planted to see whether they are found are patches of the code as it is; one
/// that no longer applies would plant nothing.
#[test]
fn planted_bugs_still_apply() {
    let mut patches = 0;
    for entry in fs::read_dir(Path::new(FUZZ).join("planted")).expect("there are planted bugs") {
        let patch = fs::read_to_string(entry.expect("it can be listed").path()).expect("a text");
        let name = patch.lines().find_map(|line| line.strip_prefix("--- a/data/"));
        let path = Path::new(FUZZ).parent().expect("a crate").join(name.expect("a file is named"));
        let source = fs::read_to_string(&path).expect("the file is there");
        let hunks = patch.split("\n@@ ").skip(1);
        for hunk in hunks {
            let before = hunk.lines().skip(1).filter(|line| !line.starts_with('+'));
            let before: Vec<&str> = before.map(|line| &line[1..]).collect();
            let before = before.join("\n");
            assert!(source.contains(&before), "{} no longer has:\n{before}", path.display());
        }
        patches += 1;
    }
    assert!(patches > 0, "no bug is planted");
}
