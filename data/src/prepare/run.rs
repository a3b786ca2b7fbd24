//! A preparation from the request to the manifest.
//!
//! ```text
//! OUT/prepare.json             what is being prepared: another preparation does not mix with it
//! OUT/train/shard-00000.tar …  index.lcsl  names.txt       (val/, test/ alike)
//! OUT/manifest.json            written last; prepare.json then goes
//! ```
//!
//! `names.txt` has a line for each image: where it came from. `unreadable.txt` beside the manifest lists the
//! images that could not be read, `doubtful.txt` those that could and may be damaged all the same.

use std::fmt::Write as _;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use lcsl_text::counted_as;

use super::arrays;
use super::claim::{Claim, STATE_FILE, command, remove_surplus};
use super::duplicates;
use super::error::PrepareError;
use super::image::{StorageSettings, doubt};
use super::manifest::{DatasetManifest, ManifestSource, SplitEntry, write_whole};
use super::names::NAMES_FILE;
use super::noted::{self, DOUBTFUL_FILE, NotedImage, UNREADABLE_FILE};
use super::plan::{PlannedSplit, PreparePlan};
use super::problems::DataProblems;
use super::request::{OnUnreadable, PrepareRequest};
use super::sources::synthetic::Drawing;
use super::sources::{folder, inaturalist, long_tail, synthetic};
use super::work::{ImageOrigin, PrepareProgress, ShardWork, Written, shard_paths};
use crate::datasets::{self, DatasetId};
use crate::images::ImageSet;
use crate::shard::RecordForm;
use crate::shard::index::write_index;

const UNREADABLE_HINT: &str = "mend, fetch again or remove these files (unreadable.txt in --out lists them \
    all), or leave them out with --on_unreadable leave_out; the same command then goes on";
const LOCK_FILE: &str = ".lock";

/// What a preparation came to.
#[derive(Debug)]
pub struct Outcome {
    /// What is there now.
    pub manifest: DatasetManifest,
    /// How the dataset was understood, in sentences.
    pub notes: Vec<String>,
    /// It was there before, and nothing was done.
    pub already: bool,
}

/// Prepares a dataset.
///
/// # Errors
/// See [`PrepareError`]. After any of them, and after a kill, the same request goes on with what is
/// there.
pub fn prepare(
    request: &PrepareRequest,
    progress: &PrepareProgress,
) -> Result<Outcome, PrepareError> {
    check(request)?;
    fs::create_dir_all(&request.out)
        .map_err(|error| PrepareError::disk("make", &request.out, error))?;
    let _lock = lock(&request.out)?;
    match request.dataset {
        DatasetId::Cifar10 | DatasetId::Cifar100 | DatasetId::FashionMnist => {
            prepare_arrays(request)
        }
        _ => prepare_shards(request, progress),
    }
}

fn check(request: &PrepareRequest) -> Result<(), PrepareError> {
    let usage = |what: &str, hint: &str| {
        Err(PrepareError::Usage { what: what.to_owned(), hint: hint.to_owned() })
    };
    if request.imb_factor.is_some_and(|factor| !(factor > 0.0 && factor <= 1.0)) {
        return usage("the imbalance factor must be in (0, 1]", "0.01 is usual");
    }
    if request.imb_factor.is_some() && request.dataset != DatasetId::Folder {
        return usage(
            "only `folder` is cut by --imb_factor when it is prepared",
            "other datasets are long-tailed as published, or cut when a run starts",
        );
    }
    if request.test_share.is_some_and(|share| !(0.0..1.0).contains(&share)) {
        return usage("the share of test images must be at least 0 and below 1", "0.2 is usual");
    }
    let is_drawn = request.dataset == DatasetId::Synthetic;
    if is_drawn && request.val_per_class > 0 && request.test_per_class == 0 {
        return usage(
            "without test images, those for validation would be tested on",
            "ask for some with --test_per_class",
        );
    }
    if request.images_per_shard == 0 || request.image_size == 0 || request.max_side == Some(0) {
        return usage("sizes must be above 0", "leave them out for the defaults");
    }
    if request.max_side.is_some() && request.form != RecordForm::Jpeg {
        return usage("raw images have one size, so --max_side says nothing", "leave it out");
    }
    Ok(())
}

