//! Checkpoints on disk: a directory each, there whole or not at all.
//!
//! ```text
//! checkpoints/.step-0000000924.tmp/      being written: ignored by everyone, removed by the next writer
//! checkpoints/.step-0000000924.replaced/ the one of the same step before it: whole, until the new one stands
//! checkpoints/step-0000000924/
//!   model.safetensors                    all tensors; synced first
//!   manifest.json                        everything else, and the digest of the tensor file
//!   manifest.json.b3                     the digest of the manifest; synced last
//! ```
//!
//! The directory is renamed into place when all files are on disk, so a crash at any moment leaves
//! the older checkpoints and, at worst, a hidden directory. [`newest`] still checks each digest: a
//! disk can lose what it promised, or give back another bit.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use lcsl_run_dir::names::{self, MANIFEST, MANIFEST_DIGEST, METRICS, TENSORS};
use serde::{Deserialize, Serialize};

use super::RunDir;
use super::durable::{DiskContext, DiskError, sync_directory_of};
use super::totals::{LabelCounts, RunningTotals, UnlabelledCounts};
use crate::admission::{AdmissionDigest, Ledger};

/// Everything that a run needs to go on, besides tensors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Version of this format.
    pub format: u32,
    /// Version of the program that wrote it.
    pub version: String,
    /// Where training goes on.
    pub position: Position,
    /// What admission remembers.
    pub ledger: Ledger,
    /// Chain of all admission decisions so far.
    pub admission_digest: AdmissionDigest,
    /// The best model so far; its tensors are in the tensor file.
    pub best: Option<Best>,
    /// Sums that reports are made of.
    #[serde(rename = "tally")]
    pub totals: RunningTotals,
    /// Training images skipped because their records are corrupt, by epoch.
    #[serde(default)]
    pub corrupt: Vec<u64>,
    /// How many unlabelled images were admitted.
    #[serde(default, skip_serializing_if = "UnlabelledCounts::is_empty")]
    pub unlabelled: UnlabelledCounts,
    /// What the teacher's labels were like in the epoch at hand.
    #[serde(default)]
    pub labels: LabelCounts,
    /// Length of `metrics.jsonl` at this moment, bytes.
    pub metrics_bytes: u64,
    /// Lengths of other files to which events go.
    #[serde(default, skip_serializing_if = "Marks::is_empty")]
    pub marks: Marks,
    /// blake3 of the tensor file, hexadecimal.
    pub tensors_digest: String,
}

/// Files of a run directory to which events go, and how much of each is older than a checkpoint, in bytes.
pub type Marks = BTreeMap<String, u64>;

impl Manifest {
    /// The marks of all files of events.
    pub fn all_marks(&self) -> Marks {
        let mut marks = self.marks.clone();
        marks.insert(METRICS.to_owned(), self.metrics_bytes);
        marks
    }
}

/// What every manifest has had from the beginning.
#[derive(Deserialize)]
struct Format {
    format: u32,
    version: String,
}

/// Version of the format that this program reads and writes.
pub const FORMAT: u32 = 2;

/// A place between two steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Position {
    /// Epoch, from 0.
    pub epoch: u64,
    /// Steps of it already made.
    pub step_in_epoch: u64,
    /// Optimiser steps made since the run began.
    pub step: u64,
}

/// The best model so far.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Best {
    /// Epoch after which it was measured, from 0.
    pub epoch: u64,
    /// Mean of its per-class accuracies on the images it was selected on, 0..1.
    pub accuracy: f64,
}

/// A whole checkpoint.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// Its directory.
    pub directory: PathBuf,
    /// Its manifest.
    pub manifest: Manifest,
}

/// Writes a checkpoint. `write_tensors` gets the path of the tensor file to make. Returns the name
/// of the checkpoint's directory.
///
/// # Errors
/// What the disk reports; nothing that was whole before is touched.
pub fn write(
    run_dir: &RunDir,
    manifest: Manifest,
    write_tensors: impl FnOnce(&Path) -> std::io::Result<()>,
) -> Result<String, DiskError> {
    let parent = run_dir.checkpoints();
    fs::create_dir_all(&parent).or_disk("create", &parent)?;
    let name = names::checkpoint(manifest.position.step);
    let beside = parent.join(format!(".{name}{BEING_WRITTEN}"));
    remove_if_there(&beside)?;
    fs::create_dir(&beside).or_disk("create", &beside)?;
    fill(&beside, manifest, write_tensors).inspect_err(|_| {
        let _ = remove_if_there(&beside); // half of it would only fill the disk
    })?;

    // A run that went back to an older checkpoint comes by here again: the old one is kept until the
    // new one stands.
    let place = parent.join(&name);
    let replaced = parent.join(format!(".{name}{REPLACED}"));
    if place.exists() {
        remove_if_there(&replaced)?;
        fs::rename(&place, &replaced).or_disk("rename", &place)?;
    }
    fs::rename(&beside, &place).or_disk("rename to", &place)?;
    sync_directory_of(&place)?;
    remove_if_there(&replaced)?;
    Ok(name)
}

