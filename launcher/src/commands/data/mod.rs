//! `lcsl data …`: datasets on disk. The work is done by `lcsl-data`; here it is asked for and shown.

mod bench;
mod dataset;
mod fault;
pub mod fetch;
mod idle_flags;
mod index;
mod inspect;
mod prepare;
mod progress;
mod verify;

use clap::Subcommand;

use crate::fault::Fault;

/// The commands about datasets.
#[derive(Debug, Subcommand)]
pub enum DataCommand {
    /// Fetch a dataset that may be had without a login; for others, say where they are
    Fetch(fetch::Fetch),
    /// Make shards, an index and a manifest from a dataset as it is published
    Prepare(prepare::Prepare),
    /// Write an index for WebDataset shards that were made elsewhere
    Index(index::Index),
    /// Compare every checksum, and tell everything that is wrong
    Verify(verify::Verify),
    /// Show what is inside: counts, groups, sizes, and a contact sheet
    Inspect(inspect::Inspect),
    /// Time the loader that training uses, on images that are there
    Bench(bench::Bench),
}

/// Runs one of the commands and returns the exit code.
pub fn run(asked: &DataCommand) -> Result<u8, Fault> {
    match asked {
        DataCommand::Fetch(asked) => fetch::run(asked),
        DataCommand::Prepare(asked) => prepare::run(asked),
        DataCommand::Index(asked) => index::run(asked),
        DataCommand::Verify(asked) => verify::run(asked),
        DataCommand::Inspect(asked) => inspect::run(asked),
        DataCommand::Bench(asked) => bench::run(asked),
    }
}
