//! `lcsl train` and its ranks, which are played by a script, from the start to the verdict.

use std::fs;
use std::time::Duration;

use rustix::process::Signal;

use crate::stage::{Stage, outcome, signal, started, under};

/// Ranks that work until told otherwise.
pub(crate) const AT_WORK: &str = "hello; beat 57 all_reduce; ";

/// Ends the scene of a rank that is to be ended by the launcher: one that is not leaves a file.
const OUTLIVES: &str = "sleep 60; touch outlived";

/// That no rank has come to the end of [`OUTLIVES`], and none is left that could.
#[track_caller]
fn nobody_outlived(stage: &Stage, ranks: std::ops::Range<usize>) {
    assert!(ranks.into_iter().all(|rank| !stage.rank_lives(rank)), "a rank still runs");
    assert!(!stage.path("outlived").exists(), "a rank was waited for instead of ended");
}

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn a_run_of_one_rank_ends_with_a_table() {
    let stage = Stage::new();
    let scene = "hello; beat 0 starting; notice 'a word from rank 0'; result; finish 0";
    let outcome = stage.outcome(stage.train(scene, &[]));
    outcome.ended(0).said("a word from rank 0");
    assert!(outcome.out.contains("cat "), "{}", outcome.out);
    assert!(outcome.out.contains("run directory      runs/a\n"), "{}", outcome.out);
    let ranks = json(&fs::read_to_string(stage.path("runs/a/ranks.json")).unwrap());
    assert_eq!((&ranks[0]["rank"], &ranks[0]["device"]), (&json("0"), &json("\"cpu\"")));
    let config = fs::read_to_string(stage.path("runs/a/config.toml")).unwrap();
    assert!(config.contains("name = \"synthetic\"  # from: flag --dataset\n"), "{config}");
    assert!(stage.path("runs/a/logs/lcsl-rank.log").exists());
}

#[test]
fn json_is_one_object_and_nothing_else() {
    let stage = Stage::new();
    let scene = "hello; result; finish 0";
    let outcome = stage.outcome(stage.train(scene, &["--nproc=2", "--json"]));
    let value = json(&outcome.ended(0).out);
    assert_eq!((&value["world_size"], &value["run_dir"]), (&json("2"), &json("\"runs/a\"")));
    assert_eq!(outcome.out.lines().count(), 1);
}

#[test]
fn a_closed_standard_output_is_no_error() {
    let stage = Stage::new();
    let mut child = started(&stage.train("hello; result; finish 0", &[]));
    drop(child.stdout.take());
    let outcome = outcome(&stage, child);
    outcome.ended(0);
    assert!(!outcome.err.contains("panic"), "{}", outcome.err);
}

#[test]
fn a_killed_rank_is_named_and_everything_ends() {
    let stage = Stage::new();
    // The launcher writes ranks.json when both have come: before, an absent rank would be named too.
    let come = "until [ -e \"$run_dir/ranks.json\" ]; do sleep 0.01; done";
    let scene = format!("{AT_WORK} [ $rank = 0 ] || {{ {come}; kill -9 $$; }}; {OUTLIVES}");
    let outcome = stage.outcome(stage.train(&scene, &["--nproc=2"]));
    outcome.ended(4).said(
        "error: rank 1 on host h1 was killed (no last word) at step 57 while summing gradients\n  \
         log: runs/a/logs/mpirun.log\n",
    );
    // The survivor sat in a session of its own and is ended all the same.
    nobody_outlived(&stage, 0..1);
}

#[test]
fn a_failing_rank_speaks_for_itself() {
    let stage = Stage::new();
    let scene = format!("{AT_WORK} [ $rank = 0 ] || fail 3 'shard 7 is corrupt'; {OUTLIVES}");
    let outcome = stage.outcome(stage.train(&scene, &["--nproc=2"]));
    outcome
        .ended(3)
        .said("rank 1 on host h1 failed at step 57 while summing gradients: shard 7 is corrupt")
        .said("hint: mend it");
    nobody_outlived(&stage, 0..1);
}

#[test]
fn a_script_that_asks_for_json_learns_how_the_run_failed_once() {
    let stage = Stage::new();
    let scene = format!("{AT_WORK} fail 4 'the disk of the mind is full'");
    let outcome = stage.outcome(stage.train(&scene, &["--json", "--max_restarts=1"]));
    let error = &json(&outcome.ended(4).out)["error"];
    assert_eq!((&error["exit_code"], &error["hint"]), (&json("4"), &json("\"mend it\"")));
    assert!(error["what"].as_str().unwrap().starts_with("rank 0 on host h1 failed at step 57"));
    assert_eq!(outcome.err.matches("error: ").count(), 2, "a person reads of both attempts");
}

