//! `lcsl train`: parse, check, lock the run directory, start the ranks, watch them, show the
//! figures.

use std::ffi::OsString;
use std::fs;
use std::path::Path;

use lcsl_config::{
    Origin, Origins, Resume, RunConfig, Stop, TrainCommand, host_list, parse_train_in, to_toml,
};

use crate::commands::{dry_run, precision};
use crate::fault::Fault;
use crate::machine;
use crate::ranks::allocation;
use crate::ranks::group::{WorkerGroup, system_fault};
use crate::ranks::interface::{self, Interface};
use crate::ranks::programs::{SearchPaths, look};
use crate::report::table;
use crate::run_dir::{self, LockedRunDir, Opened};
use crate::surroundings;
use crate::terminal;
use lcsl_run_dir::{RunDir, exit};

/// Runs `lcsl train` with the arguments behind that word, and returns the exit code.
pub fn run(arguments: &[OsString]) -> Result<u8, Fault> {
    let (allocation, unlisted) = match allocation::look(&surroundings::variable) {
        Ok(allocation) => (allocation, None),
        Err(why) => (None, Some(why)),
    };
    let machine = machine::look();
    let mut command = match parse_train_in(arguments, &machine, allocation.as_ref()) {
        Ok(command) => command,
        Err(Stop::Text(text)) => return terminal::print(&text).map(|()| exit::DONE),
        Err(Stop::Problems(problems)) => {
            return Err(Fault::several(&problems.title(), &problems.0, exit::USAGE));
        }
    };
    surroundings::check(&surroundings::variable)?;
    resolve_run_dir(&mut command.config, &command.origins)?;
    let foreign = surroundings::notes(&command.config, &surroundings::variable);
    let unlisted = unlisted.filter(|_| command.config.run.hosts.is_empty());
    for note in command.notes.iter().chain(&foreign).chain(&unlisted) {
        terminal::show_note(note);
    }
    let installed = look(&SearchPaths::here(), command.config.run.nproc);
    precision::find_out(&mut command, &installed)?;
    if command.dry_run {
        return dry_run::show(&command, installed);
    }
    let config = &command.config;
    if command.write_config {
        return write_config(&command);
    }
    let (rank, libtorch) = installed.complete()?;
    let run_dir = match open(&command)? {
        Ok(run_dir) => run_dir,
        Err(code) => return Ok(code),
    };
    let interface = match config.run.host_slots().as_slice() {
        [] => None,
        hosts => interface::choose(&config.run.interface, hosts)?,
    };
    if let Some(Interface { name, address, network, .. }) = &interface {
        let hosts = host_list(&config.run.host_slots());
        terminal::show_note(&format!("training on {hosts}, over {name} ({address} in {network})"));
    }
    let competitors = surroundings::competitors(config, machine.cores, machine::running_elsewhere);
    if let Some(busy) = surroundings::competition(competitors, machine.cores) {
        terminal::show_note(&busy);
    }
    run_dir.write_config(&to_toml(config, &command.origins))?;
    let json = command.json;
    let origins = &command.origins;
    let group =
        WorkerGroup { config, origins, rank, libtorch, run_dir, interface, competitors, json };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| system_fault("start the event loop", &error))?;
    let code = runtime.block_on(group.train())?;
    if code == exit::DONE { report(group.run_dir.at(), command.json) } else { Ok(code) }
}

/// The run directory, locked; or the exit code, where the run in it is finished.
fn open(command: &TrainCommand) -> Result<Result<LockedRunDir, u8>, Fault> {
    let config = &command.config;
    match run_dir::open(config)? {
        Opened::Ready(run_dir) => {
            for note in run_dir.notes() {
                terminal::show_note(note);
            }
            Ok(Ok(run_dir))
        }
        Opened::Finished => {
            terminal::show_note(&format!("already finished: {}", config.run.run_dir.display()));
            report(&RunDir::at(&config.run.run_dir), command.json).map(Err)
        }
    }
}

/// `--write_config`: what ranks read, for whatever else starts them.
fn write_config(command: &TrainCommand) -> Result<u8, Fault> {
    let run_dir = match open(command)? {
        Ok(run_dir) => run_dir,
        Err(code) => return Ok(code),
    };
    run_dir.write_config(&to_toml(&command.config, &command.origins))?;
    let (place, ranks) = (command.config.run.run_dir.display(), command.config.run.nproc);
    terminal::show_note(&format!(
        "{place} is ready for {ranks} of `lcsl-rank train {place}`, such as by `srun --mpi=pmix -K1 -n{ranks}`"
    ));
    Ok(exit::DONE)
}

/// `--resume PATH` goes on with the run in that directory, which is then the run directory.
fn resolve_run_dir(config: &mut RunConfig, origins: &Origins) -> Result<(), Fault> {
    let Resume::Path(path) = &config.run.resume else {
        return Ok(());
    };
    let same = |a: &Path, b: &Path| match (fs::canonicalize(a), fs::canonicalize(b)) {
        (Ok(a), Ok(b)) => a == b,
        _ => a == b,
    };
    let chosen = !matches!(origins.get("run.run_dir"), Some(Origin::Auto { .. }));
    if chosen && !same(path, &config.run.run_dir) {
        return Err(Fault::usage(
            format!(
                "--resume names {}, but the run directory is {}",
                path.display(),
                config.run.run_dir.display()
            ),
            "a run goes on in its own directory: leave --run_dir out",
        ));
    }
    config.run.run_dir.clone_from(path);
    Ok(())
}

/// Shows the figures of a finished run.
fn report(run_dir: &RunDir, json: bool) -> Result<u8, Fault> {
    let path = run_dir.result();
    let unusable = |why: String| Fault {
        hint: Some("please report this, with logs/ of the run directory".to_owned()),
        ..Fault::new(format!("training ended, but {} {why}", path.display()), exit::BUG)
    };
    let text = fs::read(&path).map_err(|error| unusable(format!("cannot be read: {error}")))?;
    let not_understood = |error| unusable(format!("cannot be understood: {error}"));
    if json {
        let mut value: serde_json::Value = serde_json::from_slice(&text).map_err(not_understood)?;
        if let Some(figures) = value.as_object_mut() {
            figures.insert("run_dir".to_owned(), run_dir.root().to_string_lossy().into());
        }
        terminal::print(&format!("{value}\n"))?;
    } else {
        let result = serde_json::from_slice(&text).map_err(not_understood)?;
        terminal::print(&table::of_run(&result, run_dir.root()))?;
    }
    Ok(exit::DONE)
}
