//! Images of which something is to be said: collected from all threads, and listed in files beside the manifest.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use super::error::PrepareError;
use super::manifest::write_whole;
use super::plan::PlannedSplit;
use super::problems::DataProblems;

/// Its name in the folder of a prepared dataset: images that could not be read, a line for each with the reason.
pub(super) const UNREADABLE_FILE: &str = "unreadable.txt";
/// Images that were stored and may be damaged all the same.
pub(super) const DOUBTFUL_FILE: &str = "doubtful.txt";

/// An image, and what there is to say of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct NotedImage {
    /// Number of its split.
    pub(super) part: usize,
    /// Its place in the split as it was planned.
    pub(super) place: usize,
    /// In words that go on after its name.
    pub(super) what: String,
}

/// What threads have found so far.
#[derive(Debug, Default)]
pub(super) struct Found(Mutex<Vec<NotedImage>>);

impl Found {
    pub(super) fn add(&self, image: NotedImage) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(image);
    }

    /// All of them, in the order of the images.
    pub(super) fn into_sorted(self) -> Vec<NotedImage> {
        let mut found = self.0.into_inner().unwrap_or_else(PoisonError::into_inner);
        found.sort();
        found
    }
}

/// Images that cannot be stored, as problems.
pub(super) fn problems(found: &[NotedImage], splits: &[PlannedSplit]) -> DataProblems {
    let mut problems = DataProblems::default();
    for line in lines(found, splits) {
        problems.add("images that cannot be stored", line);
    }
    problems
}

/// Writes the list `name` into `out`, or removes that of an earlier attempt where there is nothing to list.
pub(super) fn write(
    out: &Path,
    name: &str,
    found: &[NotedImage],
    splits: &[PlannedSplit],
) -> Result<(), PrepareError> {
    let path = out.join(name);
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
pub(super) fn leave_out(found: &[NotedImage], splits: &mut [PlannedSplit]) {
    // From the end, so that the places of the others stay true.
    for NotedImage { part, place, .. } in found.iter().rev() {
        splits[*part].items.remove(*place);
    }
}

fn lines<'a>(
    found: &'a [NotedImage],
    splits: &'a [PlannedSplit],
) -> impl Iterator<Item = String> + 'a {
    found.iter().map(|NotedImage { part, place, what }| {
        format!("{} {what}", splits[*part].items[*place].name)
    })
}
