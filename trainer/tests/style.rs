//! The house rules that a compiler does not check (ARCHITECTURE.md says why they are rules).

#![allow(clippy::unwrap_used)] // a source file that cannot be read is a failure of the test

use std::fs;
use std::path::{Path, PathBuf};

const LINES_MAX: usize = 450;

/// Characters of a line; a little more than rustfmt's 100, for drawings and long literals. Inline
/// snapshots (`@"…"`) show a line as long as it is.
const COLUMNS_MAX: usize = 120;

/// The files that may contain `unsafe`, and what for.
const UNSAFE: [&str; 24] = [
    "collective/backends/src/mpi_world.rs", // the MPI interface is C
    "collective/backends/src/nccl/codes.rs", // the words of C libraries
    "collective/backends/src/nccl/context.rs", // calls into the CUDA driver
    "collective/backends/src/nccl/device.rs", // and again
    "collective/backends/src/nccl/pinned.rs", // and again
    "collective/backends/src/nccl/sys.rs",  // functions of shared libraries
    "collective/backends/src/nccl/world.rs", // calls into NCCL
    "collective/backends/src/pages.rs",     // advice about memory is a call of the kernel
    "collective/backends/tests/nccl/order.rs", // memory of a GPU, by address
    "collective/backends/tests/nccl/pinned.rs", // memory that a GPU reads by itself
    "data/src/decode/libjpeg.rs",           // libjpeg-turbo is C
    "data/src/prefetch.rs",                 // an instruction that takes an address
    "data/src/shard/mapping.rs",            // a mapped file may change under us
    "data/src/shard/sigbus.rs",             // a signal handler
    "trainer/src/engine/cuda.rs",           // shared libraries are opened by name
    "trainer/src/engine/data/pinned.rs",    // memory that a GPU reads by itself
    "trainer/src/engine/gradients/overlapped.rs", // two threads share the memory of the gradients
    "trainer/src/engine/native/ffi.rs",     // the shim beside libtorch is C++
    "trainer/src/engine/native/gradients.rs", // the shim again
    "trainer/src/engine/native/memory.rs",  // and again
    "trainer/src/engine/native/normalisation.rs", // and again
    "trainer/src/engine/native/winograd.rs", // and again
    "trainer/src/last_words.rs",            // handlers of fatal signals
    "trainer/tests/pinned/main.rs",         // memory that a GPU reads by itself
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Every Rust source of the project: its path from the root, and its text.
fn sources() -> Vec<(String, String)> {
    let mut sources = Vec::new();
    for member in ["collective", "configs", "data", "launcher", "trainer"] {
        collect(&root().join(member), &mut sources);
    }
    assert!(sources.len() > 50, "only {} files found: is this the project?", sources.len());
    sources
}

fn collect(folder: &Path, sources: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        // What cargo-fuzz builds lies inside its own project.
        if path.is_dir() && !path.ends_with("fuzz/target") {
            collect(&path, sources);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let name = path.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
            sources.push((name, fs::read_to_string(&path).unwrap()));
        }
    }
}

/// Lines of a source that are not comments.
fn code(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|line| !line.trim_start().starts_with("//"))
}

/// This file is full of the words that it forbids.
fn is_this_file(name: &str) -> bool {
    name == "trainer/tests/style.rs"
}

fn names_of(sources: Vec<(String, String)>, offends: impl Fn(&str, &str) -> bool) -> Vec<String> {
    let offending = sources.into_iter().filter(|(name, text)| offends(name, text));
    offending.map(|(name, _)| name).collect()
}

#[test]
fn files_are_short_enough_to_have_one_subject() {
    let long = names_of(sources(), |_, text| text.lines().count() > LINES_MAX);
    assert_eq!(long, [""; 0], "over {LINES_MAX} lines");
}

#[test]
fn lines_fit_on_a_screen() {
    let wide = names_of(sources(), |_, text| {
        let is_snapshot =
            |line: &str| ["@\"", "@r\"", "@r#\""].iter().any(|mark| line.contains(mark));
        text.lines().any(|line| line.chars().count() > COLUMNS_MAX && !is_snapshot(line))
    });
    assert_eq!(wide, [""; 0], "over {COLUMNS_MAX} columns");
}

#[test]
fn libtorch_appears_only_in_the_engine() {
    let allowed =
        |name: &str| name.starts_with("trainer/src/engine/") || name.starts_with("trainer/tests/");
    let found = names_of(sources(), |name, text| {
        // Not the end of another word, such as `watch` or `fetch`.
        let is_inside_word = |before: &str| before.ends_with(|c: char| c.is_alphanumeric());
        let names_tch =
            |line: &str| line.match_indices("tch::").any(|(at, _)| !is_inside_word(&line[..at]));
        !allowed(name) && code(text).any(names_tch)
    });
    assert_eq!(found, [""; 0], "these name tch");
}

#[test]
fn mpi_appears_in_one_file() {
    let found = names_of(sources(), |name, text| {
        let names_mpi = |line: &str| line.contains("use mpi::") || line.contains(" mpi::");
        !is_this_file(name) && code(text).any(names_mpi)
    });
    assert_eq!(found, ["collective/backends/src/mpi_world.rs"]);
}

#[test]
fn unsafe_stands_in_the_files_named_for_it() {
    let mut found = names_of(sources(), |name, text| {
        let has = |line: &str| {
            ["unsafe {", "unsafe impl", "unsafe fn", "allow(unsafe_code)"]
                .iter()
                .any(|word| line.contains(word))
        };
        !is_this_file(name) && code(text).any(has)
    });
    found.sort();
    assert_eq!(found, UNSAFE);
}

#[test]
fn every_unsafe_block_is_argued_for() {
    for (name, text) in sources() {
        if is_this_file(&name) {
            continue;
        }
        let lines: Vec<&str> = text.lines().collect();
        for (number, line) in lines.iter().enumerate() {
            if line.contains("unsafe {") || line.contains("unsafe impl") {
                let above = &lines[number.saturating_sub(5)..=number];
                let argued = above.iter().any(|line| line.contains("SAFETY:"));
                assert!(argued, "{name}:{}: unsafe without a SAFETY comment", number + 1);
            }
        }
    }
}

#[test]
fn crates_name_only_whom_they_may_know() {
    let forbidden = [
        ("configs", ["lcsl_data", "lcsl_collective", "lcsl_trainer", "lcsl_backends"].as_slice()),
        ("data", &["lcsl_config", "lcsl_collective", "lcsl_trainer", "lcsl_backends"]),
        ("collective", &["lcsl_config", "lcsl_data", "lcsl_trainer"]),
        ("launcher", &["lcsl_trainer", "lcsl_backends"]),
    ];
    for (folder, names) in forbidden {
        let found = names_of(sources(), |name, text| {
            name.starts_with(&format!("{folder}/"))
                && names.iter().any(|name| code(text).any(|line| line.contains(name)))
        });
        assert_eq!(found, [""; 0], "{folder} must not know {names:?}");
    }
}

#[test]
fn nothing_is_left_for_later() {
    let found = names_of(sources(), |name, text| {
        let words =
            ["todo!", "unimplemented!", "#[ignore", "#[should_panic", "FIXME", "XXX", "HACK"];
        !is_this_file(name) && words.iter().any(|word| text.contains(word))
    });
    assert_eq!(found, [""; 0]);
}
