//! A folder belongs to one preparation, until that is done.
//!
//! `prepare.json` holds two lines: the fingerprint of the plan, and that of the command. A command that is given
//! again goes on, also where its files have been mended or removed meanwhile; shards that still hold what they
//! should are found again by what is in them.

use std::fs;
use std::io;
use std::path::Path;

use super::error::PrepareError;
use super::manifest::{DatasetManifest, write_whole};
use super::plan::PlannedSplit;
use super::request::{OnUnreadable, PrepareRequest};

/// What is being prepared in a folder.
pub(super) const STATE_FILE: &str = "prepare.json";

/// What a preparation is known by.
pub(super) struct Claim {
    /// Everything that decides what is written.
    pub(super) plan: String,
    /// Everything that was asked for.
    pub(super) command: String,
}

impl Claim {
    /// Takes the folder for this preparation, or finds it done.
    pub(super) fn make(
        &self,
        request: &PrepareRequest,
    ) -> Result<Option<DatasetManifest>, PrepareError> {
        let out = &request.out;
        let other = |what: &str| PrepareError::Usage {
            what: format!("{} holds {what}", out.display()),
            hint: "choose another --out, or remove what is there".to_owned(),
        };
        if let Some(manifest) = DatasetManifest::read(out).map_err(crate::DataError::from)? {
            if manifest.fingerprint != self.plan {
                return Err(other("another prepared dataset"));
            }
            if manifest.left_out > 0 && request.on_unreadable == OnUnreadable::Fail {
                return Err(other("this dataset without the images that could not be read"));
            }
            return Ok(Some(manifest));
        }
        let path = out.join(STATE_FILE);
        match fs::read_to_string(&path) {
            Ok(text) => {
                let mut lines = text.lines();
                let is_this = lines.next() == Some(&self.plan);
                if !is_this && lines.next() != Some(&self.command) {
                    return Err(other("the beginning of another preparation"));
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(PrepareError::disk("read", &path, error)),
        }
        let text = format!("{}\n{}\n", self.plan, self.command);
        write_whole(&path, text.as_bytes())
            .map_err(|error| PrepareError::disk("write", &path, error))?;
        Ok(None)
    }
}

/// The fingerprint of everything that was asked for, but for what does not decide what is stored.
pub(super) fn command(request: &PrepareRequest, settings: &str) -> String {
    let PrepareRequest { imb_factor, test_share, val_per_class, test_per_class, .. } = request;
    let text = format!(
        "{} {} {settings} {imb_factor:?} {test_share:?} {val_per_class} {test_per_class} {:?}",
        request.dataset,
        request.root.display(),
        request.counts
    );
    blake3::hash(text.as_bytes()).to_string()
}

/// Removes shards that an earlier attempt wrote and that are too many now, since files were removed.
pub(super) fn remove_surplus(
    request: &PrepareRequest,
    splits: &[PlannedSplit],
) -> Result<(), PrepareError> {
    for name in ["train", "val", "test"] {
        let planned = splits.iter().find(|part| part.name == name);
        let images = planned.map_or(0, |part| part.items.len());
        let shards = images.div_ceil(request.images_per_shard as usize);
        let Ok(entries) = fs::read_dir(request.out.join(name)) else { continue };
        for path in entries.flatten().map(|entry| entry.path()) {
            if number_of(&path).is_some_and(|number| number >= shards) {
                fs::remove_file(&path)
                    .map_err(|error| PrepareError::disk("remove", &path, error))?;
            }
        }
    }
    Ok(())
}

/// The number of the shard that a file belongs to: `shard-00003.tar` to number 3.
fn number_of(path: &Path) -> Option<usize> {
    let name = path.file_name()?.to_str()?.strip_prefix("shard-")?;
    name.split_once('.')?.0.parse().ok()
}
