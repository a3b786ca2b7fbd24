//! Weights from elsewhere as a run.

use std::fs;

use crate::lcsl::{SMALL, json, lcsl, stderr, train};

/// What a run has selected comes back as a run that measures the same and exports the same; weights of another network,
/// or for other classes, and settings with which it would be no import, do not.
#[test]
fn weights_become_a_run_that_is_measured_and_used_as_any_other() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let before = train(&folder.path().join("run"), &["--method=ce", "--model=resnet20"]);
    let export = |run: &str, to: &str| {
        let exported = lcsl(&["export", &path(run), &path(to)]);
        assert_eq!(exported.status.code(), Some(0), "{}", stderr(&exported));
        fs::read(path(to)).unwrap()
    };
    let weights = export("run", "weights.safetensors");
    let dataset: Vec<&str> =
        SMALL.into_iter().filter(|flag| !flag.starts_with("--epochs")).collect();
    let import = |to: &str, model: &str, more: &[&str]| {
        let (weights, to) = (path("weights.safetensors"), path(to));
        let own = ["import", weights.as_str(), to.as_str(), "--model", model];
        lcsl(&[&own, &dataset[..], more].concat())
    };

    let imported = import("imported", "resnet20", &[]);
    assert_eq!(imported.status.code(), Some(0), "{}", stderr(&imported));
    let after = json(&folder.path().join("imported/result.json"));
    assert_eq!(after["accuracy"], before["accuracy"]);
    assert_eq!((&after["weights_digest"], &after["steps"]), (&before["weights_digest"], &0.into()));
    assert!(export("imported", "again.safetensors") == weights, "the same file");

    let refused = |to: &str, model: &str, more: &[&str], code: i32| {
        let output = import(to, model, more);
        assert_eq!(output.status.code(), Some(code), "{}", stderr(&output));
        stderr(&output)
    };
    let said = refused("other", "resnet32", &[], 3);
    assert!(said.contains("are of another network") && said.contains("layer1.3.conv1"), "{said}");
    let said = refused("classes", "resnet20", &["--set=data.synthetic_classes=4"], 3);
    assert!(said.contains("has 10 classes, and this dataset 4"), "{said}");
    assert!(said.contains("nothing would train it"), "{said}");
    let said = refused("steps", "resnet20", &["--epochs=2", "--refit=crt", "--init=x"], 2);
    let keys = ["train.epochs", "refit.method", "model.init"];
    assert!(keys.iter().all(|key| said.contains(&format!("{key} cannot be set"))), "{said}");
    let nowhere = lcsl(&["import", &path("weights.safetensors"), "--model=resnet20"]);
    assert_eq!(nowhere.status.code(), Some(2), "{}", stderr(&nowhere));
    assert!(stderr(&nowhere).contains("<RUN_DIR>"), "{}", stderr(&nowhere));
}
