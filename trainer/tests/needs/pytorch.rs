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
    let packages = "import torch, numpy, safetensors, torchvision, onnx, onnxruntime";
    let found = Command::new(&python).args(["-c", packages]).output();
    found.is_ok_and(|output| output.status.success()).then_some(python)
}

/// What lacks where [`python`] finds none.
const PYTORCH: Need = Need {
    lacking: "no Python has torch, torchvision, numpy, safetensors, onnx and onnxruntime: `make pytorch` adds them to \
              .deps/venv (about 3 GB)",
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
        trial("torchvision_and_we_make_the_same_logits_both_ways", both_ways),
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
    run_script(python, &[script, &model, FASHION_MNIST, &theirs]);

    let (ours, theirs) = (labels(&ours, 2), labels(&theirs, 1));
    assert_eq!((ours.len(), theirs.len()), (10_000, 10_000));
    let different = ours.iter().zip(&theirs).filter(|(ours, theirs)| ours != theirs).count();
    assert!(different <= 2, "{different} of 10,000 labels differ");
    let distinct: std::collections::BTreeSet<_> = ours.iter().collect();
    assert!(distinct.len() > 2, "a model that names {distinct:?} only proves little");

    // The same network without any module of ours, in libtorch and in ONNX Runtime.
    let (scripted, onnx, both) = (path("model.pt"), path("model.onnx"), path("both.csv"));
    let output = lcsl(&["export", &run, &scripted, "--format=torchscript"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let root = env!("CARGO_MANIFEST_DIR");
    let to_onnx = format!("{root}/../scripts/onnx_export.py");
    run_script(python, &[&to_onnx, &scripted, &onnx, "1", "28", "28"]);
    let script = format!("{root}/tests/pytorch/scripted.py");
    run_script(python, &[&script, &scripted, &onnx, FASHION_MNIST, "1000", &both]);
    assert_eq!(labels(&both, 1), ours[..1000], "TorchScript");
    assert_eq!(labels(&both, 2), ours[..1000], "ONNX Runtime");
}

fn run_script(python: &Path, arguments: &[&str]) {
    let output = Command::new(python).args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", stderr(&output));
}

/// torchvision's own classes: their weights become a run, and what is exported from it is theirs again.
/// `LCSL_TEST_MODELS` names others, each with a size of images, such as `resnext50_32x4d:64,vit_b_16:224`.
fn both_ways(python: &Path) {
    let models = std::env::var("LCSL_TEST_MODELS").unwrap_or_else(|_| "resnet50:64".to_owned());
    for model in models.split(',') {
        let (name, side) = model.split_once(':').unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let (weights, run) = (path("weights.safetensors"), path("run"));
        let (exported, scripted) = (path("exported.safetensors"), path("exported.pt"));
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/pytorch/torchvision_model.py");
        run_script(python, &[script, "make", name, side, &weights]);
        let model = [format!("--model={name}"), format!("--image_size={side}")];
        let import = [
            &["import", &weights, &run, &model[0], &model[1]][..],
            &[
                "--dataset=synthetic",
                "--set=data.synthetic_largest=4",
                "--imb_factor=1",
                "--gpu=cpu",
            ],
            &["--set=data.synthetic_test_per_class=1", "--set=evaluation.batch_size=5"],
        ];
        for arguments in [
            &import.concat()[..],
            &["export", &run, &exported],
            &["export", &run, &scripted, "--format", "torchscript"],
        ] {
            let output = lcsl(arguments);
            assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", stderr(&output));
        }
        run_script(python, &[script, "compare", name, side, &weights, &exported, &scripted]);
    }
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
