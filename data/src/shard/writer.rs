//! One shard being written.
//!
//! ```text
//! 000000007.jpg   the image       \  both in ustar, 512-byte header, content filled up with zeros
//! 000000007.cls   its class       /  to a multiple of 512; owner, group and time are 0, so that
//! 000000008.jpg   …                  equal images make equal shards
//! two blocks of zeros
//! ```
//!
//! A class is written in ASCII digits, as WebDataset's decoders expect it.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use super::error::ShardError;
use super::index::{RecordForm, Shard};
use super::record::{Record, content_digest};

const BLOCK: usize = 512;

/// A shard under a temporary name, until [`ShardWriter::finish`] gives it its own.
#[derive(Debug)]
pub struct ShardWriter {
    path: PathBuf,
    part: PathBuf,
    file: BufWriter<File>,
    offset: u64,
    number: u32,
    form: RecordForm,
    finished: bool,
}

/// What the caller knows of an image.
#[derive(Clone, Copy, Debug)]
pub struct Image<'a> {
    /// Its number in the set, below 10⁹: what it is called.
    pub key: u64,
    /// Its bytes, in the shard's form.
    pub bytes: &'a [u8],
    /// Its class.
    pub label: u32,
    /// Its width in pixels.
    pub width: u32,
    /// Its height in pixels.
    pub height: u32,
    /// Flags of its record.
    pub flags: u16,
}

impl ShardWriter {
    /// Begins the shard that will be `path`, number `number` of its set.
    ///
    /// # Errors
    /// When the system cannot write.
    pub fn create(path: &Path, number: u32, form: RecordForm) -> Result<Self, ShardError> {
        let mut part = path.as_os_str().to_owned();
        part.push(".part");
        let (path, part) = (path.to_owned(), PathBuf::from(part));
        match File::create(&part) {
            Ok(file) => {
                let file = BufWriter::with_capacity(1 << 20, file);
                Ok(Self { path, part, file, offset: 0, number, form, finished: false })
            }
            Err(source) => Err(ShardError::Io { action: "create", path: part, source }),
        }
    }

    /// Appends an image and its class, and returns the image's record.
    ///
    /// # Errors
    /// When the system cannot write, as on a full disk.
    pub fn append(&mut self, image: &Image) -> Result<Record, ShardError> {
        let record = Record {
            shard: self.number,
            flags: image.flags,
            offset: self.offset + BLOCK as u64,
            length: image.bytes.len() as u64,
            label: image.label,
            width: image.width,
            height: image.height,
            crc32c: crc32c::crc32c(image.bytes),
            digest: content_digest(image.bytes),
        };
        let extension = self.form.extension();
        let class = image.label.to_string();
        self.entry(image.key, extension, image.bytes)
            .and_then(|()| self.entry(image.key, "cls", class.as_bytes()))
            .map_err(|source| self.refused(source))?;
        Ok(record)
    }

    /// Ends the shard, syncs it and gives it its name.
    ///
    /// # Errors
    /// When the system cannot write.
    pub fn finish(mut self) -> Result<Shard, ShardError> {
        let (part, path) = (self.part.clone(), self.path.clone());
        let mut end = || -> io::Result<()> {
            self.file.write_all(&[0; 2 * BLOCK])?;
            self.file.flush()?;
            self.file.get_ref().sync_all()?;
            std::fs::rename(&part, &path)
        };
        match end() {
            Ok(()) => {
                self.finished = true;
                let name = path.file_name().and_then(|name| name.to_str());
                let name = name.expect("shards are named by this program").to_owned();
                Ok(Shard { name, length: self.offset + 2 * BLOCK as u64 })
            }
            Err(source) => Err(self.refused(source)),
        }
    }

    fn entry(&mut self, key: u64, extension: &str, content: &[u8]) -> io::Result<()> {
        let mut header = tar::Header::new_ustar();
        header.set_path(format!("{key:09}.{extension}"))?;
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_cksum();
        self.file.write_all(header.as_bytes())?;
        self.file.write_all(content)?;
        let padded = content.len().next_multiple_of(BLOCK);
        self.file.write_all(&[0; BLOCK][..padded - content.len()])?;
        self.offset += (BLOCK + padded) as u64;
        Ok(())
    }

    fn refused(&self, source: io::Error) -> ShardError {
        ShardError::Io { action: "write", path: self.part.clone(), source }
    }
}

impl Drop for ShardWriter {
    fn drop(&mut self) {
        if !self.finished {
            // Makes room where the disk is full. A file that stays is begun anew next time.
            let _ = std::fs::remove_file(&self.part);
        }
    }
}