#[test]
fn a_library_that_does_not_load_is_explained() {
    let stage = Stage::new();
    let line = "lcsl-rank: error while loading shared libraries: libc10.so: cannot open";
    let scene = format!("echo '{line}' >&2; exit 127");
    let outcome = stage.outcome(stage.train(&scene, &[]));
    outcome.ended(2).said(&format!("lcsl-rank cannot be loaded: {line}")).said("make setup");
}

#[test]
fn what_a_rank_says_before_it_can_connect_is_shown() {
    let stage = Stage::new();
    let scene = "echo 'error: 1 ranks were started for a run of 2' >&2; exit 2";
    let outcome = stage.outcome(stage.train(scene, &["--nproc=2"]));
    outcome.ended(2).said("1 ranks were started").said("runs/a/logs/mpirun.log");
}

#[test]
fn an_interrupt_stops_at_a_step_boundary() {
    for asking in [Signal::INT, Signal::TERM, Signal::HUP, Signal::USR1, Signal::USR2] {
        let stage = Stage::new();
        let scene =
            format!("{AT_WORK} told; [ \"$order\" = '{{\"message\":\"stop\"}}' ] && finish 75");
        let child = started(&stage.train(&scene, &["--nproc=2"]));
        stage.await_file("runs/a/ranks.json");
        signal(&child, asking);
        outcome(&stage, child)
            .ended(75)
            .said("stopping at the next step boundary; a checkpoint will be saved")
            .said("--resume auto");
    }
}

/// Story: `timeout` signals its child and then the group; the second SIGTERM ended the run with 130, and
/// its checkpoint was never written. What ends a session may send SIGHUP, SIGTERM and SIGUSR1 together.
#[test]
fn signals_that_come_together_are_one_wish_to_stop() {
    for signals in [
        [Signal::TERM, Signal::TERM, Signal::TERM],
        [Signal::INT, Signal::INT, Signal::TERM],
        [Signal::HUP, Signal::TERM, Signal::HUP],
        [Signal::USR1, Signal::TERM, Signal::USR2],
    ] {
        let stage = Stage::new();
        let scene = format!(
            "{AT_WORK} told; touch told-$rank; until [ -e on ]; do sleep 0.01; done; finish 75"
        );
        let child = started(&stage.train(&scene, &["--nproc=2"]));
        stage.await_file("runs/a/ranks.json");
        for each in signals {
            signal(&child, each);
            stage.await_file("told-0"); // two signals of a kind at once would be one
        }
        std::thread::sleep(Duration::from_millis(50));
        fs::write(stage.path("on"), "").unwrap();
        outcome(&stage, child).ended(75).said("a checkpoint is saved");
    }
}

/// Story: under `torchrun`, training that was started by `nohup` ends when its terminal does, because
/// the launcher catches the signal that `nohup` has it ignore.
#[test]
fn what_nohup_starts_outlives_its_terminal() {
    let stage = Stage::new();
    let scene = format!("{AT_WORK} until [ -e on ]; do sleep 0.01; done; result; finish 0");
    let direct = stage.train(&scene, &[]);
    let under_nohup = under(&["sh", "-c", "trap '' HUP; exec \"$@\"", "sh"], &direct);
    let child = started(&under_nohup);
    stage.await_file("runs/a/ranks.json");
    signal(&child, Signal::HUP);
    std::thread::sleep(Duration::from_millis(50));
    fs::write(stage.path("on"), "").unwrap();
    let outcome = outcome(&stage, child);
    assert!(!outcome.ended(0).err.contains("stopping"), "{}", outcome.err);
}

#[test]
fn a_second_interrupt_ends_everything_at_once() {
    let stage = Stage::new();
    let scene = format!("{AT_WORK} told; touch told-$rank; {OUTLIVES}");
    let child = started(&stage.train(&scene, &["--nproc=2"]));
    stage.await_file("runs/a/ranks.json");
    signal(&child, Signal::INT);
    // Two signals at once would be one: the first has arrived when the ranks hear of it.
    stage.await_file("told-0");
    stage.await_file("told-1");
    std::thread::sleep(Duration::from_millis(1100));
    signal(&child, Signal::INT);
    outcome(&stage, child).ended(130).said("ended at once");
    nobody_outlived(&stage, 0..2);
}

