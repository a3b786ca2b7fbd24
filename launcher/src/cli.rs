//! The commands of `lcsl`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use clap_complete::Shell;

#[cfg(feature = "data")]
use crate::commands::data;
use crate::commands::{
    bench_allreduce, bench_step, documents, eval, export, import, posthoc, predict, submit, sweep,
    train, version,
};
use crate::fault::Fault;
use crate::terminal;
use lcsl_run_dir::exit;

/// Train image classifiers on long-tailed data, on one or many processes.
#[derive(Debug, Parser)]
#[command(name = "lcsl", version, arg_required_else_help = true, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

/// The commands besides `train`, `submit`, `posthoc` and `import`, which read their own arguments: they come from the
/// table of keys.
#[derive(Debug, Subcommand)]
enum Command {
    /// Train a grid of settings with several seeds, and compare them in a table
    Sweep(sweep::SweepRuns),
    /// Measure the selected model of a run again
    Eval(eval::Eval),
    /// Tell what the selected model of a run says of pictures
    Predict(predict::Predict),
    /// Write the selected model of a run as safetensors, under PyTorch's names, or as TorchScript
    Export(export::Export),
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
    Data(data::DataCommand),
}

/// What `lcsl bench` measures.
#[derive(Debug, Subcommand)]
enum Bench {
    /// Time training steps on drawn images
    Step(bench_step::StepBench),
    /// Time sums over all ranks, beside a bare call of MPI
    Allreduce(bench_allreduce::AllreduceBench),
}

/// Runs the command that `arguments` (the program's name first) ask for, and returns the exit code.
pub fn run(arguments: &[OsString]) -> u8 {
    let done = match arguments.get(1) {
        Some(name) if name == "train" => train::run(&arguments[2..]),
        Some(name) if name == "submit" => submit::run(&arguments[2..]),
        Some(name) if name == "posthoc" => posthoc::run(&arguments[2..]),
        Some(name) if name == "import" => import::run(&arguments[2..]),
        Some(name) if name == "--version" => terminal::print(&version::text()).map(|()| exit::DONE),
        _ => match parse(arguments) {
            Ok(Command::Sweep(asked)) => sweep::run(&asked),
            Ok(Command::Eval(asked)) => eval::run(&asked),
            Ok(Command::Predict(asked)) => predict::run(&asked),
            Ok(Command::Export(asked)) => export::run(&asked),
            Ok(Command::Bench(Bench::Step(asked))) => bench_step::run(&asked),
            Ok(Command::Bench(Bench::Allreduce(asked))) => bench_allreduce::run(&asked),
            Ok(Command::Completions { shell }) => {
                documents::completions(command(lcsl_config::train_completion_command()), shell)
            }
            Ok(Command::Man { folder }) => {
                let command = command(lcsl_config::train_clap_command());
                documents::manual(command, folder.as_deref())
            }
            #[cfg(feature = "data")]
            Ok(Command::Data(asked)) => data::run(&asked),
            Err(error) => {
                // An error while printing help is ignored: standard output may be closed.
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

/// All commands, with `train`, `submit`, `posthoc` and `import`, whose arguments come from the table of keys.
pub fn command(train: clap::Command) -> clap::Command {
    let others = [submit::command, posthoc::command, import::command];
    let others = others.map(|command| command(&train));
    let command = Arguments::command().subcommand(train).subcommands(others);
    let mut order = vec![
        "train",
        "submit",
        "sweep",
        "posthoc",
        "eval",
        "predict",
        "export",
        "import",
        "data",
        "bench",
        "completions",
        "man",
    ];
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_page_and_train_lists_its_flags() {
        let pages = documents::pages(command(lcsl_config::train_clap_command())).unwrap();
        let names: Vec<&str> = pages.iter().map(|(name, _)| name.as_str()).collect();
        assert!(names.starts_with(&["lcsl.1", "lcsl-train.1", "lcsl-submit.1"]), "{names:?}");
        let train = String::from_utf8(pages[1].1.clone()).unwrap();
        assert!(train.contains(r"\-\-imb_factor"), "{train}");
    }

    #[test]
    fn completions_offer_flags_and_the_words_of_choices() {
        let command = command(lcsl_config::train_completion_command());
        let script = documents::script(command, Shell::Bash);
        for word in ["--imb_factor", "resnet34_cifar", "fashion_mnist", "completions"] {
            assert!(script.contains(word), "{word}");
        }
    }
}