/// Writes the files of a checkpoint, and makes sure that they are on disk.
fn fill(
    beside: &Path,
    mut manifest: Manifest,
    write_tensors: impl FnOnce(&Path) -> std::io::Result<()>,
) -> Result<(), DiskError> {
    let tensors = beside.join(TENSORS);
    write_tensors(&tensors).or_disk("write", &tensors)?;
    File::open(&tensors).and_then(|file| file.sync_all()).or_disk("sync", &tensors)?;
    manifest.tensors_digest = digest(&tensors).or_disk("read", &tensors)?;

    let path = beside.join(MANIFEST);
    let text = serde_json::to_vec_pretty(&manifest)
        .map_err(std::io::Error::from)
        .or_disk("write", &path)?;
    super::durable::write(&path, &text)?;
    super::durable::write(&beside.join(MANIFEST_DIGEST), digest_line(&text).as_bytes())
}

/// What stands beside a manifest of this text.
fn digest_line(manifest: &[u8]) -> String {
    format!("{}  {MANIFEST}\n", blake3::hash(manifest).to_hex())
}

/// The newest whole checkpoint, and what is wrong with newer ones that are not whole, a sentence
/// each.
pub fn newest(run_dir: &RunDir) -> Result<(Option<Found>, Vec<String>), DiskError> {
    let mut broken = Vec::new();
    let mut candidates = list(run_dir)?;
    candidates.extend(hidden(run_dir, REPLACED)?);
    candidates.sort_by_key(|directory| (step_name(directory), !is_hidden(directory)));
    for directory in candidates.into_iter().rev() {
        match read(&directory) {
            Ok(manifest) => {
                return Ok((Some(Found { directory, manifest }), broken));
            }
            Err(why) => broken.push(format!("checkpoint {} is {why}", directory.display())),
        }
    }
    Ok((None, broken))
}

/// Removes all but the newest `keep` checkpoints, counted back from `written`, which was just
/// written and is whole. What claims to be newer belongs to steps that were given up, or is broken; what is hidden
/// was left by a writer that died.
pub fn prune(run_dir: &RunDir, written: &str, keep: usize) -> Result<(), DiskError> {
    let is_older = |directory: &&PathBuf| {
        directory.file_name().is_some_and(|name| name.to_string_lossy().as_ref() <= written)
    };
    let checkpoints = list(run_dir)?;
    let older = checkpoints.iter().take_while(is_older).count();
    let first = older.saturating_sub(keep.max(1));
    for directory in checkpoints[..first].iter().chain(&checkpoints[older..]) {
        remove_if_there(directory)?;
    }
    for directory in hidden(run_dir, BEING_WRITTEN)?.iter().chain(&hidden(run_dir, REPLACED)?) {
        remove_if_there(directory)?;
    }
    Ok(())
}

/// Ends the name of a directory that is being written.
const BEING_WRITTEN: &str = ".tmp";

/// Ends the name of a checkpoint whose place another takes.
const REPLACED: &str = ".replaced";

fn is_hidden(directory: &Path) -> bool {
    directory.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'))
}

/// The name that a checkpoint has, or had before it was hidden: in the order of steps.
fn step_name(directory: &Path) -> String {
    let name = directory.file_name().unwrap_or_default().to_string_lossy();
    name.trim_start_matches('.').trim_end_matches(REPLACED).to_owned()
}

/// Hidden directories with this ending.
fn hidden(run_dir: &RunDir, ending: &str) -> Result<Vec<PathBuf>, DiskError> {
    entries(run_dir, |name| {
        let inner = name.strip_prefix('.').and_then(|name| name.strip_suffix(ending));
        inner.is_some_and(names::is_checkpoint)
    })
}

/// Directories of checkpoints, oldest first.
fn list(run_dir: &RunDir) -> Result<Vec<PathBuf>, DiskError> {
    entries(run_dir, names::is_checkpoint)
}

