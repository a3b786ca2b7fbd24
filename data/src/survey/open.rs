//! The numbers of each split of a prepared dataset.

use std::path::{Path, PathBuf};

use crate::error::DataError;
use crate::images::ImageSet;
use crate::prepare::arrays::read as read_arrays;
use crate::prepare::image::RgbImage;
use crate::prepare::image::decode;
use crate::prepare::manifest::DatasetManifest;
use crate::shard::record::{FLAG_ENCODED_AGAIN, FLAG_PNG};
use crate::shard::{Check, RecordForm, ShardError, ShardSet};
use crate::verify::split_folders;

/// A prepared dataset, opened to be looked at.
#[derive(Debug)]
pub struct Survey {
    /// Its manifest; foreign shards have none.
    pub manifest: Option<DatasetManifest>,
    /// Its splits.
    pub splits: Vec<SurveyedSplit>,
}

/// One split.
#[derive(Debug)]
pub struct SurveyedSplit {
    /// Its name, or that of its folder.
    pub name: String,
    /// Images of each class.
    pub counts: Vec<u64>,
    /// Number of shards; 0 for arrays.
    pub shards: usize,
    /// What the images are, in words.
    pub form: String,
    /// Bytes of an image.
    pub bytes: Spread,
    /// Width of an image in pixels.
    pub width: Spread,
    /// Height of an image in pixels.
    pub height: Spread,
    /// Images that are not stored as they came.
    pub encoded_again: u64,
    /// Images that are PNGs.
    pub pngs: u64,
    images: Images,
    labels: Vec<u32>,
}

#[derive(Debug)]
enum Images {
    Shards(ShardSet),
    Arrays(ImageSet),
}

/// Smallest, middle and largest of some numbers; 0 where there are none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spread {
    /// The smallest.
    pub least: u64,
    /// The one in the middle, the upper of two.
    pub median: u64,
    /// The largest.
    pub most: u64,
}

impl Spread {
    fn of(mut numbers: Vec<u64>) -> Self {
        numbers.sort_unstable();
        let at = |place: usize| numbers.get(place).copied().unwrap_or(0);
        let count = numbers.len();
        Self { least: at(0), median: at(count / 2), most: at(count.saturating_sub(1)) }
    }
}

/// Looks at the dataset, or the set of shards, in `folder`. Every record is read, no image.
///
/// # Errors
/// When there is none, or its index is damaged.
pub fn open(folder: &Path) -> Result<Survey, DataError> {
    let (manifest, folders) = split_folders(folder)?;
    let split = |(number, folder): (usize, &PathBuf)| {
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let entry = manifest.as_ref().map(|manifest| &manifest.parts[number]);
        match entry.filter(|entry| entry.shards == 0 && entry.images > 0) {
            Some(entry) => array_part(folder, name, entry.counts.len()),
            None => shard_part(folder, name),
        }
    };
    let splits = folders.iter().enumerate().map(split).collect::<Result<_, _>>()?;
    Ok(Survey { manifest, splits })
}

fn shard_part(folder: &Path, name: String) -> Result<SurveyedSplit, DataError> {
    let set = ShardSet::open_checking(folder, Check::FirstTouch)?;
    let records = (0..set.len()).map(|i| set.record(i)).collect::<Result<Vec<_>, _>>()?;
    let mut counts = vec![0; set.classes() as usize];
    for record in &records {
        counts[record.label as usize] += 1;
    }
    let flagged =
        |flag: u16| records.iter().filter(|record| record.flags & flag != 0).count() as u64;
    let form = match set.form() {
        RecordForm::Jpeg => "jpeg".to_owned(),
        RecordForm::Raw { side } => format!("raw, {side} by {side} pixels"),
    };
    Ok(SurveyedSplit {
        name,
        counts,
        shards: set.shards().len(),
        form,
        bytes: Spread::of(records.iter().map(|record| record.length).collect()),
        width: Spread::of(records.iter().map(|record| u64::from(record.width)).collect()),
        height: Spread::of(records.iter().map(|record| u64::from(record.height)).collect()),
        encoded_again: flagged(FLAG_ENCODED_AGAIN),
        pngs: flagged(FLAG_PNG),
        labels: records.iter().map(|record| record.label).collect(),
        images: Images::Shards(set),
    })
}

fn array_part(folder: &Path, name: String, classes: usize) -> Result<SurveyedSplit, DataError> {
    let set = read_arrays(folder, classes as u32)?;
    let mut counts = vec![0; classes];
    for &label in set.labels() {
        counts[label as usize] += 1;
    }
    let shape = set.shape();
    let one = |number: usize| Spread::of(vec![number as u64]);
    Ok(SurveyedSplit {
        name,
        counts,
        shards: 0,
        form: "arrays".to_owned(),
        bytes: one(shape.bytes()),
        width: one(shape.width),
        height: one(shape.height),
        encoded_again: 0,
        pngs: 0,
        labels: set.labels().to_vec(),
        images: Images::Arrays(set),
    })
}

impl SurveyedSplit {
    /// The first `most` images of a class.
    pub fn of_class(&self, class: u32, most: usize) -> Vec<usize> {
        let labels = self.labels.iter().enumerate();
        labels.filter(|(_, label)| **label == class).map(|(i, _)| i).take(most).collect()
    }

    /// Decodes an image.
    ///
    /// # Errors
    /// When its bytes are damaged.
    pub fn decoded(&self, i: usize) -> Result<RgbImage, DataError> {
        let set = match &self.images {
            Images::Arrays(set) => {
                let shape = set.shape();
                let pixels = match shape.channels {
                    1 => set.image(i).iter().flat_map(|&grey| [grey; 3]).collect(),
                    _ => set.image(i).to_vec(),
                };
                let (width, height) = (shape.width as u32, shape.height as u32);
                return Ok(RgbImage { width, height, pixels });
            }
            Images::Shards(set) => set,
        };
        let (record, bytes) = (set.record(i)?, set.bytes(i)?);
        if let RecordForm::Raw { side } = set.form() {
            return Ok(RgbImage { width: side, height: side, pixels: bytes.to_vec() });
        }
        decode(bytes).map_err(|what| {
            let path = set.shard_path(record.shard);
            let what = format!("record {i} {what}");
            ShardError::Tar { path, offset: record.offset, what }.into()
        })
    }
}
