//! `lcsl data …`: datasets on disk. The work is done by `lcsl-data`; here it is asked for and shown.

pub mod arguments;
mod bench;
pub mod fetch;
mod index;
mod inspect;
mod prepare;
mod progress;
mod verify;

use arguments::Data;

use crate::exit;
use crate::fault::Fault;

/// Runs one of the commands and returns the exit code.
pub fn run(asked: &Data) -> Result<u8, Fault> {
    match asked {
        Data::Fetch(asked) => fetch::run(asked),
        Data::Prepare(asked) => prepare::run(asked),
        Data::Index(asked) => index::run(asked),
        Data::Verify(asked) => verify::run(asked),
        Data::Inspect(asked) => inspect::run(asked),
        Data::Bench(asked) => bench::run(asked),
    }
}

/// A fault in data.
fn bad_data(error: &lcsl_data::DataError) -> Fault {
    Fault { hint: error.hint(), ..Fault::new(error.to_string(), exit::BAD_DATA) }
}
