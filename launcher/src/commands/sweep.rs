//! `lcsl sweep`: many runs of `lcsl train`, one after the other or several at once, and a table of what came of them.

mod record_file;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use clap::Args;
use lcsl_config::{Machine, Problem, Stop, parse_train};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::task::JoinSet;

use self::record_file::RecordFile;
use super::with_training;
use crate::fault::Fault;
use crate::machine;
use crate::ranks::group::system_fault;
use crate::supervise::interrupts::Interrupts;
use crate::sweep::plan::{self, Cell, Sweep};
use crate::sweep::table::{self, CellEnd, CellEnds};
use crate::terminal;
use lcsl_run_dir::{RunDir, exit};

/// Shown below the help.
const EXAMPLE: &str = r#"The file, in TOML; everything but one of flags, [grid] and [[rows]] may be left out:

  flags = ["--config=demo"]                      of every run, as for `lcsl train`
  seeds = [0, 1, 2]                              each setting is trained with each (default: 0)
  seed_keys = ["run.seed", "data.selection_seed"]    keys that a seed sets (default: run.seed)
  baseline = "ce"                                what others are compared with (default: the first)
  same_code = ["0.1.0 0123456789ab"]             codes whose runs in --record count, as they stand there
  [grid]                                         every combination of these
  "data.imb_factor" = [0.01, 0.02]
  [[rows]]                                       and of each of these
  name = "ce"
  flags = ["--method=ce"]

The same command goes on where it was stopped. In a Slurm array: lcsl sweep FILE --cell $SLURM_ARRAY_TASK_ID,
and afterwards the command without --cell, which finds every run finished and writes the table."#;

/// Arguments of `lcsl sweep`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLE)]
pub struct SweepRuns {
    /// The file that says what to train
    pub file: PathBuf,
    /// Folder of the run directories and of table.md, table.csv and table.json [default: runs/NAME of the file]
    #[arg(long)]
    pub out: Option<PathBuf>,
    /// Runs at once; give each its share of cores with --threads, or its own GPU
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=1024))]
    pub jobs: u64,
    /// Train one run alone, by its number from 0
    #[arg(long)]
    pub cell: Option<usize>,
    /// File that remembers finished runs, a JSON object in each line: those with the same settings and code are not
    /// trained again, on whichever machine they were
    #[arg(long, value_name = "FILE")]
    pub record: Option<PathBuf>,
    /// Check everything, list the runs, start nothing
    #[arg(long = "dry_run", alias = "dry-run")]
    pub dry_run: bool,
    /// Answer with one JSON object on standard output
    #[arg(long)]
    pub json: bool,
}

/// Runs `lcsl sweep` and returns the exit code: that of the first run that failed, if one did.
pub fn run(asked: &SweepRuns) -> Result<u8, Fault> {
    let place = asked.file.display().to_string();
    let bytes = fs::read(&asked.file).map_err(|error| {
        Fault::usage(
            format!("cannot read {place}: {error}"),
            "`lcsl sweep --help` shows what such a file holds",
        )
    })?;
    let text = lcsl_text::decode(&bytes).map_err(|why| {
        Fault::usage(format!("{place} is no text: {why}"), "a sweep is a TOML file")
    })?;
    let sweep = plan::read(&text, &place).map_err(|problems| refused(&problems))?;
    let stem = asked.file.file_stem().unwrap_or_default();
    let out = asked.out.clone().unwrap_or_else(|| Path::new("runs").join(stem));
    let machine = machine::look();
    let problems = unusable(&sweep, &out, &machine);
    if !problems.is_empty() {
        return Err(refused(&problems));
    }
    let cells: Vec<usize> = match asked.cell {
        None => (0..sweep.cells.len()).collect(),
        Some(cell) if cell < sweep.cells.len() => vec![cell],
        Some(cell) => {
            let what = format!("there is no run {cell}: {place} makes {}", sweep.cells.len());
            return Err(Fault::usage(what, "they are numbered from 0; --dry_run lists them"));
        }
    };
    if asked.dry_run {
        let lines = cells.iter().map(|number| {
            let cell = &sweep.cells[*number];
            format!(
                "{number}: {}\n   lcsl train {}\n",
                sweep.name(cell),
                shown(&arguments(cell, &out))
            )
        });
        return terminal::print(&lines.collect::<String>()).map(|()| exit::DONE);
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| system_fault("start the event loop", &error))?;
    let of_cell = |number: usize| arguments(&sweep.cells[number], &out);
    let record = asked.record.as_deref();
    let mut record =
        record.map(|path| RecordFile::open(path, &sweep, of_cell, &machine)).transpose()?;
    let training = train(&sweep, &cells, &out, (asked.jobs as usize, record.as_mut()));
    let trained = runtime.block_on(training)?;
    if trained.stopped {
        terminal::show_note("stopped, and nothing is lost; the same command goes on");
        return Ok(exit::STOPPED);
    }
    // An array's tasks end together, and each would write the table of what it knows.
    if asked.cell.is_none() {
        report(&sweep, &trained.outcomes, &out, asked.json)?;
    }
    Ok(trained.code)
}

