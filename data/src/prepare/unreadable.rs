//! Images that could not be read: collected from all threads, and written down beside the manifest.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use super::error::PrepareError;
use super::manifest::write_whole;
use super::plan::PlannedSplit;
use super::problems::DataProblems;

/// Its name in the folder of a prepared dataset: a line for each image, its file and the reason.
pub(super) const UNREADABLE_FILE: &str = "unreadable.txt";

/// An image that could not be read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Unreadable {
    /// Number of its split.
    pub(super) part: usize,
    /// Its place in the split.
    pub(super) place: usize,
    /// Why, in words that go on after its name.
    pub(super) reason: String,
}

/// What threads have found so far.
#[derive(Debug, Default)]
pub(super) struct Found(Mutex<Vec<Unreadable>>);

impl Found {
    pub(super) fn add(&self, unreadable: Unreadable) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(unreadable);
    }

    /// All of them, in the order of the images.
    pub(super) fn into_sorted(self) -> Vec<Unreadable> {
        let mut found = self.0.into_inner().unwrap_or_else(PoisonError::into_inner);
        found.sort();
        found
    }
}

/// Them as problems, and where they are all listed.
pub(super) fn problems(found: &[Unreadable], splits: &[PlannedSplit]) -> DataProblems {
    let mut problems = DataProblems::default();
    for line in lines(found, splits) {
        problems.add("images that cannot be stored", line);
    }
    problems
}

/// Writes the list into `out`, or removes that of an earlier attempt where there is nothing to list.
pub(super) fn write(
    out: &Path,
    found: &[Unreadable],
    splits: &[PlannedSplit],
) -> Result<(), PrepareError> {
    let path = out.join(UNREADABLE_FILE);
    if found.is_empty() {
        return match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(PrepareError::disk("remove", &path, error))
            }
            _ => Ok(()),
        };
    }
    let text: String = lines(found, splits).map(|line| line + "\n").collect();
    write_whole(&path, text.as_bytes()).map_err(|error| PrepareError::disk("write", &path, error))
}

/// Takes them out of the plan.
pub(super) fn leave_out(found: &[Unreadable], splits: &mut [PlannedSplit]) {
    // From the end, so that the places of the others stay true.
    for Unreadable { part, place, .. } in found.iter().rev() {
        splits[*part].items.remove(*place);
    }
}

fn lines<'a>(
    found: &'a [Unreadable],
    splits: &'a [PlannedSplit],
) -> impl Iterator<Item = String> + 'a {
    found.iter().map(|Unreadable { part, place, reason }| {
        format!("{} {reason}", splits[*part].items[*place].name)
    })
}
