//! Where each image of a set came from: a line each, in the folder of its split.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;

/// The file's name.
pub const NAMES_FILE: &str = "names.txt";

/// What image `i` of the set in `folder` was made from; `None` where that is not known.
///
/// Reads the file up to this line: for messages, of which there are few.
pub fn source_name(folder: &Path, i: usize) -> Option<String> {
    let file = File::open(folder.join(NAMES_FILE)).ok()?;
    BufReader::new(file).lines().nth(i)?.ok()
}
