//! `lcsl data verify`.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use lcsl_data::verify::{Thoroughness, Verified, VerifyProgress, verify};

use super::fault::bad_data;
use super::progress::{Position, show_while};
use crate::fault::Fault;
use crate::report::table::{counted, grouped};
use crate::terminal;
use lcsl_run_dir::exit;

/// Arguments of `lcsl data verify`.
#[derive(Debug, Args)]
pub struct Verify {
    /// Folder of a prepared dataset, or of one set of shards
    pub path: PathBuf,
    /// Decode every image as well, which takes longer: finds those that training could not read
    #[arg(long)]
    pub decode: bool,
    /// Write everything that is wrong into this file, a line each; 20 of each kind are shown
    #[arg(long, value_name = "FILE")]
    pub list: Option<PathBuf>,
    /// Threads that read [default: all cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub threads: Option<u32>,
}

/// Runs `lcsl data verify` and returns the exit code.
pub(super) fn run(asked: &Verify) -> Result<u8, Fault> {
    let cores = || thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let threads = asked.threads.map_or_else(cores, |threads| threads as usize);
    let thoroughness = if asked.decode { Thoroughness::Pixels } else { Thoroughness::Bytes };
    let progress = VerifyProgress::default();
    let began = Instant::now();
    let found = show_while(
        |elapsed| position(&progress, elapsed),
        || verify(&asked.path, thoroughness, threads, &progress),
    );
    let Verified { problems, doubts } = found.map_err(|error| bad_data(&error))?;
    let done = counted(progress.done.load(Ordering::Relaxed), "image");
    if let Some(path) = &asked.list {
        let text: String = problems.lines().chain(doubts.lines()).map(|line| line + "\n").collect();
        fs::write(path, text).map_err(|error| Fault::disk("write", path, &error))?;
    }
    if !doubts.is_empty() {
        let more = "\n--list FILE writes all of them into a file";
        let more = if doubts.are_cut() && asked.list.is_none() { more } else { "" };
        terminal::show_warning(&format!("{doubts}{more}"));
    }
    if !problems.is_empty() {
        let what = format!("{} is damaged\n{problems}", asked.path.display());
        let mut hint =
            "prepare the set again, or fetch it again; `lcsl data index` is for shards that \
             were changed on purpose"
                .to_owned();
        if let Some(path) = &asked.list {
            let _ = write!(hint, "; all of it is listed in {}", path.display());
        } else if problems.are_cut() {
            hint.push_str("; --list FILE writes all of it into a file");
        }
        return Err(Fault { hint: Some(hint), ..Fault::new(what, exit::BAD_DATA) });
    }
    terminal::print(&format!(
        "{}: {done}, {} MiB, all as they were written{} ({:.1} s)\n",
        asked.path.display(),
        grouped(progress.bytes.load(Ordering::Relaxed) >> 20),
        if asked.decode { ", and all decoded" } else { "" },
        began.elapsed().as_secs_f64()
    ))?;
    Ok(exit::DONE)
}

fn position(progress: &VerifyProgress, elapsed: Duration) -> Position {
    let [total, done, bytes] = [&progress.total, &progress.done, &progress.bytes]
        .map(|number| number.load(Ordering::Relaxed));
    let rate = (bytes >> 20) as f64 / elapsed.as_secs_f64().max(1e-3);
    let words = format!("{} of {} images   {rate:.0} MiB/s", grouped(done), grouped(total));
    Position { done, total, words }
}
