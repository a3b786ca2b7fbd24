//! `lcsl train --dry_run`: what would be done, shown and not done.

use std::path::Path;

use lcsl_config::{TrainCommand, to_toml};
use serde_json::json;

use crate::fault::Fault;
use crate::ranks::command;
use crate::ranks::environment::{Inherited, LaunchEnvironment};
use crate::ranks::programs::Installed;
use crate::terminal;
use lcsl_run_dir::exit;

/// Shows what would be done, and does nothing. What is missing is only warned of: it may be asked
/// for another machine.
pub fn show(command: &TrainCommand, installed: Installed) -> Result<u8, Fault> {
    let config = &command.config;
    let inherited = Inherited::here();
    let launch = command::train(
        config,
        &LaunchEnvironment {
            rank: installed.rank.as_deref().unwrap_or(Path::new("lcsl-rank")),
            libtorch: installed.libtorch.as_deref(),
            control: "127.0.0.1:PORT",
            secret: "SECRET",
            inherited: &inherited,
            interface: None,
        },
    );
    if let Err(fault) = installed.complete() {
        terminal::show_warning(&fault.to_string());
    }
    let run_dir = config.run.run_dir.display();
    if command.json {
        let environment: serde_json::Map<String, serde_json::Value> = launch
            .environment
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.to_string_lossy().into()))
            .collect();
        let shown = json!({
            "run_dir": run_dir.to_string(),
            "command": launch.shell_line(),
            "environment": environment,
        });
        terminal::print(&format!("{shown}\n"))?;
    } else {
        let (toml, lines) = (to_toml(config, &command.origins), launch.environment_lines());
        let line = launch.shell_line();
        terminal::print(&format!(
            "{toml}\n# run directory\n{run_dir}\n\n# environment of the ranks\n{lines}\n\
             # command\n{line}\n"
        ))?;
    }
    Ok(exit::DONE)
}
