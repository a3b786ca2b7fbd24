//! Runs that somebody or something interrupts, with real ranks under mpirun.

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::lcsl::{SMALL, json, program, stderr, train};

/// More epochs than anyone waits for.
const ENDLESS: [&str; 2] = ["--nproc=2", "--epochs=10000"];

/// A run in the background.
struct Running {
    launcher: Child,
    pids: Vec<u64>,
}

/// Starts an endless run and waits until its ranks have made some steps.
fn start(run_dir: &Path) -> Running {
    let place = format!("--run_dir={}", run_dir.display());
    let launcher = Command::new(program())
        .args(["train", &place])
        .args(SMALL)
        .args(ENDLESS)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let has_stepped = || {
        let metrics = std::fs::read_to_string(run_dir.join("metrics.jsonl")).unwrap_or_default();
        metrics.contains("\"event\":\"step\"")
    };
    until(Duration::from_secs(60), "the first steps", has_stepped);
    std::thread::sleep(Duration::from_millis(300)); // their news are on the way to the launcher
    let ranks = json(&run_dir.join("ranks.json"));
    let pids = ranks.as_array().unwrap().iter().map(|rank| rank["pid"].as_u64().unwrap());
    Running { launcher, pids: pids.collect() }
}

fn until(limit: Duration, what: &str, mut happened: impl FnMut() -> bool) {
    let began = Instant::now();
    while !happened() {
        assert!(began.elapsed() < limit, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn signal(name: &str, pid: u64) {
    let sent = Command::new("kill").args([name, &pid.to_string()]).status().unwrap();
    assert!(sent.success());
}

impl Running {
    /// Waits for the launcher, and checks that no rank is left.
    fn end(self) -> Output {
        let output = self.launcher.wait_with_output().unwrap();
        for pid in self.pids {
            let left = Path::new("/proc").join(pid.to_string());
            until(Duration::from_secs(10), "the ranks to end", || !left.exists());
        }
        output
    }
}

#[test]
fn a_killed_rank_is_named_and_nobody_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let running = start(&folder.path().join("run"));
    signal("-KILL", running.pids[1]);
    let output = running.end();
    let message = stderr(&output);
    assert_eq!(output.status.code(), Some(4), "{message}");
    assert!(message.contains("rank 1 on host "), "{message}");
    assert!(message.contains("at step "), "{message}");
    assert!(message.contains("was killed (no last word)"), "{message}");
}

/// For a rank that `abort` or a bad address ended, the message used to say that it was killed, and no
/// more: mpirun knows the signal, and does not live to tell it.
#[test]
fn a_broken_rank_says_what_ended_it_and_nobody_is_left() {
    for (name, rank) in [("ABRT", 0), ("SEGV", 1), ("FPE", 1)] {
        let folder = tempfile::tempdir().unwrap();
        let running = start(&folder.path().join("run"));
        signal(&format!("-{name}"), running.pids[rank]);
        let output = running.end();
        let message = stderr(&output);
        assert_eq!(output.status.code(), Some(4), "{message}");
        assert!(message.contains(&format!("rank {rank} on host ")), "{message}");
        assert!(message.contains(&format!("killed by SIG{name}")), "{message}");
    }
}

/// A panic must not leave the other ranks waiting, nor must a library that calls `exit`.
#[test]
fn a_rank_that_panics_or_exits_is_named_and_nobody_is_left() {
    let endings = [
        ("panic:1:40", "rank 1 on host ", "internal error: panicked at "),
        ("exit:0:40", "rank 0 on host ", "something called exit in the middle of the run"),
    ];
    for (wish, rank, cause) in endings {
        let folder = tempfile::tempdir().unwrap();
        let run_dir = folder.path().join("run");
        let place = format!("--run_dir={}", run_dir.display());
        let began = Instant::now();
        let output = Command::new(program())
            .args(["train", &place])
            .args(SMALL)
            .args(ENDLESS)
            .env("LCSL_INJECT", wish)
            .output()
            .unwrap();
        let message = stderr(&output);
        assert_eq!(output.status.code(), Some(4), "{message}");
        assert!(message.contains(rank) && message.contains(cause), "{message}");
        assert!(message.contains(" at step "), "{message}");
        assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
        for rank in json(&run_dir.join("ranks.json")).as_array().unwrap() {
            let left = Path::new("/proc").join(rank["pid"].to_string());
            until(Duration::from_secs(10), "the ranks to end", || !left.exists());
        }
    }
}

#[test]
fn ranks_do_not_outlive_a_killed_launcher() {
    let folder = tempfile::tempdir().unwrap();
    let running = start(&folder.path().join("run"));
    signal("-KILL", u64::from(running.launcher.id()));
    running.end();
}

#[test]
fn an_interrupt_saves_a_checkpoint_from_which_the_run_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let run_dir = folder.path().join("run");
    let running = start(&run_dir);
    signal("-INT", u64::from(running.launcher.id()));
    let output = running.end();
    assert_eq!(output.status.code(), Some(75), "{}", stderr(&output));
    assert!(stderr(&output).contains("--resume auto"), "{}", stderr(&output));

    let saved = std::fs::read_dir(run_dir.join("checkpoints")).unwrap().count();
    assert!(saved > 0, "nothing was saved");
    let place = format!("--run_dir={}", run_dir.display());
    let status = Command::new(program())
        .args(["train", &place, "--resume=auto"])
        .args(SMALL)
        .args(ENDLESS)
        .stderr(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .map(|launcher| Running { launcher, pids: Vec::new() });
    let resumed = status.unwrap();
    let has_resumed = || {
        let metrics = std::fs::read_to_string(run_dir.join("metrics.jsonl")).unwrap_or_default();
        metrics.contains("\"event\":\"resume\"")
    };
    until(Duration::from_secs(60), "the run to go on", has_resumed);
    signal("-INT", u64::from(resumed.launcher.id()));
    assert_eq!(resumed.end().status.code(), Some(75));
}

#[test]
fn a_finished_run_is_finished_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let run_dir = folder.path().join("run");
    let first = train(&run_dir, &["--max_steps=2"]);
    assert_eq!(train(&run_dir, &["--max_steps=2", "--resume=auto"]), first);
}