/// One preparation at a time in a folder; the lock goes with the process.
fn lock(out: &Path) -> Result<File, PrepareError> {
    let path = out.join(LOCK_FILE);
    let file = File::create(&path).map_err(|error| PrepareError::disk("create", &path, error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(PrepareError::Usage {
            what: format!("another preparation is at work in {}", out.display()),
            hint: "wait for it to end, or choose another --out".to_owned(),
        }),
        Err(TryLockError::Error(error)) => Err(PrepareError::disk("lock", &path, error)),
    }
}

fn prepare_shards(
    request: &PrepareRequest,
    progress: &PrepareProgress,
) -> Result<Outcome, PrepareError> {
    let (mut plan, images) = plan(request)?;
    plan.shuffle(request.seed);
    let settings = settings(request);
    let claimed = Claim { plan: plan.fingerprint(&settings), command: command(request, &settings) };
    if let Some(manifest) = claimed.make(request)? {
        return Ok(Outcome { manifest, notes: plan.notes, already: true });
    }
    remove_surplus(request, &plan.splits)?;
    let total: usize = plan.splits.iter().map(|part| part.items.len()).sum();
    progress.total.store(total as u64, Ordering::Relaxed);
    for part in &plan.splits {
        let folder = request.out.join(part.name);
        fs::create_dir_all(&folder).map_err(|error| PrepareError::disk("make", &folder, error))?;
    }
    let encoding = StorageSettings {
        form: request.form,
        max_side: request.max_side,
        quality: request.quality,
        decode: request.decode,
    };
    let work = ShardWork {
        splits: &plan.splits,
        images: &images,
        encoding,
        on_unreadable: request.on_unreadable,
        out: &request.out,
        images_per_shard: request.images_per_shard as usize,
        progress,
    };
    let (written, found) = work.run(request.threads)?;
    list_doubtful(request, &mut plan, &written)?;
    without_unreadable(request, &mut plan, &found)?;
    let manifest = finish_shards(request, &mut plan, &written, settings, claimed.plan)?;
    Ok(Outcome { manifest, notes: plan.notes, already: false })
}

/// Lists the images that were stored and may be damaged all the same.
fn list_doubtful(
    request: &PrepareRequest,
    plan: &mut PreparePlan,
    written: &[Vec<Written>],
) -> Result<(), PrepareError> {
    let mut found = Vec::new();
    for (part, shards) in written.iter().enumerate() {
        for &(place, extraneous_bytes) in shards.iter().flat_map(|shard| &shard.doubtful) {
            let what = doubt(extraneous_bytes);
            found.push(NotedImage { part, place: place as usize, what });
        }
    }
    noted::write(&request.out, DOUBTFUL_FILE, &found, &plan.splits)?;
    if !found.is_empty() {
        let (one, many) = ("image may be damaged: it has", "images may be damaged: they have");
        let images = counted_as(found.len() as u64, one, many);
        plan.warnings.push(format!("{images} bytes that belong to no pixel ({DOUBTFUL_FILE})"));
    }
    Ok(())
}

/// Lists the images that could not be read, and refuses to go on or takes them out of the plan.
fn without_unreadable(
    request: &PrepareRequest,
    plan: &mut PreparePlan,
    found: &[NotedImage],
) -> Result<(), PrepareError> {
    noted::write(&request.out, UNREADABLE_FILE, found, &plan.splits)?;
    if found.is_empty() {
        return Ok(());
    }
    let refused =
        |problems, hint| Err(PrepareError::Problems { root: request.root.clone(), problems, hint });
    if request.on_unreadable == OnUnreadable::Fail {
        return refused(noted::problems(found, &plan.splits), UNREADABLE_HINT);
    }
    noted::leave_out(found, &mut plan.splits);
    let mut problems = DataProblems::default();
    plan.find_empty_classes(&mut problems);
    if !problems.is_empty() {
        return refused(problems, UNREADABLE_HINT);
    }
    let images = if found.len() == 1 { "1 image" } else { &format!("{} images", found.len()) };
    plan.left_out = found.len() as u64;
    plan.warnings
        .push(format!("{images} cannot be read, and are left out: {UNREADABLE_FILE} lists them"));
    Ok(())
}

/// Indices, lists of names and the manifest.
fn finish_shards(
    request: &PrepareRequest,
    plan: &mut PreparePlan,
    written: &[Vec<Written>],
    settings: String,
    fingerprint: String,
) -> Result<DatasetManifest, PrepareError> {
    let deep: u64 = written.iter().flatten().map(|shard| shard.deep).sum();
    if deep > 0 {
        let images = if deep == 1 { "1 image has" } else { &format!("{deep} images have") };
        plan.warnings.push(format!("{images} more than 8 bits for each channel: made into 8"));
    }
    let source = ManifestSource {
        root: request.root.display().to_string(),
        lists: std::mem::take(&mut plan.lists),
    };
    let mut manifest =
        DatasetManifest::new(request.dataset.as_str(), request.form.word(), settings, source);
    let digests: Vec<Vec<u64>> = written
        .iter()
        .map(|shards| shards.iter().flat_map(|s| &s.records).map(|r| r.digest).collect())
        .collect();
    manifest.duplicates = duplicates::find(&digests, |part, image| {
        let part = &plan.splits[part];
        format!("{}: {}", part.name, part.items[image].name)
    });
    let classes = plan.class_names.len();
    for (part, shards) in plan.splits.iter().zip(written) {
        manifest.parts.push(finish_part(request, part, shards, classes)?);
    }
    manifest.left_out = plan.left_out;
    manifest.warnings = std::mem::take(&mut plan.warnings);
    manifest.class_names = std::mem::take(&mut plan.class_names);
    manifest.fingerprint = fingerprint;
    finish(&request.out, &manifest)?;
    for (part, shards) in plan.splits.iter().zip(written) {
        for number in 0..shards.len() {
            // What the index has as well; left behind, it would do no harm.
            let _ = fs::remove_file(shard_paths(&request.out.join(part.name), number).1);
        }
    }
    Ok(manifest)
}

fn plan(request: &PrepareRequest) -> Result<(PreparePlan, ImageOrigin), PrepareError> {
    let root = &request.root;
    let (plan, images) = match request.dataset {
        DatasetId::ImagenetLt | DatasetId::PlacesLt => {
            let places = request.dataset == DatasetId::PlacesLt;
            let published = if places { &long_tail::PLACES_LT } else { &long_tail::IMAGENET_LT };
            let (plan, folder) = long_tail::plan(published, root, request.official)?;
            (plan, ImageOrigin::Files(folder))
        }
        DatasetId::Inaturalist2018 => {
            (inaturalist::plan(root, request.official)?, ImageOrigin::Files(root.clone()))
        }
        DatasetId::Synthetic => {
            let plan = synthetic::plan(request)?;
            let classes = plan.class_names.len();
            let drawing = Drawing::new(request.seed, request.image_size, classes);
            (plan, ImageOrigin::Drawn(drawing))
        }
        _ => (folder::plan(request)?, ImageOrigin::Files(root.clone())),
    };
    Ok((plan, images))
}

/// Everything that decides what is stored, besides the plan.
fn settings(request: &PrepareRequest) -> String {
    let form = match request.form {
        RecordForm::Jpeg => match request.max_side {
            Some(side) => format!("jpeg, longest side {side}"),
            None => "jpeg as it comes".to_owned(),
        },
        RecordForm::Raw { side } => format!("raw, side {side}"),
    };
    let mut text = format!(
        "{form}, quality {}, seed {}, {} images per shard",
        request.quality, request.seed, request.images_per_shard
    );
    if request.dataset == DatasetId::Synthetic {
        let _ = write!(text, ", drawn {} pixels wide", request.image_size);
    }
    text
}

fn finish_part(
    request: &PrepareRequest,
    part: &PlannedSplit,
    shards: &[Written],
    classes: usize,
) -> Result<SplitEntry, PrepareError> {
    let folder = request.out.join(part.name);
    let names: String = part.items.iter().flat_map(|item| [item.name.as_str(), "\n"]).collect();
    let path = folder.join(NAMES_FILE);
    write_whole(&path, names.as_bytes())
        .map_err(|error| PrepareError::disk("write", &path, error))?;
    let table = shards.iter().map(|written| written.shard.clone()).collect();
    let records = || shards.iter().flat_map(|written| &written.records).copied();
    let images = part.items.len() as u64;
    write_index(&folder, request.form, classes as u32, table, images, records())
        .map_err(PrepareError::Disk)?;
    let (mut counts, mut bytes, mut hasher) = (vec![0; classes], 0, blake3::Hasher::new());
    for record in records() {
        counts[record.label as usize] += 1;
        bytes += record.length;
        hasher.update(&record.label.to_le_bytes());
        hasher.update(&record.digest.to_le_bytes());
    }
    let digest = hasher.finalize().to_string();
    let (name, shards) = (part.name.to_owned(), shards.len() as u64);
    Ok(SplitEntry { name, images, shards, bytes, counts, digest })
}

fn finish(out: &Path, manifest: &DatasetManifest) -> Result<(), PrepareError> {
    manifest.write(out)?;
    let state: PathBuf = out.join(STATE_FILE);
    match fs::remove_file(&state) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(PrepareError::disk("remove", &state, error))
        }
        _ => Ok(()),
    }
}