/// Story: `(ulimit -n 32; lcsl train … --nproc 2)` hung for ever, and said nothing.
#[test]
fn a_start_that_hangs_ends_by_itself() {
    let stage = Stage::new();
    stage.cast("mpirun", "mpirun-that-hangs");
    let flags = ["--nproc=2", "--set=run.start_limit_seconds=1"];
    let outcome = stage.outcome(stage.train("exit 1", &flags));
    outcome
        .ended(4)
        .said("waiting for ranks 0 to 1 to load libtorch")
        .said("error: no rank had reached the launcher after 1 s; the launched program printed\n    no more files\n")
        .said("ulimit -n");
    assert!(!stage.path("outlived").exists());
}

/// Story: the first SIGTERM to a start that hung promised a checkpoint of ranks that did not exist, the
/// second said "go on from that checkpoint", and mpirun was left behind.
#[test]
fn a_start_that_hangs_ends_at_the_first_signal() {
    for asking in [Signal::TERM, Signal::INT, Signal::HUP] {
        let stage = Stage::new();
        stage.cast("mpirun", "mpirun-that-hangs");
        let child = started(&stage.train("exit 1", &["--nproc=2"]));
        stage.await_file("began");
        signal(&child, asking);
        let outcome = outcome(&stage, child);
        outcome.ended(75).said("stopped before training began");
        assert!(!outcome.err.contains("checkpoint"), "{}", outcome.err);
    }
}

#[test]
fn a_stopped_run_goes_on_and_a_finished_one_does_not_run_again() {
    let stage = Stage::new();
    let scene = "hello; mkdir -p $run_dir/checkpoints/step-0000000007; finish 75";
    stage.outcome(stage.train(scene, &["--resume=auto"])).ended(75);
    let other = stage.outcome(stage.train("exit 1", &["--resume=auto", "--lr=0.5"]));
    other.ended(2).said("train.lr is 0.01 there, but 0.5 was asked for");
    let scene = "hello; result; finish 0";
    stage.outcome(stage.train(scene, &["--resume=auto"])).ended(0);
    let again = stage.outcome(stage.train("exit 1", &["--resume=auto", "--json"]));
    again.ended(0).said("already finished: runs/a");
    assert_eq!(json(&again.out)["steps"], 7);
    let named = stage.lcsl(&["train", "--dataset=synthetic", "--gpu=cpu", "--resume=runs/a"]);
    stage.outcome(named).ended(0).said("already finished: runs/a");
}

/// Story: training ended at once for want of images. The corrected command was refused, since the run
/// directory was not empty, and the next one, since its configuration was another.
#[test]
fn a_run_without_a_step_does_not_block_the_corrected_command() {
    let stage = Stage::new();
    stage.outcome(stage.train("hello; fail 3 'no images'", &["--lr=0.5"])).ended(3);
    stage.outcome(stage.train("hello; result; finish 0", &["--lr=0.1"])).ended(0);
    let config = fs::read_to_string(stage.path("runs/a/config.toml")).unwrap();
    assert!(config.contains("lr = 0.1 "), "{config}");
}

#[test]
fn ranks_are_started_again_as_often_as_was_asked() {
    let stage = Stage::new();
    let scene =
        "hello; beat 5 compute; [ -e second ] || { touch second; kill -9 $$; }; result; finish 0";
    let outcome = stage.outcome(stage.train(scene, &["--max_restarts=1"]));
    outcome
        .ended(0)
        .said("rank 0 on host h1 was killed by SIGKILL (no last word) at step 5")
        .said("starting the ranks again from the newest whole checkpoint (1 of 1)");
    let stage = Stage::new();
    let always = stage.outcome(stage.train("hello; kill -9 $$", &["--max_restarts=2"]));
    assert_eq!(always.ended(4).err.matches("was killed by").count(), 3, "{}", always.err);
}

/// Story: a broken image, or a loss that diverges, ended the run at the same step as often as restarts were allowed.
#[test]
fn a_fault_that_strikes_at_the_same_step_twice_is_said_to_be_one() {
    let stage = Stage::new();
    let scene = "hello; beat 5 compute; kill -9 $$";
    let outcome = stage.outcome(stage.train(scene, &["--max_restarts=9"]));
    outcome
        .ended(4)
        .said("at step 5, as in the attempt before: another start would only come there again");
    assert_eq!(outcome.err.matches("error: ").count(), 2, "{}", outcome.err);
}

#[test]
fn ranks_that_finish_without_a_result_are_our_bug() {
    let stage = Stage::new();
    let outcome = stage.outcome(stage.train("hello; finish 0", &[]));
    outcome.ended(70).said("training ended, but runs/a/result.json cannot be read");
}
