//! Two launchers that want one run directory.

use std::fs;

use rustix::process::Signal;

use crate::attempts::AT_WORK;
use crate::stage::{Stage, outcome, signal, started};

const AT_ONCE: &str = "--set=run.lock_wait_seconds=0";

#[test]
fn a_directory_in_use_is_refused_with_the_name_of_its_user() {
    let stage = Stage::new();
    let first = started(&stage.train(&format!("{AT_WORK} told; finish 75"), &[]));
    stage.await_file("runs/a/ranks.json");
    for resume in ["--resume=never", "--resume=auto"] {
        let second = stage.outcome(stage.train("exit 1", &[resume, AT_ONCE]));
        second.ended(7).said(&format!(
            "error: the run directory runs/a is in use by process {} on host ",
            first.id()
        ));
    }
    signal(&first, Signal::INT);
    outcome(&stage, first).ended(75);
}

/// Story: a requeued job met the job before it, which was about to end, was refused with the code of a wrong command
/// line, and was lost.
#[test]
fn a_run_that_goes_on_waits_for_the_launcher_before_it() {
    let stage = Stage::new();
    let first = started(&stage.train(&format!("{AT_WORK} told; finish 75"), &[]));
    stage.await_file("runs/a/ranks.json");
    fs::create_dir_all(stage.path("runs/a/checkpoints/step-0000000057")).unwrap();
    let mut second = stage.train("hello; touch second; result; finish 0", &["--resume=auto"]);
    second.env("SLURM_JOB_ID", "77");
    let second = started(&second);
    std::thread::sleep(std::time::Duration::from_secs(1));
    assert!(!stage.path("second").exists(), "it did not wait");
    signal(&first, Signal::TERM);
    outcome(&stage, first).ended(75);
    outcome(&stage, second).ended(0).said("to leave the run directory");
}

/// Story: a launcher that had been suspended, or whose host was cut off, came back and wrote into a directory that
/// another had taken over meanwhile.
#[test]
fn a_launcher_whose_directory_was_taken_over_ends_with_all_its_ranks() {
    let stage = Stage::new();
    let first =
        started(&stage.train(&format!("{AT_WORK} sleep 60; touch outlived"), &["--nproc=2"]));
    stage.await_file("runs/a/ranks.json");
    let other = "process 9 on host h2, Slurm job 78\n00000000000000aa 000000000001\n";
    // In one step: the launcher may read at any moment.
    fs::write(stage.path("taken"), other).unwrap();
    fs::rename(stage.path("taken"), stage.path("runs/a/lock")).unwrap();
    outcome(&stage, first)
        .ended(7)
        .said("the run directory runs/a was taken over by process 9 on host h2, Slurm job 78");
    assert!(!(0..2).any(|rank| stage.rank_lives(rank)) && !stage.path("outlived").exists());
    assert_eq!(fs::read_to_string(stage.path("runs/a/lock")).unwrap(), other);
}
