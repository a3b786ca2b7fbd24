//! The house rules that a compiler does not check (ARCHITECTURE.md says why they are rules). Here:
//! who may know whom, and what stands in one place.

#![allow(clippy::unwrap_used)] // a source file that cannot be read is a failure of the test

use std::fs;

use sources::{offenders, root, rust};
use toml::{Table, Value};

mod documents;
mod shape;
mod sources;
mod words;

/// The crates of this project, each with its folder and the others that it may know.
const MAY_KNOW: [(&str, &str, &[&str]); 9] = [
    ("text", "lcsl-text", &[]),
    ("configs", "lcsl-config", &["lcsl-text"]),
    ("data", "lcsl-data", &["lcsl-resample", "lcsl-text"]),
    ("data/resample", "lcsl-resample", &[]),
    ("collective", "lcsl-collective", &[]),
    ("collective/backends", "lcsl-backends", &["lcsl-collective"]),
    ("run_dir", "lcsl-run-dir", &[]),
    (
        "trainer",
        "lcsl-trainer",
        &["lcsl-backends", "lcsl-collective", "lcsl-config", "lcsl-data", "lcsl-run-dir"],
    ),
    (
        "launcher",
        "lcsl-launcher",
        &["lcsl-collective", "lcsl-config", "lcsl-data", "lcsl-run-dir", "lcsl-text"],
    ),
];

/// Crates of others that one member may name, because what they link or start must not spread.
const ONE_HOME: [(&str, &str); 6] = [
    ("fast_image_resize", "data/resample"), // whoever calls it compiles hundreds of functions
    ("libloading", "collective/backends"),  // NCCL and the CUDA driver
    ("mpi", "collective/backends"),
    ("tch", "trainer"),
    ("tokio", "launcher"), // ranks have threads
    ("turbojpeg-sys", "data"),
];

/// The files that may contain `unsafe`, and what for.
const UNSAFE: &[&str] = &[
    "collective/backends/src/mpi_world.rs", // the MPI interface is C
    "collective/backends/src/nccl/codes.rs", // the words of C libraries
    "collective/backends/src/nccl/context.rs", // calls into the CUDA driver
    "collective/backends/src/nccl/device.rs", // and again
    "collective/backends/src/nccl/driver.rs", // and again
    "collective/backends/src/nccl/pinned.rs", // and again
    "collective/backends/src/nccl/sums.rs", // memory of a GPU, by address
    "collective/backends/src/nccl/sys.rs",  // functions of shared libraries
    "collective/backends/src/nccl/world.rs", // calls into NCCL
    "collective/backends/src/pages.rs",     // advice about memory is a call of the kernel
    "collective/backends/tests/nccl/order.rs", // memory of a GPU, by address
    "collective/backends/tests/nccl/pinned.rs", // memory that a GPU reads by itself
    "data/src/decode/entropy/callbacks.rs", // C calls it
    "data/src/decode/libjpeg.rs",           // libjpeg-turbo is C
    "data/src/prefetch.rs",                 // an instruction that takes an address
    "data/src/shard/mapping.rs",            // a mapped file may change under us
    "data/src/shard/sigbus.rs",             // a signal handler
    "launcher/src/supervise/tether.rs",     // what happens between fork and exec
    "trainer/src/engine/cuda.rs",           // shared libraries are opened by name
    "trainer/src/engine/data/pinned.rs",    // memory that a GPU reads by itself
    "trainer/src/engine/gpu_sums.rs",       // memory of a GPU, by address
    "trainer/src/engine/gradients/nccl_queue.rs", // the memory of the gradients, by address
    "trainer/src/engine/gradients/worker.rs", // two threads share the memory of the gradients
    "trainer/src/engine/native/arithmetic.rs", // the shim beside libtorch is C++
    "trainer/src/engine/native/ffi.rs",     // the shim beside libtorch is C++
    "trainer/src/engine/native/gradients.rs", // the shim again
    "trainer/src/engine/native/memory.rs",  // and again
    "trainer/src/engine/native/normalisation.rs", // and again
    "trainer/src/engine/native/optim.rs",   // and again
    "trainer/src/engine/native/stream.rs",  // and again
    "trainer/src/engine/native/winograd.rs", // and again
    "trainer/src/last_words.rs",            // handlers of fatal signals
    "trainer/tests/engine/queue.rs",        // memory that a queue of sums shares with the reducer
    "trainer/tests/pinned/main.rs",         // memory that a GPU reads by itself
];

fn manifest(folder: &str) -> Table {
    fs::read_to_string(root().join(folder).join("Cargo.toml")).unwrap().parse().unwrap()
}

/// Whom a member's Cargo.toml names: to run, to test and to build.
fn dependencies(folder: &str) -> Vec<String> {
    let manifest = manifest(folder);
    let tables = ["dependencies", "dev-dependencies", "build-dependencies"];
    let named = tables.iter().filter_map(|table| manifest.get(*table)?.as_table());
    let mut names: Vec<String> = named.flat_map(|table| table.keys().cloned()).collect();
    names.sort();
    names.dedup();
    names
}

/// The folder of the crate that a file belongs to: the longest one that holds it.
fn crate_of(file: &str) -> Option<&'static str> {
    let folders = MAY_KNOW.iter().map(|(folder, ..)| *folder);
    folders.filter(|folder| file.starts_with(&format!("{folder}/"))).max_by_key(|it| it.len())
}

