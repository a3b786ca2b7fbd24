//! Starting `lcsl`, and looking at what it left behind.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// Where Debian's package `dataset-fashion-mnist` puts it.
pub(crate) const FASHION_MNIST: &str = "/usr/share/datasets/fashion-mnist";

/// A tiny learnable problem: ten classes, 16×16, a few seconds on one core.
pub(crate) const SMALL: [&str; 15] = [
    "--dataset=synthetic",
    "--gpu=cpu",
    "--check_collectives",
    "--epochs=3",
    "--batch_size=32",
    "--lr=0.05",
    "--warmup_epochs=1",
    "--imb_factor=0.1",
    "--image_size=16",
    "--lambda_init=0.3",
    "--set=data.synthetic_classes=10",
    "--set=data.synthetic_largest=40",
    "--set=data.synthetic_test_per_class=20",
    "--set=evaluation.batch_size=25",
    "--set=train.log_every_steps=3",
];

/// The launcher, which `cargo test --workspace` builds beside the rank.
pub(crate) fn program() -> PathBuf {
    let program = Path::new(env!("CARGO_BIN_EXE_lcsl-rank")).with_file_name("lcsl");
    assert!(
        program.exists(),
        "{} is not built: run `cargo test` for the whole workspace",
        program.display()
    );
    program
}

/// A folder with the launcher, and ranks that let go wrong what `LCSL_INJECT` asks for: `examples/faulty-rank.rs`.
pub(crate) fn faulty_programs() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("faulty");
    let _ = std::fs::create_dir_all(&folder);
    let built = program();
    let rank = built.with_file_name("examples").join("faulty-rank");
    for (from, name) in [(&built, "lcsl"), (&rank, "lcsl-rank")] {
        let place = folder.join(name);
        let _ = std::fs::remove_file(&place); // of another build
        std::fs::hard_link(from, &place)
            .unwrap_or_else(|error| panic!("{}: {error}", from.display()));
    }
    folder
}

pub(crate) fn lcsl(arguments: &[&str]) -> Output {
    Command::new(program()).args(arguments).output().unwrap()
}

/// Trains into `run_dir`; whatever it printed is shown when it fails.
pub(crate) fn train(run_dir: &Path, arguments: &[&str]) -> Value {
    let place = format!("--run_dir={}", run_dir.display());
    let mut all = vec!["train", &place];
    all.extend(SMALL);
    all.extend(arguments);
    let output = lcsl(&all);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    json(&run_dir.join("result.json"))
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub(crate) fn json(path: &Path) -> Value {
    let text = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&text).unwrap()
}

/// The lines of `metrics.jsonl`.
pub(crate) fn metrics(run_dir: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(run_dir.join("metrics.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Everything of a result that a run's past must not change.
pub(crate) fn lasting(mut result: Value) -> Value {
    for differs in ["world_size", "images_per_second", "train_seconds", "peak_memory"] {
        result.as_object_mut().unwrap().remove(differs);
    }
    result
}