fn refused(problems: &[Problem]) -> Fault {
    let title = match problems.len() {
        1 => "the sweep has a problem".to_owned(),
        count => format!("the sweep has {count} problems"),
    };
    Fault::several(&title, problems, exit::USAGE)
}

/// Everything that `lcsl train` would refuse, each problem once, with the first run that has it.
fn unusable(sweep: &Sweep, out: &Path, machine: &Machine) -> Vec<Problem> {
    let mut problems: Vec<Problem> = Vec::new();
    for cell in &sweep.cells {
        let Err(stop) = parse_train(&arguments(cell, out), machine) else { continue };
        let found = match stop {
            Stop::Problems(problems) => problems.0,
            Stop::Text(_) => vec![Problem {
                what: "its flags ask for help".to_owned(),
                place: "flags".to_owned(),
                hint: Some("leave --help and --version out".to_owned()),
            }],
        };
        for problem in found {
            if !problems.iter().any(|known| known.what == problem.what) {
                let place = format!("{} of {}", problem.place, sweep.name(cell));
                problems.push(Problem { place, ..problem });
            }
        }
    }
    problems
}

/// The arguments of a cell behind `lcsl train`.
fn arguments(cell: &Cell, out: &Path) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = cell.flags.iter().map(OsString::from).collect();
    let place = with_training::flag("--run_dir=", out.join(&cell.folder));
    arguments.extend([place, "--resume=auto".into()]);
    arguments
}

fn shown(arguments: &[OsString]) -> String {
    let words = arguments.iter().map(|word| {
        let word = word.to_string_lossy();
        shlex::try_quote(&word).map_or_else(|_| word.to_string(), Into::into)
    });
    words.collect::<Vec<_>>().join(" ")
}

/// What came of some cells.
struct Trained {
    outcomes: CellEnds,
    /// Of the first that failed.
    code: u8,
    stopped: bool,
}

impl Trained {
    /// A cell of so many has ended.
    fn end(&mut self, sweep: &Sweep, (cell, all): (usize, usize), end: CellEnd) {
        let count = format!("[{} of {all}]", self.outcomes.len() + 1);
        show(&format!("{count} {}", sweep.name(&sweep.cells[cell])), &end);
        self.outcomes.push((cell, end));
    }
}

/// Trains `cells`, so many at once, but for those that are recorded.
async fn train(
    sweep: &Sweep,
    cells: &[usize],
    out: &Path,
    (jobs, mut record): (usize, Option<&mut RecordFile>),
) -> Result<Trained, Fault> {
    let mut interrupts =
        Interrupts::catch().map_err(|error| system_fault("catch signals", &error))?;
    let mut trained = Trained { outcomes: Vec::new(), code: exit::DONE, stopped: false };
    let mut waiting = cells.iter().copied();
    let mut ended = JoinSet::new();
    let mut at_work: BTreeMap<usize, Option<u32>> = BTreeMap::new();
    loop {
        while !trained.stopped && at_work.len() < jobs {
            let Some(cell) = waiting.next() else { break };
            let known = record.as_ref().and_then(|record| record.find(cell)).cloned();
            if let Some(result) = known {
                trained.end(sweep, (cell, cells.len()), CellEnd::Done(Box::new(result)));
                continue;
            }
            let mut child = match start(&sweep.cells[cell], out, record.as_deref()) {
                Ok(child) => child,
                Err(fault) => {
                    let end = failed(&mut trained.code, &fault);
                    trained.end(sweep, (cell, cells.len()), end);
                    continue;
                }
            };
            at_work.insert(cell, child.id());
            ended.spawn(async move { (cell, child.wait().await) });
        }
        if at_work.is_empty() {
            trained.outcomes.sort_by_key(|(cell, _)| *cell);
            return Ok(trained);
        }
        tokio::select! {
            Some(Ok((cell, status))) = ended.join_next() => {
                at_work.remove(&cell);
                let code = status.map_or(exit::BUG, |status| {
                    status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(exit::BUG)
                });
                match outcome(code, &out.join(&sweep.cells[cell].folder)) {
                    None => trained.stopped = true,
                    Some(mut end) => {
                        if matches!(end, CellEnd::Failed(_)) && trained.code == exit::DONE {
                            trained.code = code;
                        }
                        if let (Some(record), CellEnd::Done(result)) = (&mut record, &end)
                            && let Err(fault) = record.add(cell, result)
                        {
                            end = failed(&mut trained.code, &fault);
                        }
                        trained.end(sweep, (cell, cells.len()), end);
                    }
                }
            }
            _ = interrupts.next() => {
                trained.stopped = true;
                for pid in at_work.values().flatten().filter_map(|id| Pid::from_raw(*id as i32)) {
                    let _ = kill_process(pid, Signal::TERM); // it may have ended by itself
                }
            }
        }
    }
}

