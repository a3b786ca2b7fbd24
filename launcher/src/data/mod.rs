//! `lcsl data …`: datasets on disk. The work is done by `lcsl-data`; here it is asked for and shown.

pub mod arguments;
mod bench;
pub mod fetch;
mod index;
mod inspect;
mod prepare;
mod progress;
mod verify;

use arguments::DataCommand;

use crate::exit;
use crate::fault::Fault;

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

/// A fault in data.
fn bad_data(error: &lcsl_data::DataError) -> Fault {
    Fault { hint: error.hint(), ..Fault::new(error.to_string(), exit::BAD_DATA) }
}