fn prepare_arrays(request: &PrepareRequest) -> Result<Outcome, PrepareError> {
    let dataset = datasets::open_official(request.dataset, &request.root)?;
    let fingerprint = blake3::Hash::from(dataset.digest).to_string();
    let claimed = Claim { plan: fingerprint.clone(), command: fingerprint.clone() };
    if let Some(manifest) = claimed.make(request)? {
        return Ok(Outcome { manifest, notes: Vec::new(), already: true });
    }
    let source = ManifestSource { root: request.root.display().to_string(), lists: Vec::new() };
    let settings = "all images, unselected".to_owned();
    let mut manifest = DatasetManifest::new(request.dataset.as_str(), "arrays", settings, source);
    for (part, set) in [("train", &dataset.train), ("test", &dataset.test)] {
        let folder = request.out.join(part);
        fs::create_dir_all(&folder).map_err(|error| PrepareError::disk("make", &folder, error))?;
        let digest = arrays::write(&folder, set).map_err(PrepareError::Disk)?;
        manifest.parts.push(array_entry(part, set, dataset.classes(), digest));
    }
    manifest.class_names = dataset.class_names;
    manifest.fingerprint = fingerprint;
    finish(&request.out, &manifest)?;
    Ok(Outcome { manifest, notes: Vec::new(), already: false })
}

fn array_entry(part: &str, set: &ImageSet, classes: usize, digest: String) -> SplitEntry {
    let mut counts = vec![0; classes];
    for &label in set.labels() {
        counts[label as usize] += 1;
    }
    let (images, bytes) = (set.len() as u64, set.pixels().len() as u64);
    SplitEntry { name: part.to_owned(), images, shards: 0, bytes, counts, digest }
}
