//! Runs that somebody or something interrupts, with real ranks under mpirun.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::lcsl::{SMALL, faulty_programs, json, program, stderr, train};

/// More epochs than anyone waits for.
const ENDLESS: [&str; 2] = ["--nproc=2", "--epochs=10000"];

/// A run in the background.
struct Running {
    launcher: Child,
    /// What the launcher says on standard error, read to its end.
    said: JoinHandle<Vec<u8>>,
    pids: Vec<u64>,
}

/// Steps after which every rank has told the launcher that it has begun: its heartbeat looks for news
/// every 50 ms, and they take longer than that.
const BEGUN: u64 = 60;

/// Starts an endless run and waits until the launcher knows where its ranks are. The first step that it
/// shows is rank 0's word; the others' heartbeats come after it.
fn start(run_dir: &Path) -> Running {
    start_and_make(BEGUN, run_dir, &[])
}

/// Starts an endless run with more flags, and waits until it has made so many steps.
fn start_and_make(wanted: u64, run_dir: &Path, flags: &[&str]) -> Running {
    let place = format!("--run_dir={}", run_dir.display());
    let (launcher, said, steps) = spawn(&[&["train", &place], flags].concat());
    steps.recv().expect("the launcher shows a step before it ends");
    until(Duration::from_secs(60), "steps of all ranks", || steps_of(run_dir) >= wanted);
    let ranks = json(&run_dir.join("ranks.json"));
    let pids = ranks.as_array().unwrap().iter().map(|rank| rank["pid"].as_u64().unwrap());
    Running { launcher, said, pids: pids.collect() }
}

/// Starts an endless run: the launcher, what it will have said, and a word for each step that it shows.
fn spawn(arguments: &[&str]) -> (Child, JoinHandle<Vec<u8>>, mpsc::Receiver<()>) {
    let mut launcher = Command::new(program())
        .args(arguments)
        .args(SMALL)
        .args(ENDLESS)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stderr = BufReader::new(launcher.stderr.take().unwrap());
    let (shown, steps) = mpsc::channel();
    let said = thread::spawn(move || {
        let mut said = Vec::new();
        loop {
            let start = said.len();
            if stderr.read_until(b'\n', &mut said).unwrap() == 0 {
                return said;
            }
            if is_step(&said[start..]) {
                let _ = shown.send(()); // nobody listens after the first
            }
        }
    });
    (launcher, said, steps)
}

/// Whether a line says `step N/M`.
fn is_step(line: &[u8]) -> bool {
    let line = String::from_utf8_lossy(line);
    let mut words = line.split_whitespace().skip_while(|word| *word != "step");
    words.nth(1).and_then(|steps| steps.split_once('/')).is_some()
}