/// How a cell has ended that the disk or this program got in the way of; `code` is that of the first that failed.
fn failed(code: &mut u8, fault: &Fault) -> CellEnd {
    if *code == exit::DONE {
        *code = fault.exit_code;
    }
    CellEnd::Failed(fault.to_string().replace("\n  hint: ", "; "))
}

/// Says how a cell has ended.
fn show(name: &str, end: &CellEnd) {
    match end {
        CellEnd::Done(result) => {
            let (accuracy, seconds) =
                (result.accuracy.all.unwrap_or(f64::NAN), result.train_seconds);
            terminal::show_line(&format!("{name}: {accuracy:.4} in {seconds:.0} s"));
        }
        CellEnd::Failed(why) => terminal::show_warning(&format!("{name} failed: {why}")),
    }
}

/// Starts the run of a cell; what it says goes into a file beside its run directory.
fn start(cell: &Cell, out: &Path, record: Option<&RecordFile>) -> Result<Child, Fault> {
    let run_dir = out.join(&cell.folder);
    let path = log_of(&run_dir);
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(|error| Fault::disk("create", folder, &error))?;
    }
    record.map_or(Ok(()), |record| record.begin(&run_dir))?;
    let log = OpenOptions::new().create(true).append(true).open(&path);
    let log = log.map_err(|error| Fault::disk("open", &path, &error))?;
    let own = std::env::current_exe().map_err(|error| system_fault("find this program", &error))?;
    let mut command = Command::new(own);
    command.arg("train").args(arguments(cell, out));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    command.spawn().map_err(|error| system_fault("start a run", &error))
}

fn log_of(run_dir: &Path) -> PathBuf {
    run_dir.with_extension("log")
}

/// How a run has ended; nothing where it was stopped on request.
fn outcome(code: u8, run_dir: &Path) -> Option<CellEnd> {
    if code == exit::STOPPED {
        return None;
    }
    let log = log_of(run_dir);
    if code != exit::DONE {
        let said = fs::read_to_string(&log).unwrap_or_default();
        let why = said.lines().rfind(|line| line.starts_with("error: "));
        let why = why.map_or("it said nothing", |line| line.trim_start_matches("error: "));
        return Some(CellEnd::Failed(format!("{why} (exit code {code}; {})", log.display())));
    }
    let result = RunDir::at(run_dir).result();
    let figures = fs::read(&result).map_err(|error| error.to_string());
    let figures =
        figures.and_then(|text| serde_json::from_slice(&text).map_err(|error| error.to_string()));
    Some(match figures {
        Ok(figures) => CellEnd::Done(Box::new(figures)),
        Err(why) => CellEnd::Failed(format!("{} cannot be used: {why}", result.display())),
    })
}

/// Writes the tables and shows one of them.
fn report(sweep: &Sweep, outcomes: &CellEnds, out: &Path, json: bool) -> Result<(), Fault> {
    let (text, object) = (table::markdown(sweep, outcomes), table::json(sweep, outcomes));
    let files = [
        ("table.md", text.clone()),
        ("table.csv", table::csv(sweep, outcomes)),
        ("table.json", format!("{object:#}\n")),
    ];
    for (name, text) in files {
        let path = out.join(name);
        fs::write(&path, text).map_err(|error| Fault::disk("write", &path, &error))?;
    }
    if json { terminal::print(&format!("{object}\n")) } else { terminal::print(&text) }
}
