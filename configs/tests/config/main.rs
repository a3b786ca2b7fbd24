//! What a person sees of the configuration: defaults, layers, messages, help, and the file beside
//! the results.

mod defaults;
mod help;
mod hosts;
mod layers;
mod methods;
mod problems;
mod published;
mod published_run;
mod round_trip;
mod unlabelled;

use std::path::Path;

use lcsl_config::{Machine, Problems, Stop, TrainCommand, train_command};

/// A machine of eight cores without a GPU.
const CPU: Machine = Machine { cores: 8, gpus: None };
/// A machine of eight cores and four GPUs.
const GPUS: Machine = Machine { cores: 8, gpus: Some(4) };

/// Runs the pure middle with the arguments separated by spaces, and with `run.toml` as the only
/// file there is.
fn train(arguments: &str, machine: &Machine, run_toml: &str) -> Result<TrainCommand, Stop> {
    let arguments: Vec<_> = arguments.split_whitespace().map(Into::into).collect();
    let read = |path: &Path| {
        let is_there = path == Path::new("run.toml");
        if is_there { Ok(run_toml.to_owned()) } else { Err("there is no such file".to_owned()) }
    };
    train_command(&arguments, machine, None, &read)
}

/// The command on a machine without a GPU, which must be right.
fn good(arguments: &str) -> TrainCommand {
    train(arguments, &CPU, "").unwrap_or_else(|stop| panic!("{arguments}: {stop}"))
}

/// The problems on `machine`, of which there must be some.
fn bad_on(arguments: &str, machine: &Machine, run_toml: &str) -> Problems {
    match train(arguments, machine, run_toml) {
        Err(Stop::Problems(problems)) if !problems.0.is_empty() => problems,
        other => panic!("{arguments}: {other:?}"),
    }
}

/// The problems on a machine without a GPU, of which there must be some.
fn bad(arguments: &str) -> Problems {
    bad_on(arguments, &CPU, "")
}
