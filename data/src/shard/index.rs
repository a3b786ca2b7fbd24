//! The index of a set of shards.
//!
//! ```text
//! at 0    magic  "LCSLIDX\0"            8 bytes
//!    8    version                 u32   1
//!    12   bytes of a record       u32   48
//!    16   records                 u64   n
//!    24   shards                  u32   s
//!    28   classes                 u32
//!    32   form                    u32   0: JPEG as it came; otherwise raw RGB8, this many pixels
//!                                       wide and high
//!    36   records of a block      u32   1024
//!    40   bytes of the head       u64   h: where the records begin; a multiple of 64
//!    48   checksum of the head    u32   CRC-32C of the first h bytes, with this field 0
//!    52   0                       12 bytes
//!    64   table of shards         s × (bytes u64, name begins at u32, bytes of the name u32)
//!         names                   UTF-8, each behind the one before; "begins at" counts from here
//!         checksums of blocks     u32 each, ⌈n / 1024⌉: CRC-32C of a block's bytes
//!         0                       up to the next multiple of 64
//!    h    records                 n × 48 bytes, see `record.rs`
//! ```
//!
//! All integers are little-endian, and the file ends with its last record. The head is a few bytes
//! per shard and per thousand images; it is checked as a whole when the index is opened. A block of
//! records is checked when the first of them is asked for.

use std::fs::File;
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::Path;

use super::error::ShardError;
use super::record::{RECORD_BYTES, Record};

/// The index's name in the folder of its set.
pub const INDEX_FILE: &str = "index.lcsl";
/// Records that share one checksum.
pub const BLOCK_RECORDS: u64 = 1024;
/// An index names at most this many shards.
pub const SHARDS_MAX: u32 = 1 << 20;
/// An index has at most this many classes.
pub const CLASSES_MAX: u32 = 1 << 24;
/// A raw image has at most this many pixels on a side.
pub const RAW_SIDE_MAX: u32 = 4096;

const MAGIC: &[u8; 8] = b"LCSLIDX\0";
const VERSION: u32 = 1;
const FIXED_BYTES: usize = 64;
const SHARD_BYTES: usize = 16;
const ALIGNMENT: usize = 64;

/// What the bytes of an image are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RecordForm {
    /// A compressed image of any size, nearly always a JPEG.
    Jpeg,
    /// Pixels, row by row, three bytes each: red, green, blue.
    Raw {
        /// Width and height.
        side: u32,
    },
}

impl RecordForm {
    /// The form as a word: `jpeg` or `raw`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Jpeg => "jpeg",
            Self::Raw { .. } => "raw",
        }
    }

    /// What stands behind the dot in the name of an image of this form.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Jpeg => "jpg",
            Self::Raw { .. } => "rgb",
        }
    }
}

/// A shard as the index knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shard {
    /// Its file's name, without folders.
    pub name: String,
    /// Its file's length in bytes.
    pub length: u64,
}

/// Everything in an index but its records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// What the images are.
    pub form: RecordForm,
    /// Labels are below this.
    pub classes: u32,
    /// The number of images.
    pub records: u64,
    /// The shards, in the order of their numbers.
    pub shards: Vec<Shard>,
    /// Checksum of each block of records.
    pub block_checksums: Vec<u32>,
}

