//! `lcsl completions` and `lcsl man`: what the commands say of themselves, for shells and for `man`.
//!
//! Both are made from the very commands that read the arguments, so they cannot fall behind.

use std::fs;
use std::path::Path;

use clap::Command;
use clap_complete::Shell;
use clap_mangen::Man;

use crate::cli;
use crate::exit;
use crate::fault::Fault;
use crate::terminal;

/// Prints the completions of all commands for a shell.
pub fn completions(shell: Shell) -> Result<u8, Fault> {
    let mut command = cli::command(lcsl_config::train_completion_command());
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, "lcsl", &mut script);
    terminal::print(&String::from_utf8_lossy(&script)).map(|()| exit::DONE)
}

/// Prints the manual page of `lcsl`, or writes it and those of its commands into `folder`.
pub fn manual(folder: Option<&Path>) -> Result<u8, Fault> {
    let command = cli::command(lcsl_config::train_clap_command());
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
fn pages(mut command: Command) -> Result<Vec<(String, Vec<u8>)>, Fault> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_page_and_train_lists_its_flags() {
        let pages = pages(cli::command(lcsl_config::train_clap_command())).unwrap();
        let names: Vec<&str> = pages.iter().map(|(name, _)| name.as_str()).collect();
        assert!(names.starts_with(&["lcsl.1", "lcsl-train.1", "lcsl-eval.1"]), "{names:?}");
        let train = String::from_utf8(pages[1].1.clone()).unwrap();
        assert!(train.contains(r"\-\-imb_factor"), "{train}");
    }

    #[test]
    fn completions_offer_flags_and_the_words_of_choices() {
        let mut command = cli::command(lcsl_config::train_completion_command());
        let mut script = Vec::new();
        clap_complete::generate(Shell::Bash, &mut command, "lcsl", &mut script);
        let script = String::from_utf8(script).unwrap();
        for word in ["--imb_factor", "resnet34_cifar", "fashion_mnist", "completions"] {
            assert!(script.contains(word), "{word}");
        }
    }
}
