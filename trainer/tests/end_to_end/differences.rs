//! Ranks that are not alike refuse to begin, and say who differs.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Output;

use lcsl_config::Machine;

use crate::lcsl::{FASHION_MNIST, SMALL, stderr};
use crate::mpirun::mpirun;

/// Starts two ranks by hand, each with a run directory of its own.
fn two_ranks(run_dirs: [&Path; 2]) -> Output {
    let rank = env!("CARGO_BIN_EXE_lcsl-rank");
    let [first, second] = run_dirs.map(|path| path.to_str().unwrap());
    mpirun()
        .args(["-np", "1", rank, "train", first])
        .args([":", "-np", "1", rank, "train", second])
        .output()
        .unwrap()
}

/// A run directory with the configuration of a run of two ranks, which was not started.
fn run_dir(path: &Path, arguments: &[&str]) {
    let place = format!("--run_dir={}", path.display());
    let all = arguments.iter().copied().chain([place.as_str(), "--nproc=2"]);
    let all: Vec<OsString> = all.map(Into::into).collect();
    let command = lcsl_config::parse_train(&all, &Machine { cores: 2, gpus: None }).unwrap();
    fs::create_dir_all(path).unwrap();
    let text = lcsl_config::to_toml(&command.config, &command.origins);
    fs::write(path.join("config.toml"), text).unwrap();
}

#[test]
fn ranks_with_two_configurations_do_not_begin() {
    let folder = tempfile::tempdir().unwrap();
    let [one, other] = ["one", "other"].map(|name| folder.path().join(name));
    run_dir(&one, &SMALL);
    run_dir(&other, &[SMALL.as_slice(), &["--seed=1"]].concat());
    let message = stderr(&two_ranks([&one, &other]));
    assert!(message.contains("ranks disagree on the configuration: rank 0 has "), "{message}");
    assert!(message.contains("; rank 1 has "), "{message}");
}

/// Each host has a copy of the dataset, and one of them is of another year.
#[test]
fn ranks_with_two_datasets_do_not_begin() {
    let folder = tempfile::tempdir().unwrap();
    let copies = ["one", "other"].map(|name| {
        let copy = folder.path().join(format!("data-{name}"));
        fs::create_dir(&copy).unwrap();
        for part in
            ["train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"]
        {
            let file = format!("{part}-ubyte.gz");
            symlink(Path::new(FASHION_MNIST).join(&file), copy.join(&file)).unwrap();
        }
        copy
    });
    // Test labels in another order: still 10,000 of them.
    fs::remove_file(copies[1].join("t10k-labels-idx1-ubyte.gz")).unwrap();
    let labels = (0..10_000_u32).map(|image| (image % 10) as u8);
    let file: Vec<u8> = [0, 0, 8, 1, 0, 0, 0x27, 0x10].into_iter().chain(labels).collect();
    fs::write(copies[1].join("t10k-labels-idx1-ubyte"), file).unwrap();
    let run_dirs = ["one", "other"].map(|name| folder.path().join(name));
    for (path, copy) in run_dirs.iter().zip(&copies) {
        let root = format!("--set=data.root=\"{}\"", copy.display());
        run_dir(path, &["--config=demo", "--gpu=cpu", &root]);
    }
    two_ranks([&run_dirs[0], &run_dirs[1]]);
    let log = fs::read_to_string(run_dirs[0].join("logs/rank-0.log")).unwrap();
    assert!(log.contains("ranks disagree on the dataset: rank 0 has "), "{log}");
}
