//! `lcsl sweep`, with ranks that are played by a script.

use std::fs;

use rustix::process::Signal;

use crate::stage::{Stage, outcome, signal, started};

const FILE: &str = r#"
flags = ["--dataset=synthetic", "--gpu=cpu"]
seeds = [0, 1]
baseline = "ce"
[[rows]]
name = "lcsl"
[[rows]]
name = "ce"
flags = ["--method=ce"]
"#;

fn stage() -> Stage {
    let stage = Stage::new();
    fs::write(stage.path("s.toml"), FILE).unwrap();
    stage
}

#[test]
fn a_sweep_ends_in_a_table_and_goes_on_where_it_was() {
    let stage = stage();
    let mut command = stage.lcsl(&["sweep", "s.toml", "--jobs=2"]);
    command.env("SCENE", "hello; result; finish 0");
    let first = stage.outcome(command);
    first.ended(0).said("[4 of 4] ");
    insta::assert_snapshot!(first.out, @r"
    | setting | runs | all | many | medium | few | ECE | admitted | seconds | against ce |
    |---|---|---|---|---|---|---|---|---|---|
    | lcsl | 2 | 50.00 ± 0.00 | – | 50.00 ± 0.00 | – | 0.100 ± 0.000 | 3 ± 0 | 2 ± 0 | +0.00 ± 0.00 |
    | ce | 2 | 50.00 ± 0.00 | – | 50.00 ± 0.00 | – | 0.100 ± 0.000 | 3 ± 0 | 2 ± 0 |  |

    Accuracies on the test set in percent, means over classes: mean ± standard error over the seeds;
    differences of runs with the same seed, with their 95 % interval by Student's t (bold: it leaves 0 out).
    ");
    assert_eq!(fs::read_to_string(stage.path("runs/s/table.md")).unwrap(), first.out);
    let csv = fs::read_to_string(stage.path("runs/s/table.csv")).unwrap();
    assert_eq!(csv.lines().count(), 5, "{csv}");
    assert!(csv.contains("\nce,1,50,"), "{csv}");
    // Nothing is trained again: a rank that fails would be seen.
    let mut command = stage.lcsl(&["sweep", "s.toml", "--json"]);
    command.env("SCENE", "exit 9");
    let again = stage.outcome(command);
    let object: serde_json::Value = serde_json::from_str(&again.ended(0).out).unwrap();
    assert_eq!((&object["baseline"], &object["cells"]), (&"ce".into(), &4.into()));
    assert_eq!(object["settings"][0]["figures"]["all"]["runs"], 2);
}

#[test]
fn a_run_that_fails_is_named_and_the_others_are_trained() {
    let stage = stage();
    let mut command = stage.lcsl(&["sweep", "s.toml"]);
    command.env(
        "SCENE",
        "hello; case $run_dir in *lcsl/seed-1) fail 4 'it broke' ;; esac; result; finish 0",
    );
    let ended = stage.outcome(command);
    ended.ended(4).said("lcsl, seed 1 failed: ").said("it broke").said("[4 of 4] ");
    assert!(ended.out.contains("\nFailed:\n\n- lcsl, seed 1: "), "{}", ended.out);
    assert!(
        ended.out.contains("| lcsl | 1 |") && ended.out.contains("| ce | 2 |"),
        "{}",
        ended.out
    );
}

#[test]
fn what_train_would_refuse_is_refused_before_anything_is_trained() {
    let stage = stage();
    let file = FILE.replace("baseline = \"ce\"\n", "");
    let file = format!("{file}[grid]\n\"train.lrr\" = [0.1]\n\"train.lr\" = [-1]\n");
    fs::write(stage.path("s.toml"), file).unwrap();
    stage.outcome(stage.lcsl(&["sweep", "s.toml"])).refused(
        2,
        "error: the sweep has 2 problems
  - train.lr is -1, but must be above 0
    where: flag --set train.lr of lcsl lr=-1 lrr=0.1, seed 0
  - unknown key train.lrr
    where: flag --set train.lrr of lcsl lr=-1 lrr=0.1, seed 0
    hint: did you mean train.lr?",
    );
    assert!(!stage.path("runs/s").exists());
    stage.outcome(stage.lcsl(&["sweep", "no.toml"])).refused(
        2,
        "error: cannot read no.toml: No such file or directory (os error 2)
  hint: `lcsl sweep --help` shows what such a file holds",
    );
}

#[test]
fn one_run_of_a_sweep_is_a_task_of_an_array() {
    let stage = stage();
    let listed = stage.outcome(stage.lcsl(&["sweep", "s.toml", "--dry_run"]));
    assert!(listed.ended(0).out.contains("2: ce, seed 0\n   lcsl train "), "{}", listed.out);
    let mut command = stage.lcsl(&["sweep", "s.toml", "--cell=2"]);
    command.env("SCENE", "hello; result; finish 0");
    stage.outcome(command).ended(0).said("[1 of 1] ce, seed 0: ");
    assert!(stage.path("runs/s/ce/seed-0/result.json").exists());
    assert!(!stage.path("runs/s/table.md").exists());
    let absent = stage.outcome(stage.lcsl(&["sweep", "s.toml", "--cell=4"]));
    absent.ended(2).said("there is no run 4: s.toml makes 4");
}

#[test]
fn a_sweep_that_is_asked_to_stop_lets_its_runs_save() {
    let stage = stage();
    let mut command = stage.lcsl(&["sweep", "s.toml"]);
    command.env("SCENE", "hello; touch came; told; finish 75");
    let sweep = started(&command);
    stage.await_file("came");
    signal(&sweep, Signal::TERM);
    let ended = outcome(&stage, sweep);
    ended.ended(75).said("stopped, and nothing is lost; the same command goes on");
}

/// What is recorded is not trained again, whatever became of its run directory; what other code has begun is not gone
/// on with under this one's name.
#[test]
fn runs_that_are_recorded_are_not_trained_again() {
    let stage = stage();
    let record = "--record=runs.jsonl";
    let sweep = |more: &[&str], scene: &str| {
        let mut command = stage.lcsl(&[&["sweep", "s.toml", record], more].concat());
        command.env("SCENE", scene);
        stage.outcome(command)
    };
    sweep(&["--cell=1"], "hello; result; finish 0").ended(0).said("[1 of 1] lcsl, seed 1: ");
    let lines = || fs::read_to_string(stage.path("runs.jsonl")).unwrap();
    let first: serde_json::Value = serde_json::from_str(&lines()).unwrap();
    assert_eq!(first["name"], "lcsl, seed 1");
    assert_eq!(first["config"].as_str().map(str::len), Some(64));
    assert_eq!(first["result"]["accuracy"]["all"], 0.5);

    // As on another machine: there is the file, and nothing else. Its run would fail now.
    fs::remove_dir_all(stage.path("runs")).unwrap();
    let scene =
        "hello; case $run_dir in *lcsl/seed-1) fail 4 'it was there' ;; esac; result; finish 0";
    let second = sweep(&["--jobs=2"], scene);
    second.ended(0).said("[4 of 4] ");
    assert!(second.out.contains("| lcsl | 2 |"), "{}", second.out);
    assert_eq!(lines().lines().count(), 4);
    sweep(&[], "exit 9").ended(0);
    assert_eq!(lines().lines().count(), 4, "each run once");

    let other = lines().replace(env!("CARGO_PKG_VERSION"), "0.0.1");
    fs::write(stage.path("runs.jsonl"), other).unwrap();
    fs::write(stage.path("runs/s/ce/seed-0.code"), "0.0.1").unwrap();
    let third = sweep(&[], "hello; result; finish 0");
    third.ended(2).said("was begun by lcsl 0.0.1");
    assert!(third.out.contains("\nFailed:\n\n- ce, seed 0: "), "{}", third.out);

    // Story: two of a study's 26 runs were finished, a commit added a function that no rank calls, and they did not
    // count any more. A sweep says now whose runs count.
    let whole = fs::read_to_string(stage.path("s.toml")).unwrap();
    fs::write(stage.path("s.toml"), format!("same_code = [\"0.0.1\"]\n{whole}")).unwrap();
    sweep(&[], "exit 9").ended(0);

    fs::write(stage.path("runs.jsonl"), "{}\n").unwrap();
    sweep(&[], "exit 9").ended(2).said("line 1 is no finished run");
}