#[test]
fn the_crates_are_the_members_of_the_workspace() {
    let workspace = manifest(".");
    let members = workspace["workspace"]["members"].as_array().unwrap();
    let mut members: Vec<&str> = members.iter().filter_map(Value::as_str).collect();
    members.sort_unstable();
    let mut known = MAY_KNOW.map(|(folder, ..)| folder);
    known.sort_unstable();
    assert_eq!(members, known);
}

/// Both what is missing and what is too much: a permission that nobody uses is taken back.
#[test]
fn crates_depend_only_on_whom_they_may_know() {
    for (folder, _, known) in MAY_KNOW {
        let mut found = dependencies(folder);
        found.retain(|name| name.starts_with("lcsl-"));
        assert_eq!(found, known, "{folder}/Cargo.toml");
    }
}

/// The sources say the same: not even a path in a macro goes behind a manifest's back.
#[test]
fn crates_name_only_whom_they_may_know() {
    for (folder, own, known) in MAY_KNOW {
        let others = MAY_KNOW.iter().map(|(_, name, _)| *name).filter(|name| *name != own);
        let names: Vec<String> = others
            .filter(|name| !known.contains(name))
            .map(|name| name.replace('-', "_"))
            .collect();
        let found = offenders(rust(), |source| {
            let has = |line: &str| names.iter().any(|name| line.contains(name.as_str()));
            !source.is_style_test()
                && crate_of(&source.name) == Some(folder)
                && source.code().any(has)
        });
        assert_eq!(found, [""; 0], "{folder} must not know {names:?}");
    }
}

#[test]
fn crates_that_must_not_spread_have_one_home() {
    for (name, home) in ONE_HOME {
        let has = |folder: &&str| dependencies(folder).iter().any(|found| found == name);
        let folders: Vec<&str> = MAY_KNOW.iter().map(|(folder, ..)| *folder).filter(has).collect();
        assert_eq!(folders, [home], "who names {name}");
    }
}

#[test]
fn libtorch_appears_only_in_the_engine() {
    let allowed =
        |name: &str| name.starts_with("trainer/src/engine/") || name.starts_with("trainer/tests/");
    let found = offenders(rust(), |source| {
        // Not the end of another word, such as `watch` or `fetch`.
        let is_inside_word = |before: &str| before.ends_with(|c: char| c.is_alphanumeric());
        let names_tch =
            |line: &str| line.match_indices("tch::").any(|(at, _)| !is_inside_word(&line[..at]));
        !allowed(&source.name) && source.code().any(names_tch)
    });
    assert_eq!(found, [""; 0], "these name tch");
}

#[test]
fn mpi_appears_in_one_file() {
    let found = offenders(rust(), |source| {
        let names_mpi = |line: &str| line.contains("use mpi::") || line.contains(" mpi::");
        !source.is_style_test() && source.code().any(names_mpi)
    });
    assert_eq!(found, ["collective/backends/src/mpi_world.rs"]);
}

#[test]
fn unsafe_stands_in_the_files_named_for_it() {
    let mut found = offenders(rust(), |source| {
        let has = |line: &str| {
            ["unsafe {", "unsafe impl", "unsafe fn", "allow(unsafe_code)"]
                .iter()
                .any(|word| line.contains(word))
        };
        !source.is_style_test() && source.code().any(has)
    });
    found.sort();
    assert_eq!(found, UNSAFE);
}

/// `cargo pure` tests what `cargo pure-clippy` lints: the crates with something to test without
/// libtorch, MPI and C.
#[test]
fn both_aliases_name_the_pure_crates() {
    let text = fs::read_to_string(root().join(".cargo/config.toml")).unwrap();
    let aliases = text.parse::<Table>().unwrap()["alias"].clone();
    let crates = |alias: &str| -> Vec<String> {
        let words: Vec<&str> = aliases[alias].as_str().unwrap().split(' ').collect();
        let named = words.windows(2).filter(|pair| pair[0] == "-p");
        named.map(|pair| pair[1].to_owned()).collect()
    };
    assert_eq!(crates("pure"), crates("pure-clippy"));
    assert!(crates("pure").len() >= 4, "{:?}", crates("pure"));
}

/// What makes the host wait for a GPU stands in one file, so that a step does it as often as that file says.
#[test]
fn a_step_reads_from_the_device_in_one_file() {
    let reads =
        ["double_value", "int64_value", "copy_data", "is_nonzero", ".to_device(", "try_from(&"];
    let folders = ["step/", "gradients/", "optim/", "network/inference.rs"];
    let folders = folders.map(|folder| format!("trainer/src/engine/{folder}"));
    let sources = rust().into_iter().filter(|it| !it.name.contains("golden"));
    let of_a_step = sources.filter(|it| folders.iter().any(|folder| it.name.starts_with(folder)));
    let found: Vec<String> = of_a_step
        .flat_map(|source| {
            let own = source.code().take_while(|line| *line != "mod tests {").map(str::to_owned);
            let read = |line: &String| reads.iter().any(|read| line.contains(read));
            let lines: Vec<String> = own.filter(read).collect();
            lines.into_iter().map(move |line| format!("{}: {}", source.name, line.trim()))
        })
        .collect();
    // The offsets of a prior and the weights of classes, once an epoch.
    let once = |line: &String| line.contains("by_class") || line.contains("of_class");
    let found: Vec<String> = found.into_iter().filter(|line| !once(line)).collect();
    assert_eq!(found, [""; 0], "read or send it in trainer/src/engine/host.rs");
}