/// Steps that the run has logged; a line that is being written counts when it is whole.
fn steps_of(run_dir: &Path) -> u64 {
    let text = std::fs::read_to_string(run_dir.join("metrics.jsonl")).unwrap_or_default();
    let events = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    events.filter_map(|event| event["step"].as_u64()).max().unwrap_or(0)
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
        let mut launcher = self.launcher;
        let status = launcher.wait().unwrap();
        let stderr = self.said.join().unwrap();
        for pid in self.pids {
            let left = Path::new("/proc").join(pid.to_string());
            until(Duration::from_secs(10), "the ranks to end", || !left.exists());
        }
        Output { status, stdout: Vec::new(), stderr }
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

/// Trains with ranks that let this go wrong, until the launcher leaves with 4 by itself; what it said. Nobody is left.
fn fail(wish: &str, flags: &[&str]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let run_dir = folder.path().join("run");
    let place = format!("--run_dir={}", run_dir.display());
    let output = Command::new(faulty_programs().join("lcsl"))
        .args(["train", &place])
        .args(SMALL)
        .args(ENDLESS)
        .args(flags)
        .env("LCSL_INJECT", wish)
        .output()
        .unwrap();
    let message = stderr(&output);
    assert_eq!(output.status.code(), Some(4), "{message}");
    for rank in json(&run_dir.join("ranks.json")).as_array().unwrap() {
        let left = Path::new("/proc").join(rank["pid"].to_string());
        until(Duration::from_secs(10), "the ranks to end", || !left.exists());
    }
    message
}

/// A panic must not leave the other ranks waiting, nor must a library that calls `exit`.
#[test]
fn a_rank_that_panics_or_exits_is_named_and_nobody_is_left() {
    let endings = [
        ("panic:1:40", "rank 1 on host ", "internal error: panicked at "),
        ("exit:0:40", "rank 0 on host ", "something called exit in the middle of the run"),
    ];
    for (wish, rank, cause) in endings {
        let message = fail(wish, &[]);
        assert!(message.contains(rank) && message.contains(cause), "{message}");
        assert!(message.contains(" at step "), "{message}");
    }
}

/// Such a rank tells that it lives, every second.
#[test]
fn a_rank_that_computes_for_ever_is_named_and_nobody_is_left() {
    let message = fail("loop:1:42", &["--set=run.hang_limit_seconds=10"]);
    assert!(message.contains("error: rank 1 on host "), "{message}");
    assert!(message.contains(" makes no progress since 10 s at step 42 "), "{message}");
    assert!(message.contains("; rank 0 waits for it in call "), "{message}");
}

/// Story: a rank that had left a sum out while it measured was waited for by the others, and they by it, for the ten
/// minutes that an evaluation may take.
#[test]
fn a_rank_in_another_collective_is_named_and_nobody_is_left() {
    let flags = ["--nproc=3", "--check_collectives=false", "--set=run.silence_limit_seconds=4"];
    let flags = [&flags[..], &["--set=run.hang_limit_seconds=10"]].concat();
    for (wish, rank) in [("leave_out:2:40", 2), ("call_another:0:41", 0)] {
        let message = fail(wish, &flags);
        assert!(message.contains(&format!("error: rank {rank} on host ")), "{message}");
        assert!(message.contains(" and the others wait in different collectives "), "{message}");
        assert!(message.contains("(call "), "{message}");
    }
}

/// Story: a rank that lost its launcher ended with the destructors of its libraries under its own training thread, and
/// its log with a panic of libtorch that nobody had caused.
#[test]
fn ranks_do_not_outlive_a_killed_launcher_and_say_why_they_end() {
    let folder = tempfile::tempdir().unwrap();
    let run_dir = folder.path().join("run");
    let running = start(&run_dir);
    signal("-KILL", u64::from(running.launcher.id()));
    running.end();
    for rank in 0..2 {
        let log = std::fs::read_to_string(run_dir.join(format!("logs/rank-{rank}.log"))).unwrap();
        assert!(!log.contains("panicked"), "{log}");
        assert!(log.contains("the launcher has gone; this rank ends too"), "{log}");
    }
}

/// Story: a scheduler that signals the ranks themselves (srun --signal without B:, scancel, MPI's daemons on their way
/// out) killed them, and the steps since the last checkpoint were lost.
#[test]
fn a_signal_to_one_rank_is_a_wish_that_all_stop() {
    for name in ["TERM", "USR1"] {
        let folder = tempfile::tempdir().unwrap();
        let run_dir = folder.path().join("run");
        let running = start_and_make(20, &run_dir, &[]);
        signal(&format!("-{name}"), running.pids[1]);
        let output = running.end();
        assert_eq!(output.status.code(), Some(75), "{name}: {}", stderr(&output));
        let saved = std::fs::read_dir(run_dir.join("checkpoints")).unwrap().count();
        assert!(saved > 0, "nothing was saved after SIG{name}");
    }
}

/// Story: a rank under SIGSTOP hung the run for ever, and nobody was named.
#[test]
fn a_stopped_rank_is_named_and_everything_ends() {
    let folder = tempfile::tempdir().unwrap();
    let flags = ["--set=run.silence_limit_seconds=4", "--set=run.hang_limit_seconds=12"];
    let running = start_and_make(20, &folder.path().join("run"), &flags);
    signal("-STOP", running.pids[0]);
    let output = running.end();
    let message = stderr(&output);
    assert_eq!(output.status.code(), Some(4), "{message}");
    assert!(message.contains("error: rank 0 on host "), "{message}");
    assert!(message.contains("has not been heard of for "), "{message}");
}

/// Story: a batch that was too large ended with "internal error, please report" and fifty lines of libtorch's stack.
#[test]
fn memory_that_is_out_is_called_that() {
    let folder = tempfile::tempdir().unwrap();
    let place = format!("--run_dir={}", folder.path().join("run").display());
    let flags = ["--gpu=cpu", "--model=resnet34_cifar", "--batch_size=1024"];
    let output = Command::new("bash")
        .args(["-c", "ulimit -v 2500000; exec \"$@\"", "bash"])
        .arg(program())
        .args(["train", "--dataset=synthetic", &place, "--set=data.synthetic_largest=400"])
        .args(flags)
        .output()
        .unwrap();
    let message = stderr(&output);
    assert_eq!(output.status.code(), Some(6), "{message}");
    assert!(
        message.contains("rank 0 on host ") && message.contains("out of memory: "),
        "{message}"
    );
    assert!(message.contains("hint: a smaller --batch_size takes less"), "{message}");
    assert!(!message.contains("frame #"), "{message}");
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
    let (launcher, said, steps) = spawn(&["train", &place, "--resume=auto"]);
    steps.recv().expect("the run goes on");
    let metrics = std::fs::read_to_string(run_dir.join("metrics.jsonl")).unwrap();
    assert!(metrics.contains("\"event\":\"resume\""), "{metrics}");
    let resumed = Running { launcher, said, pids: Vec::new() };
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