/// What has such a name in the folder of checkpoints, by name.
fn entries(run_dir: &RunDir, is_wanted: impl Fn(&str) -> bool) -> Result<Vec<PathBuf>, DiskError> {
    let parent = run_dir.checkpoints();
    let entries = match fs::read_dir(&parent) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.or_disk("read", &parent)?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.or_disk("read", &parent)?;
        if is_wanted(&entry.file_name().to_string_lossy()) {
            found.push(entry.path());
        }
    }
    found.sort(); // the order of names is the order of steps
    Ok(found)
}

fn read(directory: &Path) -> Result<Manifest, String> {
    let text = fs::read(directory.join(MANIFEST))
        .map_err(|error| format!("not whole: no readable {MANIFEST} ({error})"))?;
    let format: Format = serde_json::from_slice(&text)
        .map_err(|error| format!("not whole: {MANIFEST} cannot be understood ({error})"))?;
    if format.format != FORMAT {
        let Format { format, version } = format;
        return Err(format!("of format {format}, which lcsl {version} wrote, not of {FORMAT}"));
    }
    let noted = fs::read_to_string(directory.join(MANIFEST_DIGEST))
        .map_err(|error| format!("not whole: no readable {MANIFEST_DIGEST} ({error})"))?;
    if noted != digest_line(&text) {
        return Err(format!("not whole: {MANIFEST} does not have the digest that was noted"));
    }
    let manifest: Manifest = serde_json::from_slice(&text)
        .map_err(|error| format!("not whole: {MANIFEST} cannot be understood ({error})"))?;
    let digest = digest(&directory.join(TENSORS))
        .map_err(|error| format!("not whole: no readable {TENSORS} ({error})"))?;
    if digest != manifest.tensors_digest {
        return Err(format!("not whole: {TENSORS} does not have the digest that was noted"));
    }
    Ok(manifest)
}

fn digest(path: &Path) -> std::io::Result<String> {
    let mut hasher = blake3::Hasher::new();
    std::io::copy(&mut File::open(path)?, &mut hasher)?;
    Ok(hasher.finalize().to_hex().to_string())
}

