//! What is wrong with data, as the launcher says it.

use crate::exit;
use crate::fault::Fault;

/// A fault in data.
pub(super) fn bad_data(error: &lcsl_data::DataError) -> Fault {
    Fault { hint: error.hint(), ..Fault::new(error.to_string(), exit::BAD_DATA) }
}
