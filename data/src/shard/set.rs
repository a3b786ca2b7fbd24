//! A set of shards, opened.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use super::error::ShardError;
use super::index::{BLOCK_RECORDS, Head, INDEX_FILE, RecordForm};
use super::mapping::{Access, Mapping};
use super::record::{RECORD_BYTES, Record};
use crate::error::DataError;

/// An image has at most this many bytes: an index that says otherwise lies.
pub const IMAGE_BYTES_MAX: u64 = 256 << 20;
/// What JPEG's own header can express.
pub const SIDE_MAX: u32 = 65_535;

/// When the checksum of an image's bytes is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// When an image is first asked for.
    FirstTouch,
    /// Every time.
    Always,
    /// Never: for measuring what the comparison costs.
    Never,
}

/// Images in shards, by number. Can be shared between threads; nothing in it is locked.
///
/// Opening reads the index's head and each shard's length. A shard is mapped when its first image
/// is asked for.
///
/// ```no_run
/// # use lcsl_data::shard::ShardSet;
/// let set = ShardSet::open("datasets/imagenet_lt/train".as_ref())?;
/// let record = set.record(7)?;
/// println!("class {}, {} by {} pixels", record.label, record.width, record.height);
/// assert_eq!(set.bytes(7)?.len() as u64, record.length);
/// # Ok::<(), lcsl_data::DataError>(())
/// ```
#[derive(Debug)]
pub struct ShardSet {
    folder: PathBuf,
    index: Mapping,
    head_bytes: usize,
    head: Head,
    check: Check,
    /// A bit per block of records, and one per image: the checksum has been found right.
    blocks_checked: Bits,
    images_checked: Bits,
    shards: Vec<OnceLock<Mapping>>,
}

impl ShardSet {
    /// Opens the set in `folder`; checksums are compared when an image is first asked for.
    ///
    /// # Errors
    /// When there is no index, when its head is damaged, or when a shard is missing or has another
    /// length than the index says.
    pub fn open(folder: &Path) -> Result<Self, DataError> {
        Self::open_checking(folder, Check::FirstTouch)
    }

    /// [`ShardSet::open`] with a choice of when checksums are compared.
    ///
    /// # Errors
    /// As for [`ShardSet::open`].
    pub fn open_checking(folder: &Path, check: Check) -> Result<Self, DataError> {
        let set = Self::open_index(folder, check)?;
        for shard in 0..set.head.shards.len() {
            set.check_length(shard)?;
        }
        Ok(set)
    }