fn remove_if_there(directory: &Path) -> Result<(), DiskError> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        other => other.or_disk("remove", directory),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::run_dir) fn manifest(step: u64) -> Manifest {
        Manifest {
            format: FORMAT,
            version: "0".to_owned(),
            position: Position { epoch: 0, step_in_epoch: step, step },
            ledger: Ledger::new(2),
            admission_digest: AdmissionDigest::default(),
            best: None,
            totals: RunningTotals::default(),
            corrupt: Vec::new(),
            unlabelled: UnlabelledCounts::default(),
            labels: LabelCounts::default(),
            metrics_bytes: 0,
            marks: Marks::default(),
            tensors_digest: String::new(),
        }
    }

    fn save(run_dir: &RunDir, step: u64) -> String {
        write(run_dir, manifest(step), |path| fs::write(path, step.to_string())).unwrap()
    }

    fn newest_step(run_dir: &RunDir) -> Option<u64> {
        newest(run_dir).unwrap().0.map(|found| found.manifest.position.step)
    }

    #[test]
    fn the_newest_whole_one_wins() {
        let folder = tempfile::tempdir().unwrap();
        let run_dir = RunDir::at(folder.path());
        assert_eq!(newest_step(&run_dir), None);
        for step in [9, 10, 1000] {
            save(&run_dir, step);
        }
        assert_eq!(newest_step(&run_dir), Some(1000));
        let checkpoints = run_dir.checkpoints();
        fs::write(checkpoints.join("step-0000001000").join(TENSORS), "cut").unwrap();
        assert_eq!(newest_step(&run_dir), Some(10));
        fs::remove_file(checkpoints.join("step-0000000010").join(MANIFEST)).unwrap();
        let (found, broken) = newest(&run_dir).unwrap();
        assert_eq!(found.unwrap().manifest.position.step, 9);
        assert_eq!(broken.len(), 2, "{broken:?}");
    }

    #[test]
    fn a_write_that_fails_harms_nothing_and_is_swept_up_later() {
        let folder = tempfile::tempdir().unwrap();
        let run_dir = RunDir::at(folder.path());
        save(&run_dir, 1);
        let full = std::io::Error::from(std::io::ErrorKind::StorageFull);
        let error = write(&run_dir, manifest(2), |_| Err(full)).unwrap_err();
        assert!(error.to_string().starts_with("cannot write "), "{error}");
        assert_eq!(newest_step(&run_dir), Some(1));
        save(&run_dir, 2);
        assert_eq!(newest_step(&run_dir), Some(2));
        assert!(!run_dir.checkpoints().join(".step-0000000002.tmp").exists());
    }

    /// Story: with `keep_last = 1` a run that came by its only checkpoint again was killed between the two renames.
    /// The old one had its hidden name then, the new one not yet its own, and the run began anew.
    #[test]
    fn a_checkpoint_that_was_being_replaced_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let run_dir = RunDir::at(folder.path());
        save(&run_dir, 6);
        let place = run_dir.checkpoints().join("step-0000000006");
        fs::rename(&place, run_dir.checkpoints().join(".step-0000000006.replaced")).unwrap();
        assert_eq!(newest_step(&run_dir), Some(6));
        let written = save(&run_dir, 6);
        prune(&run_dir, &written, 1).unwrap();
        assert_eq!(newest_step(&run_dir), Some(6));
        assert_eq!(fs::read_dir(run_dir.checkpoints()).unwrap().count(), 1);
    }

    /// Story: the folder of a save that was killed stayed for ever, unless the same step was saved again.
    #[test]
    fn what_a_killed_writer_left_is_removed_by_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let run_dir = RunDir::at(folder.path());
        fs::create_dir_all(run_dir.checkpoints().join(".step-0000000003.tmp")).unwrap();
        let written = save(&run_dir, 7);
        prune(&run_dir, &written, 2).unwrap();
        assert_eq!(fs::read_dir(run_dir.checkpoints()).unwrap().count(), 1);
    }

    /// Story: one bit of the manifest made step 5 of step 4, and the run went on from the tensors of one step with the
    /// ledger and the order of another.
    #[test]
    fn a_flipped_bit_or_a_cut_file_never_gives_another_state() {
        let folder = tempfile::tempdir().unwrap();
        let run_dir = RunDir::at(folder.path());
        save(&run_dir, 4);
        let newer = run_dir.checkpoints().join(save(&run_dir, 5));
        let whole = newest(&run_dir).unwrap().0.unwrap();
        let mut tried = 0;
        for name in [TENSORS, MANIFEST, MANIFEST_DIGEST] {
            let path = newer.join(name);
            let bytes = fs::read(&path).unwrap();
            let flipped = (0..bytes.len() * 8).map(|bit| {
                let mut other = bytes.clone();
                other[bit / 8] ^= 1 << (bit % 8);
                other
            });
            for other in flipped.chain((0..bytes.len()).map(|cut| bytes[..cut].to_vec())) {
                fs::write(&path, other).unwrap();
                let (found, broken) = newest(&run_dir).unwrap();
                assert_eq!(found.unwrap().manifest.position.step, 4, "{name}");
                assert_eq!(broken.len(), 1);
                tried += 1;
            }
            fs::write(&path, bytes).unwrap();
        }
        assert!(tried > 1_000, "{tried}");
        assert_eq!(newest(&run_dir).unwrap().0.unwrap(), whole);
    }

    #[test]
    fn only_the_last_ones_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let run_dir = RunDir::at(folder.path());
        for step in 1..=5 {
            save(&run_dir, step);
        }
        prune(&run_dir, "step-0000000005", 2).unwrap();
        let left = list(&run_dir).unwrap();
        assert_eq!(left.len(), 2);
        assert_eq!(newest_step(&run_dir), Some(5));
        prune(&run_dir, "step-0000000005", 0).unwrap();
        assert_eq!(newest_step(&run_dir), Some(5), "the newest is never removed");
    }

    /// A run went back behind a broken checkpoint, wrote an older one, and pruning, which counted from
    /// the highest number, removed the only whole one.
    #[test]
    fn a_broken_checkpoint_does_not_outlive_a_whole_one() {
        let folder = tempfile::tempdir().unwrap();
        let run_dir = RunDir::at(folder.path());
        save(&run_dir, 9);
        fs::remove_file(run_dir.checkpoints().join("step-0000000009").join(TENSORS)).unwrap();
        let written = save(&run_dir, 6);
        prune(&run_dir, &written, 1).unwrap();
        assert_eq!(newest_step(&run_dir), Some(6));
        assert_eq!(list(&run_dir).unwrap().len(), 1);
    }
}
