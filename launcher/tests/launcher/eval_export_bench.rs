//! `lcsl eval`, `lcsl export` and `lcsl bench`, with a rank that is played by a script.

use std::fs;

use crate::stage::Stage;

/// A stage with a run in `runs/a` that has a checkpoint.
fn trained() -> Stage {
    let stage = Stage::new();
    stage.outcome(stage.train("hello; result; finish 0", &[])).ended(0);
    fs::create_dir_all(stage.path("runs/a/checkpoints/step-0000000007")).unwrap();
    stage
}

#[test]
fn a_run_is_measured_again() {
    let stage = trained();
    let outcome = stage.outcome(stage.lcsl(&["eval", "runs/a", "--threads=3"]));
    outcome
        .ended(0)
        .said("rank got: eval runs/a --split test --tta true --nproc=1 --gpu=cpu --threads=3\n");
    assert!(outcome.out.starts_with("accuracy on test images of runs/a\n"), "{}", outcome.out);
    let flags = ["eval", "runs/a", "--split", "val", "--tta=false", "--tau_norm", "1.9", "--json"];
    let outcome = stage.outcome(stage.lcsl(&flags));
    outcome
        .ended(0)
        .said("rank got: eval runs/a --split val --tta false --tau-norm 1.9 --nproc=1 ");
    let value: serde_json::Value = serde_json::from_str(&outcome.out).unwrap();
    assert_eq!(value["accuracy"]["all"], 0.5);
    let bare = stage.outcome(stage.lcsl(&["eval", "--tta", "runs/a"]));
    bare.ended(0).said("--tta true");
}

/// Story: the hosts in the run's own configuration stood in the way of `--hostfile`, and its least number of ranks in
/// the way of measuring on fewer.
#[test]
fn a_run_is_measured_elsewhere_than_it_was_trained() {
    let stage = Stage::new();
    let scene = "hello; result; finish 0";
    stage.outcome(stage.train(scene, &["--nproc=2", "--min_ranks=2"])).ended(0);
    fs::create_dir_all(stage.path("runs/a/checkpoints/step-0000000007")).unwrap();
    let alone = stage.outcome(stage.lcsl(&["eval", "runs/a", "--threads=3"]));
    alone.ended(0).said(" --nproc=1 --gpu=cpu --threads=3\n");
    fs::write(stage.path("hosts"), "localhost slots=1\n").unwrap();
    let there = stage.outcome(stage.lcsl(&["eval", "runs/a", "--hostfile=hosts", "--threads=3"]));
    there.ended(0).said(" --nproc=1 --gpu=cpu --threads=3\n");
}

/// Several ranks are watched: one that fails is named, and says nothing itself.
#[test]
fn several_ranks_that_measure_are_watched() {
    let stage = trained();
    let flags = ["eval", "runs/a", "--nproc=2", "--threads=1", "--json"];
    let outcome = stage.outcome(stage.lcsl(&flags));
    outcome.ended(0).said("rank got: eval runs/a --split test --tta true --nproc=2 ");
    let value: serde_json::Value = serde_json::from_str(&outcome.out).unwrap();
    assert_eq!(value["split"], "test");
    let mut command = stage.lcsl(&flags);
    command.env("EVAL_CODE", "3");
    let outcome = stage.outcome(command);
    outcome
        .ended(3)
        .said(" on host h1 failed while starting: an image is missing\n  hint: mend it");
    let value: serde_json::Value = serde_json::from_str(&outcome.out).unwrap();
    assert_eq!(value["error"]["exit_code"], 3, "a script hears it, too");
}

#[test]
fn the_exit_code_of_a_rank_is_passed_on() {
    let stage = trained();
    let mut command = stage.lcsl(&["eval", "runs/a"]);
    command.env("EVAL_CODE", "3");
    assert_eq!(stage.outcome(command).ended(3).out, "");
}

#[test]
fn what_is_no_run_is_not_measured() {
    let stage = Stage::new();
    stage.outcome(stage.lcsl(&["eval", "runs"])).refused(
        2,
        "error: runs is no run directory: it has no config.toml
  hint: give the directory of a run that `lcsl train` has started",
    );
    stage.outcome(stage.train("hello; finish 75", &[])).ended(75);
    let early = stage.outcome(stage.lcsl(&["eval", "runs/a"]));
    early.ended(2).said("the run in runs/a has no checkpoint yet");
}

#[test]
fn an_export_never_overwrites_unasked() {
    let stage = trained();
    let flags = ["export", "runs/a", "a.safetensors", "--teacher"];
    let outcome = stage.outcome(stage.lcsl(&flags));
    outcome.ended(0).said("rank got: export runs/a a.safetensors --teacher\n");
    let again = stage.outcome(stage.lcsl(&flags));
    again.refused(
        2,
        "error: a.safetensors exists already
  hint: give another name, or --force to overwrite it",
    );
    stage.outcome(stage.lcsl(&[&flags[..], &["--force"]].concat())).ended(0);
}

#[test]
fn sums_are_timed_under_mpirun() {
    let stage = Stage::new();
    let flags = ["bench", "allreduce", "--nproc=2", "--mib=3", "--repeats=7"];
    let outcome = stage.outcome(stage.lcsl(&flags));
    outcome.ended(0).said("rank got: bench-allreduce --mib 3 --repeats 7\n");
    let sentence = "4.000 ms to sum 3 MiB of float32 over 2 ranks (median of 7); ";
    assert!(outcome.out.starts_with(sentence), "{}", outcome.out);
    let outcome = stage.outcome(stage.lcsl(&[&flags[..], &["--json"]].concat()));
    let value: serde_json::Value = serde_json::from_str(&outcome.ended(0).out).unwrap();
    assert_eq!(value["ratio"], 1.25);
    let none = stage.outcome(stage.lcsl(&["bench", "allreduce", "--nproc=0"]));
    none.ended(2).said("0 is not in 1..=65536");
}