impl Head {
    /// The head as it stands at the beginning of an index.
    pub fn to_bytes(&self) -> Vec<u8> {
        let names: usize = self.shards.iter().map(|shard| shard.name.len()).sum();
        let length = head_bytes(self.shards.len(), names, self.records);
        let side = if let RecordForm::Raw { side } = self.form { side } else { 0 };
        let mut bytes = Vec::with_capacity(length);
        bytes.extend_from_slice(MAGIC);
        for number in [VERSION, RECORD_BYTES as u32] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes.extend_from_slice(&self.records.to_le_bytes());
        for number in [self.shards.len() as u32, self.classes, side, BLOCK_RECORDS as u32] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes.extend_from_slice(&(length as u64).to_le_bytes());
        bytes.resize(FIXED_BYTES, 0);
        let mut begins = 0_u32;
        for shard in &self.shards {
            bytes.extend_from_slice(&shard.length.to_le_bytes());
            bytes.extend_from_slice(&begins.to_le_bytes());
            bytes.extend_from_slice(&(shard.name.len() as u32).to_le_bytes());
            begins += shard.name.len() as u32;
        }
        for shard in &self.shards {
            bytes.extend_from_slice(shard.name.as_bytes());
        }
        for checksum in &self.block_checksums {
            bytes.extend_from_slice(&checksum.to_le_bytes());
        }
        bytes.resize(length, 0);
        let checksum = crc32c::crc32c(&bytes);
        bytes[48..52].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// Reads the head of an index, and returns it with the number of its bytes.
    ///
    /// # Errors
    /// In words, when this is no index or a damaged one. Memory is taken in proportion to the bytes
    /// that are there, whatever they say.
    pub fn read(file: &[u8]) -> Result<(Self, usize), String> {
        let fixed: &[u8; FIXED_BYTES] =
            file.first_chunk().ok_or_else(|| format!("it has only {} bytes", file.len()))?;
        let u32_at = |at: usize| {
            u32::from_le_bytes(fixed[at..at + 4].try_into().expect("four bytes were taken"))
        };
        let u64_at = |at: usize| u64::from(u32_at(at)) | u64::from(u32_at(at + 4)) << 32;
        if &fixed[..8] != MAGIC {
            return Err("it does not begin as an index does".to_owned());
        }
        if u32_at(8) != VERSION {
            return Err(format!("it is of version {}, and only {VERSION} is known", u32_at(8)));
        }
        let (records, shards, classes) = (u64_at(16), u32_at(24), u32_at(28));
        let (side, block, head) = (u32_at(32), u32_at(36), u64_at(40));
        if (u32_at(12), u64::from(block)) != (RECORD_BYTES as u32, BLOCK_RECORDS) {
            return Err("its records or blocks are of another size".to_owned());
        }
        if shards > SHARDS_MAX || classes > CLASSES_MAX || side > RAW_SIDE_MAX {
            return Err(format!("{shards} shards, {classes} classes or side {side} is too much"));
        }
        let expected = records
            .checked_mul(RECORD_BYTES as u64)
            .and_then(|bytes| bytes.checked_add(head))
            .filter(|&bytes| bytes == file.len() as u64);
        if expected.is_none() {
            return Err(format!(
                "a head of {head} bytes and {records} records do not make its {} bytes",
                file.len()
            ));
        }
        // It is part of the file, so it fits.
        let head = head as usize;
        let bytes = &file[..head];
        let (before, after) = (crc32c::crc32c(&bytes[..48.min(head)]), bytes.get(52..));
        let after = after.ok_or("its head is too short")?;
        let found = crc32c::crc32c_append(crc32c::crc32c_append(before, &[0; 4]), after);
        if found != u32_at(48) {
            return Err(format!(
                "the checksum of its head is {found:#010x} instead of {:#010x}",
                u32_at(48)
            ));
        }
        let (shards, block_checksums) = tables(bytes, shards as usize, records)?;
        let form = if side == 0 { RecordForm::Jpeg } else { RecordForm::Raw { side } };
        Ok((Self { form, classes, records, shards, block_checksums }, head))
    }
}

/// The two tables of a head whose checksum is right: believed no more than one whose is not.
fn tables(head: &[u8], shards: usize, records: u64) -> Result<(Vec<Shard>, Vec<u32>), String> {
    let short = || "its tables are longer than its head".to_owned();
    let (table, rest) = head
        .get(FIXED_BYTES..)
        .and_then(|rest| rest.split_at_checked(shards * SHARD_BYTES))
        .ok_or_else(short)?;
    let blocks = usize::try_from(records.div_ceil(BLOCK_RECORDS)).map_err(|_| short())?;
    let mut names_end = 0;
    let mut entries = Vec::with_capacity(shards);
    for (number, entry) in table.chunks_exact(SHARD_BYTES).enumerate() {
        let u32_at = |at: usize| {
            u32::from_le_bytes(entry[at..at + 4].try_into().expect("four bytes were taken"))
        };
        let length = u64::from(u32_at(0)) | u64::from(u32_at(4)) << 32;
        let (begins, ends) = (u32_at(8) as usize, u32_at(8) as usize + u32_at(12) as usize);
        let name = rest.get(begins..ends).and_then(|name| std::str::from_utf8(name).ok());
        // Names that overlap would take more memory than the file has bytes.
        let name = name.filter(|name| begins == names_end && is_plain_name(name));
        let name = name.ok_or_else(|| format!("shard {number} has no usable file name"))?;
        entries.push(Shard { name: name.to_owned(), length });
        names_end = ends;
    }
    let checksums = rest.get(names_end..).and_then(|rest| rest.get(..blocks * 4));
    let checksums = checksums.ok_or_else(short)?.chunks_exact(4);
    let checksums = checksums
        .map(|bytes| u32::from_le_bytes(bytes.try_into().expect("chunks of four")))
        .collect();
    Ok((entries, checksums))
}

/// An index names files of its own folder only: it must not lead a reader elsewhere.
pub fn is_plain_name(name: &str) -> bool {
    !matches!(name, "" | "." | "..") && !name.contains(['/', '\0'])
}

fn head_bytes(shards: usize, names: usize, records: u64) -> usize {
    let blocks = records.div_ceil(BLOCK_RECORDS) as usize;
    (FIXED_BYTES + shards * SHARD_BYTES + names + 4 * blocks).next_multiple_of(ALIGNMENT)
}

/// Writes the index of `records` images into `folder`: beside its name, synced, then renamed.
///
/// # Panics
/// When `records` does not yield exactly as many as `count`, or a shard's name holds a folder: a
/// bug of the caller.
///
/// # Errors
/// When the system cannot write.
pub fn write_index(
    folder: &Path,
    form: RecordForm,
    classes: u32,
    shards: Vec<Shard>,
    count: u64,
    records: impl IntoIterator<Item = Record>,
) -> Result<(), ShardError> {
    assert!(shards.iter().all(|shard| is_plain_name(&shard.name)), "shards lie beside the index");
    let (path, part) = (folder.join(INDEX_FILE), folder.join(format!("{INDEX_FILE}.part")));
    let mut head = Head { form, classes, records: count, shards, block_checksums: Vec::new() };
    let write = || -> io::Result<()> {
        let names = head.shards.iter().map(|shard| shard.name.len()).sum();
        let mut file = BufWriter::with_capacity(1 << 20, File::create(&part)?);
        file.seek(SeekFrom::Start(head_bytes(head.shards.len(), names, count) as u64))?;
        let (mut written, mut checksum) = (0_u64, 0);
        for record in records {
            let bytes = record.to_bytes();
            file.write_all(&bytes)?;
            checksum = crc32c::crc32c_append(checksum, &bytes);
            written += 1;
            if written.is_multiple_of(BLOCK_RECORDS) {
                head.block_checksums.push(std::mem::take(&mut checksum));
            }
        }
        assert_eq!(written, count, "records of the index");
        if !written.is_multiple_of(BLOCK_RECORDS) {
            head.block_checksums.push(checksum);
        }
        file.rewind()?;
        file.write_all(&head.to_bytes())?;
        file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
        std::fs::rename(&part, &path)?;
        File::open(folder)?.sync_all()
    };
    let written = write().inspect_err(|_| {
        let _ = std::fs::remove_file(&part); // makes room where the disk is full
    });
    written.map_err(|source| ShardError::Io { action: "write", path: path.clone(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two thousand shards that all had the same thirty thousand bytes for a name, in a head of
    /// 64 KB with a right checksum, were given 64 MB, and larger heads the square of that.
    #[test]
    fn names_that_share_bytes_are_refused() {
        let name = "n".repeat(300);
        let shard = Shard { name: name.clone(), length: 0 };
        let mut head = Head {
            form: RecordForm::Jpeg,
            classes: 0,
            records: 0,
            shards: vec![shard; 2],
            block_checksums: Vec::new(),
        };
        assert_eq!(Head::read(&head.to_bytes()).map(|(read, _)| read), Ok(head.clone()));
        head.shards[1].name = name.replace('n', "m");
        let mut bytes = head.to_bytes();
        let second = FIXED_BYTES + SHARD_BYTES + 8;
        assert_eq!(bytes[second..second + 4], 300_u32.to_le_bytes());
        bytes[second..second + 4].fill(0);
        bytes[48..52].fill(0);
        let checksum = crc32c::crc32c(&bytes);
        bytes[48..52].copy_from_slice(&checksum.to_le_bytes());
        let refused = "shard 1 has no usable file name".to_owned();
        assert_eq!(Head::read(&bytes), Err(refused));
    }
}