    /// Opens the index alone: shards may be missing or wrong until an image of them is asked for.
    ///
    /// # Errors
    /// When there is no index, or its head is damaged.
    pub fn open_index(folder: &Path, check: Check) -> Result<Self, DataError> {
        let path = folder.join(INDEX_FILE);
        let index = match Mapping::open(&path, Access::Scattered) {
            Ok(index) => index,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(ShardError::NoIndex { path }.into());
            }
            Err(source) => return Err(ShardError::Io { action: "open", path, source }.into()),
        };
        let (head, head_bytes) =
            Head::read(&index).map_err(|what| ShardError::Head { path, what })?;
        Ok(Self {
            folder: folder.to_owned(),
            blocks_checked: Bits::new(head.block_checksums.len() as u64),
            images_checked: Bits::new(head.records),
            shards: head.shards.iter().map(|_| OnceLock::new()).collect(),
            index,
            head_bytes,
            head,
            check,
        })
    }

    /// The number of images.
    pub fn len(&self) -> usize {
        self.head.records as usize
    }

    /// Whether there are no images.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What the images are.
    pub fn form(&self) -> RecordForm {
        self.head.form
    }

    /// The number of classes; every label is below it.
    pub fn classes(&self) -> u32 {
        self.head.classes
    }

    /// The folder of the set.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// A digest of the index's head, and so, through its checksums, of every record and of the names
    /// and lengths of the shards. No record is read.
    pub fn digest(&self) -> [u8; 32] {
        blake3::hash(&self.index[..self.head_bytes]).into()
    }

    /// The shards' names and lengths, in the order of their numbers.
    pub fn shards(&self) -> &[super::index::Shard] {
        &self.head.shards
    }

    /// The file of a shard.
    ///
    /// # Panics
    /// When there is no such shard.
    pub fn shard_path(&self, shard: u32) -> PathBuf {
        self.folder.join(&self.head.shards[shard as usize].name)
    }

    /// The class of image `i`.
    ///
    /// # Errors
    /// As for [`ShardSet::record`].
    pub fn label(&self, i: usize) -> Result<u32, DataError> {
        Ok(self.record(i)?.label)
    }

    /// What the index says of image `i`.
    ///
    /// # Panics
    /// When there is no such image.
    ///
    /// # Errors
    /// When the block that holds the record is damaged, or the record makes no sense.
    pub fn record(&self, i: usize) -> Result<Record, DataError> {
        assert!(i < self.len(), "image {i} of {}", self.len());
        let block = i as u64 / BLOCK_RECORDS;
        if !self.blocks_checked.get(block) {
            self.check_block(block)?;
            self.blocks_checked.set(block);
        }
        let at = self.head_bytes + i * RECORD_BYTES;
        let bytes = self.index[at..].first_chunk().expect("the head's reader compared the length");
        let record = Record::from_bytes(bytes);
        self.check_record(&record).map_err(|what| {
            let path = self.folder.join(INDEX_FILE);
            ShardError::Record { path, record: i as u64, what }
        })?;
        Ok(record)
    }

    /// The bytes of image `i`, in the mapped shard.
    ///
    /// # Panics
    /// When there is no such image.
    ///
    /// # Errors
    /// As for [`ShardSet::record`]; or when the shard cannot be mapped, has changed its length, or
    /// the bytes are not those that the index was written for.
    pub fn bytes(&self, i: usize) -> Result<&[u8], DataError> {
        let record = self.record(i)?;
        let shard = self.mapped(record.shard as usize)?;
        let bytes = &shard[record.offset as usize..][..record.length as usize];
        let compare = match self.check {
            Check::FirstTouch => !self.images_checked.get(i as u64),
            Check::Always => true,
            Check::Never => false,
        };
        if compare {
            let found = crc32c::crc32c(bytes);
            if found != record.crc32c {
                return Err(self.damaged(i, &record, found).into());
            }
            self.images_checked.set(i as u64);
        }
        Ok(bytes)
    }

    /// Asks the system to fetch the bytes of image `i` from disk, without waiting for them: for a
    /// reader that knows what it will want next.
    ///
    /// # Panics
    /// When there is no such image.
    ///
    /// # Errors
    /// As for [`ShardSet::bytes`], but for the checksum of the image.
    pub fn fetch_ahead(&self, i: usize) -> Result<(), DataError> {
        let record = self.record(i)?;
        let shard = self.mapped(record.shard as usize)?;
        shard.fetch_ahead(record.offset as usize, record.length as usize);
        Ok(())
    }

    /// That the bytes of image `i` have a checksum other than the record's.
    pub(crate) fn damaged(&self, i: usize, record: &Record, found: u32) -> ShardError {
        ShardError::Payload {
            path: self.shard_path(record.shard),
            record: i as u64,
            offset: record.offset,
            length: record.length,
            expected: record.crc32c,
            found,
        }
    }

    /// Compares a shard's length with the index.
    ///
    /// # Panics
    /// When there is no such shard.
    ///
    /// # Errors
    /// When it is missing, or longer or shorter than it was.
    pub fn check_length(&self, shard: usize) -> Result<(), ShardError> {
        let path = self.shard_path(shard as u32);
        let expected = self.head.shards[shard].length;
        let found = match fs::metadata(&path) {
            Ok(metadata) => metadata.len(),
            Err(source) => return Err(ShardError::Io { action: "open", path, source }),
        };
        if found == expected { Ok(()) } else { Err(ShardError::Length { path, expected, found }) }
    }

    fn mapped(&self, shard: usize) -> Result<&Mapping, ShardError> {
        let cell = &self.shards[shard];
        if let Some(mapping) = cell.get() {
            return Ok(mapping);
        }
        let path = self.shard_path(shard as u32);
        let mapping = match Mapping::open(&path, Access::Scattered) {
            Ok(mapping) => mapping,
            Err(source) => return Err(ShardError::Io { action: "map", path, source }),
        };
        let (expected, found) = (self.head.shards[shard].length, mapping.len() as u64);
        if found != expected {
            return Err(ShardError::Length { path, expected, found });
        }
        // Two threads may have mapped it: the second mapping is dropped.
        Ok(cell.get_or_init(|| mapping))
    }

    fn check_block(&self, block: u64) -> Result<(), ShardError> {
        let first = block * BLOCK_RECORDS;
        let end = (first + BLOCK_RECORDS).min(self.head.records);
        let offset = self.head_bytes + first as usize * RECORD_BYTES;
        let bytes = &self.index[offset..][..(end - first) as usize * RECORD_BYTES];
        let (expected, found) = (self.head.block_checksums[block as usize], crc32c::crc32c(bytes));
        if found == expected {
            return Ok(());
        }
        let path = self.folder.join(INDEX_FILE);
        let (last, offset) = (end - 1, offset as u64);
        Err(ShardError::Block { path, first, last, offset, expected, found })
    }

    fn check_record(&self, record: &Record) -> Result<(), String> {
        let Some(shard) = self.head.shards.get(record.shard as usize) else {
            return Err(format!(
                "lies in shard {}, but there are only {}",
                record.shard,
                self.head.shards.len()
            ));
        };
        let ends = record.offset.checked_add(record.length);
        if ends.is_none_or(|ends| ends > shard.length) {
            return Err(format!(
                "takes {} bytes at byte {} of {}, which has only {}",
                record.length, record.offset, shard.name, shard.length
            ));
        }
        if record.length > IMAGE_BYTES_MAX {
            return Err(format!("has {} bytes, more than {IMAGE_BYTES_MAX}", record.length));
        }
        if record.label >= self.head.classes {
            return Err(format!(
                "has label {}, but there are only {} classes",
                record.label, self.head.classes
            ));
        }
        let (width, height) = (record.width, record.height);
        let right = match self.head.form {
            RecordForm::Jpeg => (1..=SIDE_MAX).contains(&width) && (1..=SIDE_MAX).contains(&height),
            RecordForm::Raw { side } => {
                let bytes = u64::from(side) * u64::from(side) * 3;
                (width, height, record.length) == (side, side, bytes)
            }
        };
        if right {
            return Ok(());
        }
        Err(format!("has {width} by {height} pixels in {} bytes", record.length))
    }
}

/// A bit for each number below some bound, set by any thread, never cleared.
#[derive(Debug)]
struct Bits(Vec<AtomicU64>);

impl Bits {
    fn new(count: u64) -> Self {
        Self((0..count.div_ceil(64)).map(|_| AtomicU64::new(0)).collect())
    }

    fn get(&self, at: u64) -> bool {
        self.0[(at / 64) as usize].load(Ordering::Relaxed) >> (at % 64) & 1 == 1
    }

    fn set(&self, at: u64) {
        self.0[(at / 64) as usize].fetch_or(1 << (at % 64), Ordering::Relaxed);
    }
}
