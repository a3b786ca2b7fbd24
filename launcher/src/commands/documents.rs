//! `lcsl completions` and `lcsl man`: what the commands say of themselves, for shells and for `man`.
//!
//! Both are made from the very commands that read the arguments, so they cannot fall behind.

use std::fs;
use std::path::Path;

use clap::Command;
use clap_complete::Shell;
use clap_mangen::Man;

use crate::fault::Fault;
use crate::terminal;
use lcsl_run_dir::exit;

/// Prints the completions of `command`, which holds all commands, for a shell.
pub fn completions(command: Command, shell: Shell) -> Result<u8, Fault> {
    terminal::print(&script(command, shell)).map(|()| exit::DONE)
}

/// The completions of a command and its subcommands.
pub fn script(mut command: Command, shell: Shell) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, "lcsl", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

/// Prints the manual page of `command`, which holds all commands, or writes it and those of its
/// subcommands into `folder`.
pub fn manual(command: Command, folder: Option<&Path>) -> Result<u8, Fault> {
    let Some(folder) = folder else {
        let (_, page) = page(command)?;
        return terminal::print(&String::from_utf8_lossy(&page)).map(|()| exit::DONE);
    };
    fs::create_dir_all(folder).map_err(|error| Fault::disk("create", folder, &error))?;
    for (name, page) in pages(command)? {
        let path = folder.join(name);
        fs::write(&path, page).map_err(|error| Fault::disk("write", &path, &error))?;
    }
    Ok(exit::DONE)
}

/// File name and text of the pages of a command and its subcommands.
///
/// # Errors
/// Our bug: a page that cannot be made.
pub fn pages(mut command: Command) -> Result<Vec<(String, Vec<u8>)>, Fault> {
    command.build(); // gives subcommands their full names
    let subcommands: Vec<Command> = command
        .get_subcommands()
        .filter(|subcommand| subcommand.get_name() != "help")
        .map(|subcommand| subcommand.clone().name(format!("lcsl-{}", subcommand.get_name())))
        .collect();
    std::iter::once(command).chain(subcommands).map(page).collect()
}

fn page(command: Command) -> Result<(String, Vec<u8>), Fault> {
    let name = format!("{}.1", command.get_name());
    let mut text = Vec::new();
    let written = Man::new(command).render(&mut text);
    written.map_err(|error| Fault::new(format!("cannot make {name}: {error}"), exit::BUG))?;
    Ok((name, text))
}
