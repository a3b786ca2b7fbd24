//! The arithmetic that is faster here.

use crate::lcsl::{SMALL, lcsl, stderr};

/// The faster arithmetic is found out once: the configuration says which and why, and a run that goes on stays with it.
#[test]
fn the_faster_precision_is_measured_before_the_first_step_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    let run_dir = folder.path().join("run");
    let place = format!("--run_dir={}", run_dir.display());
    let train = |more: &[&str]| {
        let own = ["train", &place, "--precision=auto", "--max_steps=2", "--resume=auto"];
        let output = lcsl(&[&own, &SMALL[..], more].concat());
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        stderr(&output)
    };
    assert!(train(&["--dry_run"]).contains("whichever makes steps faster"));
    let said = train(&[]);
    assert!(said.contains("note: train.precision is "), "{said}");
    let recorded = || {
        let text = std::fs::read_to_string(run_dir.join("config.toml")).unwrap();
        text.lines().find(|line| line.starts_with("precision = ")).unwrap().to_owned()
    };
    let first = recorded();
    assert!(first.contains("auto, by a step takes ") && first.contains(" s in fp32"), "{first}");

    std::fs::remove_file(run_dir.join("result.json")).unwrap();
    assert!(!train(&[]).contains("a step takes"));
    let value = |line: &str| line.split('#').next().unwrap().trim().to_owned();
    assert_eq!(value(&recorded()), value(&first));
    let output = lcsl(&["bench", "step", "--precision=auto"]);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
}
