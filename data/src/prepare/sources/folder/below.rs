//! The images below a folder, whatever its folders mean.

use std::path::{Path, PathBuf};

use super::walk::{Met, walk};
use crate::prepare::error::PrepareError;

/// Every file below `root` that is called as an image is, sorted folder by folder. Links are followed, hidden files
/// passed over.
///
/// # Errors
/// When a folder cannot be read, or links lead nowhere.
pub fn images_below(root: &Path) -> Result<Vec<PathBuf>, PrepareError> {
    let mut met = Met::default();
    let folder = walk(root, &mut met)?;
    if !met.problems.is_empty() {
        return Err(PrepareError::Problems {
            root: root.to_owned(),
            problems: met.problems,
            hint: "name the images themselves, or mend the folder",
        });
    }
    let mut names = Vec::new();
    folder.add_paths("", &mut names);
    Ok(names.iter().map(|name| root.join(name)).collect())
}
