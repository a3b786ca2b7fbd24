//! What is wrong with data, as the launcher says it.

use crate::fault::Fault;
use lcsl_run_dir::exit;

/// A fault in data.
pub(super) fn bad_data(error: &lcsl_data::DataError) -> Fault {
    Fault { hint: error.hint(), ..Fault::new(error.to_string(), exit::BAD_DATA) }
}
