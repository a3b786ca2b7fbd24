//! An export in the hands of PyTorch itself.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use libtest_mimic::{Completion, Trial};

use crate::Need;
use crate::lcsl::{FASHION_MNIST, lcsl, stderr};
use crate::optimisers::make_the_steps_of_pytorch;

/// A Python that has PyTorch: the one that `make pytorch` sets up, or else the system's.
fn python() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let prepared = root.join(".deps/venv/.pytorch-done").exists();
    let python =
        if prepared { root.join(".deps/venv/bin/python") } else { PathBuf::from("python3") };
    let found = Command::new(&python).args(["-c", "import torch, numpy, safetensors"]).output();
    found.is_ok_and(|output| output.status.success()).then_some(python)
}

/// What lacks where [`python`] finds none.
const PYTORCH: Need = Need {
    lacking: "no Python has torch, numpy and safetensors: `make pytorch` adds them to .deps/venv (about 3 GB)",
    required_by: "CI",
};

pub(crate) fn trials() -> Vec<Trial> {
    let trial = |name: &str, run: fn(&Path)| {
        Trial::ignorable_test(name, move || {
            let Some(python) = python() else { return PYTORCH.is_missing() };
            run(&python);
            Ok(Completion::Completed)
        })
    };
    vec![
        trial("pytorch_loads_an_export_strictly_and_predicts_the_same_labels", loads_and_predicts),
        trial("optimisers_make_the_steps_of_pytorch", make_the_steps_of_pytorch),
    ]
}

fn loads_and_predicts(python: &Path) {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (run, model, ours, theirs) =
        (path("run"), path("model.safetensors"), path("ours.csv"), path("theirs.csv"));

    // A few steps are enough to make every class's prediction a matter of its pixels.
    let place = format!("--run_dir={run}");
    let arguments = ["--config=demo", "--max_steps=40", "--epochs=1", "--warmup_epochs=0"];
    let output = lcsl(&[&["train", &place][..], &arguments].concat());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    for arguments in
        [["export", &run, &model].as_slice(), &["eval", &run, "--json", "--predictions", &ours]]
    {
        let output = lcsl(arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", stderr(&output));
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/pytorch/predict.py");
    let output =
        Command::new(python).args([script, &model, FASHION_MNIST, &theirs]).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));

    let (ours, theirs) = (labels(&ours, 2), labels(&theirs, 1));
    assert_eq!((ours.len(), theirs.len()), (10_000, 10_000));
    let different = ours.iter().zip(&theirs).filter(|(ours, theirs)| ours != theirs).count();
    assert!(different <= 2, "{different} of 10,000 labels differ");
    let distinct: std::collections::BTreeSet<_> = ours.iter().collect();
    assert!(distinct.len() > 2, "a model that names {distinct:?} only proves little");
}

/// One column of a CSV file, ordered by its first; a header is passed over.
fn labels(path: &str, column: usize) -> Vec<u32> {
    let text = fs::read_to_string(path).unwrap();
    let mut rows: Vec<(u32, u32)> = text
        .lines()
        .filter(|line| !line.starts_with("index"))
        .map(|line| {
            let fields: Vec<&str> = line.split(',').collect();
            (fields[0].parse().unwrap(), fields[column].parse().unwrap())
        })
        .collect();
    rows.sort_unstable();
    rows.into_iter().map(|(_, label)| label).collect()
}
