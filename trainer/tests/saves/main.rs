//! Writers of checkpoints that are killed at any moment: what they leave is the newest whole state, never nothing and
//! never another.
//!
//! The program starts itself again as the writer. `LCSL_KILLS` is how many are killed (60); `bench/faults.sh` asks for
//! thousands.

#![allow(clippy::unwrap_used)] // whatever cannot be read or started is a failure of the test

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::thread;
use std::time::Duration;

use lcsl_run_dir::RunDir;
use lcsl_run_dir::names::TENSORS;
use lcsl_trainer::admission::{AdmissionDigest, Ledger};
use lcsl_trainer::run_dir::checkpoint_writer::CheckpointWriter;
use lcsl_trainer::run_dir::checkpoints::{self, FORMAT, Manifest, Marks, Position};
use lcsl_trainer::run_dir::totals::{LabelCounts, RunningTotals, UnlabelledCounts};
use libtest_mimic::{Arguments, Trial};

/// The run directory of the writer; set where this program is the writer.
const WRITER: &str = "LCSL_SAVES_IN";

fn main() -> ExitCode {
    if let Some(run_dir) = std::env::var_os(WRITER) {
        save_for_ever(&RunDir::at(run_dir));
    }
    let trials = vec![
        Trial::test("a_killed_save_leaves_the_newest_whole_state", || {
            kill_writers(2);
            Ok(())
        }),
        Trial::test("a_killed_save_leaves_it_where_only_one_is_kept", || {
            kill_writers(1);
            Ok(())
        }),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// What the tensors of a step are made of.
fn tensors(step: u64) -> Vec<u8> {
    (0..64 << 10).map(|at: u64| (at.wrapping_mul(31).wrapping_add(step * 7) >> 3) as u8).collect()
}

fn manifest(step: u64) -> Manifest {
    Manifest {
        format: FORMAT,
        version: "0".to_owned(),
        position: Position { epoch: 0, step_in_epoch: step, step },
        ledger: Ledger::new(3),
        admission_digest: AdmissionDigest::default(),
        best: None,
        totals: RunningTotals::default(),
        corrupt: Vec::new(),
        unlabelled: UnlabelledCounts::default(),
        labels: LabelCounts::default(),
        metrics_bytes: step,
        marks: Marks::default(),
        tensors_digest: String::new(),
    }
}

/// Saves one step after the other from the newest on, each twice, as a run that went back comes by it again. Says which
/// step is on disk.
fn save_for_ever(run_dir: &RunDir) -> ! {
    let keep_last = std::env::args().nth(1).unwrap().parse().unwrap();
    let mut writer = CheckpointWriter::new(run_dir, keep_last);
    let (found, _) = checkpoints::newest(run_dir).unwrap();
    let first = found.map_or(1, |found| found.manifest.position.step);
    for step in (first..).flat_map(|step| [step, step]) {
        writer.start(manifest(step), move |path| fs::write(path, tensors(step))).unwrap();
        writer.wait().unwrap().written.unwrap();
        let mut out = std::io::stdout().lock();
        writeln!(out, "{step}").unwrap();
        out.flush().unwrap();
    }
    unreachable!("there is always another step")
}

fn writer(run_dir: &Path, keep_last: usize) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.arg(keep_last.to_string()).env(WRITER, run_dir).stdout(Stdio::piped());
    command.spawn().unwrap()
}

fn kill_writers(keep_last: usize) {
    let kills: u64 = std::env::var("LCSL_KILLS").map_or(60, |text| text.parse().expect("a number"));
    let folder = tempfile::tempdir().unwrap();
    let run_dir = RunDir::at(folder.path());
    let mut random = 88_172_645_463_325_252_u64 + keep_last as u64;
    let mut newest = 0;
    for kill in 0..kills {
        let mut child = writer(folder.path(), keep_last);
        let mut said = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        said.read_line(&mut line).unwrap();
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        thread::sleep(Duration::from_micros(random % 8_000));
        child.kill().unwrap();
        child.wait().unwrap();
        let first = line.trim().parse::<u64>().unwrap();
        let last = said.lines().map_while(Result::ok).filter_map(|line| line.parse().ok()).last();
        let on_disk = last.unwrap_or(first);

        let (found, broken) = checkpoints::newest(&run_dir).unwrap();
        let found = found.unwrap_or_else(|| panic!("kill {kill}: nothing whole: {broken:?}"));
        let step = found.manifest.position.step;
        assert!(broken.is_empty(), "kill {kill}: {broken:?}");
        assert!(step == on_disk || step == on_disk + 1, "kill {kill}: {step} after {on_disk}");
        assert!(step >= newest, "kill {kill}: {step} after {newest}");
        let path = found.directory.join(TENSORS);
        assert!(fs::read(&path).unwrap() == tensors(step), "kill {kill}: tensors of another step");
        newest = step;
    }
    println!("{kills} writers killed that keep {keep_last}; the last had saved step {newest}");
}
