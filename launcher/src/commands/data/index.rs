//! `lcsl data index`.

use std::path::PathBuf;

use clap::Args;
use lcsl_data::prepare::foreign;

use super::fault::bad_data;
use crate::fault::Fault;
use crate::report::table::counted;
use crate::terminal;
use lcsl_run_dir::exit;

/// Arguments of `lcsl data index`.
#[derive(Debug, Args)]
pub struct Index {
    /// Folder with the shards, *.tar
    pub folder: PathBuf,
    /// Number of classes [default: one more than the largest label]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=16_777_216))]
    pub classes: Option<u32>,
}

/// Runs `lcsl data index` and returns the exit code.
pub(super) fn run(asked: &Index) -> Result<u8, Fault> {
    let manifest = asked.folder.join(lcsl_data::prepare::manifest::MANIFEST_FILE);
    if manifest.exists() {
        return Err(Fault::usage(
            format!("{} was prepared here and has its indexes", asked.folder.display()),
            "name one of its splits, such as train, if an index is to be written again",
        ));
    }
    let each = |done: usize, total: usize| {
        if done.is_multiple_of(100) {
            terminal::show_line(&format!("{done} of {total} shards"));
        }
    };
    let indexed =
        foreign::index(&asked.folder, asked.classes, each).map_err(|error| bad_data(&error))?;
    for note in indexed.passed_over.notes() {
        terminal::show_note(&note);
    }
    terminal::print(&format!(
        "{}: {} of {} in {}\n",
        asked.folder.display(),
        counted(indexed.images, "image"),
        counted(u64::from(indexed.classes), "class"),
        counted(indexed.shards, "shard")
    ))?;
    Ok(exit::DONE)
}
