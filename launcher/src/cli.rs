//! The commands of `lcsl`.

use std::ffi::OsString;
use std::ops::RangeInclusive;
use std::path::PathBuf;

use clap::builder::TypedValueParser;
use clap::{ArgAction, Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

#[cfg(feature = "data")]
use crate::commands::data;
use crate::commands::{bench_allreduce, bench_step, documents, inspect, train, version};
use crate::exit;
use crate::fault::Fault;
use crate::terminal;

/// Train image classifiers on long-tailed data, on one or many processes.
#[derive(Debug, Parser)]
#[command(name = "lcsl", version, arg_required_else_help = true, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

/// The commands besides `train`, which reads its own arguments: they come from the table of keys.
#[derive(Debug, Subcommand)]
enum Command {
    /// Measure the selected model of a run again
    Eval(Eval),
    /// Write the selected model of a run as safetensors, under PyTorch's names
    Export(Export),
    /// Measure the parts of a run
    #[command(subcommand)]
    Bench(Bench),
    /// Print the completions of these commands for a shell
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Print the manual page, or write those of all commands into a folder
    Man {
        /// Folder to write into
        folder: Option<PathBuf>,
    },
    /// Prepare, check and look at datasets
    #[cfg(feature = "data")]
    #[command(subcommand)]
    Data(data::arguments::Data),
}

/// What `lcsl bench` measures.
#[derive(Debug, Subcommand)]
enum Bench {
    /// Time training steps on drawn images
    Step(bench_step::StepBench),
    /// Time sums over all ranks, beside a bare call of MPI
    Allreduce(AllreduceBench),
}

/// Arguments of `lcsl bench allreduce`.
#[derive(Debug, Args)]
pub struct AllreduceBench {
    /// Ranks
    #[arg(long, default_value_t = 2, value_parser = counted(1..=65_536))]
    pub nproc: usize,
    /// Size of the sum in MiB of float32
    #[arg(long, default_value_t = 25, value_parser = counted(1..=8191))]
    pub mib: usize,
    /// Sums that are timed, after three that are not
    #[arg(long, default_value_t = 40, value_parser = counted(1..=1_000_000))]
    pub repeats: usize,
    /// Hosts as for mpirun --host, such as a:4,b:4; this machine alone if left out
    #[arg(long, default_value = "")]
    pub hosts: String,
    /// Answer with one JSON object on standard output
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `lcsl eval`.
#[derive(Debug, Args)]
pub struct Eval {
    /// Directory of the run
    pub run_dir: PathBuf,
    /// Which images to measure on
    #[arg(long, value_enum, default_value = "test")]
    pub split: Split,
    /// Average the logits of an image and its mirror image [default: as the run was configured]
    #[arg(long, value_name = "BOOL", action = ArgAction::Set, num_args = 0..=1,
          require_equals = true, default_missing_value = "true")]
    pub tta: Option<bool>,
    /// Normalise the classifier with this exponent first
    #[arg(long = "tau_norm", alias = "tau-norm", value_name = "TAU")]
    pub tau_norm: Option<f64>,
    /// Write what the model says of each image to this file, as CSV
    #[arg(long, value_name = "FILE")]
    pub predictions: Option<PathBuf>,
    /// Answer with one JSON object on standard output
    #[arg(long)]
    pub json: bool,
}

/// The images of `lcsl eval`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Split {
    /// The test set
    Test,
    /// The images that the model was selected on
    Val,
}

/// Arguments of `lcsl export`.
#[derive(Debug, Args)]
pub struct Export {
    /// Directory of the run
    pub run_dir: PathBuf,
    /// File to write
    pub out: PathBuf,
    /// Write the labelling copy, whose classifier rows have norm 1
    #[arg(long)]
    pub teacher: bool,
    /// Overwrite the file if it is there
    #[arg(long)]
    pub force: bool,
}

/// A count within limits.
fn counted(limits: RangeInclusive<i64>) -> impl TypedValueParser<Value = usize> {
    clap::value_parser!(i64).range(limits).map(|count| count as usize)
}

/// Runs the command that `arguments` (the program's name first) ask for, and returns the exit code.
pub fn run(arguments: &[OsString]) -> u8 {
    let done = match arguments.get(1) {
        Some(name) if name == "train" => train::run(&arguments[2..]),
        Some(name) if name == "--version" => terminal::print(&version::text()).map(|()| exit::DONE),
        _ => match parse(arguments) {
            Ok(Command::Eval(eval)) => inspect::eval(&eval),
            Ok(Command::Export(export)) => inspect::export(&export),
            Ok(Command::Bench(Bench::Step(asked))) => bench_step::run(&asked),
            Ok(Command::Bench(Bench::Allreduce(asked))) => bench_allreduce::run(&asked),
            Ok(Command::Completions { shell }) => documents::completions(shell),
            Ok(Command::Man { folder }) => documents::manual(folder.as_deref()),
            #[cfg(feature = "data")]
            Ok(Command::Data(asked)) => data::run(&asked),
            Err(error) => {
                // Help on a closed standard output is nobody's problem.
                let _ = error.print();
                return u8::try_from(error.exit_code()).unwrap_or(exit::USAGE);
            }
        },
    };
    done.unwrap_or_else(|fault: Fault| {
        terminal::show_fault(&fault);
        if wants_json(arguments) {
            terminal::print_fault(&fault);
        }
        fault.exit_code
    })
}

/// Whether a script asked for JSON; asked of the raw arguments, since these may be what is wrong.
fn wants_json(arguments: &[OsString]) -> bool {
    arguments.iter().any(|argument| argument == "--json" || argument == "--json=true")
}

/// All commands, with `train`, whose arguments come from the table of keys.
pub fn command(train: clap::Command) -> clap::Command {
    let command = Arguments::command().subcommand(train);
    let mut order = vec!["train", "eval", "export", "data", "bench", "completions", "man"];
    order.retain(|name| command.find_subcommand(name).is_some()); // `data` is a feature
    order.iter().enumerate().fold(command, |command, (place, name)| {
        command.mut_subcommand(name, |subcommand| subcommand.display_order(place))
    })
}

fn parse(arguments: &[OsString]) -> Result<Command, clap::Error> {
    let command = command(lcsl_config::train_clap_command());
    let mut matches = command.try_get_matches_from(arguments)?;
    Ok(Arguments::from_arg_matches_mut(&mut matches)?.command)
}
