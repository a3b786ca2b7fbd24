//! An index for shards that something else wrote: `lcsl data index`.
//!
//! Samples as WebDataset has them: members next to each other whose names are equal up to the first
//! dot of their last part, among them one image (`.jpg`, `.jpeg`, `.png`; `.rgb` for our raw form)
//! and its class (`.cls`, digits). Other members are passed over and counted. Plain tar in any of
//! its dialects: ustar, pax, GNU, sizes in base 256, no blocks of zeros at the end.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Cursor};
use std::path::Path;

use super::image::jpeg_size;
use crate::error::DataError;
use crate::shard::index::{CLASSES_MAX, RAW_SIDE_MAX, SHARDS_MAX, Shard, write_index};
use crate::shard::mapping::{Access, Mapping};
use crate::shard::record::{FLAG_PNG, content_digest};
use crate::shard::set::{IMAGE_BYTES_MAX, SIDE_MAX};
use crate::shard::{Record, RecordForm, ShardError};

/// What was indexed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Indexed {
    /// Number of images.
    pub images: u64,
    /// Number of shards.
    pub shards: u64,
    /// Number of classes.
    pub classes: u32,
    /// Members that are neither images nor classes, by what stands behind their dot.
    pub passed_over: BTreeMap<String, u64>,
}

/// Writes an index for all `.tar` files of `folder`, in the order of their names' bytes. `classes`
/// is one more than the largest label where it is not given. `each` hears of every finished shard.
///
/// # Errors
/// When there are no shards, or one cannot be understood: it is named with the place. Nothing is
/// written then.
pub fn index(
    folder: &Path,
    classes: Option<u32>,
    each: impl Fn(usize, usize),
) -> Result<Indexed, DataError> {
    let names = shard_names(folder)?;
    let mut indexed = Indexed { shards: names.len() as u64, ..Indexed::default() };
    let (mut shards, mut records, mut form) = (Vec::new(), Vec::new(), None);
    for (number, name) in names.iter().enumerate() {
        let path = folder.join(name);
        let mapping = Mapping::open(&path, Access::Sequential)
            .map_err(|source| ShardError::Io { action: "map", path: path.clone(), source })?;
        Samples {
            path: &path,
            file: &mapping,
            number: number as u32,
            classes: classes.unwrap_or(CLASSES_MAX),
            form: &mut form,
            records: &mut records,
            passed_over: &mut indexed.passed_over,
            open: None,
        }
        .read()?;
        shards.push(Shard { name: name.clone(), length: mapping.len() as u64 });
        each(number + 1, names.len());
    }
    indexed.images = records.len() as u64;
    let largest = records.iter().map(|record| record.label).max();
    indexed.classes = classes.unwrap_or_else(|| largest.map_or(0, |label| label + 1));
    let form = form.unwrap_or(RecordForm::Jpeg);
    write_index(folder, form, indexed.classes, shards, indexed.images, records)?;
    Ok(indexed)
}

/// The records that [`index()`] makes of one shard whose bytes are in memory, as number 0 of its
/// set; `path` is what errors call it.
///
/// # Errors
/// When it cannot be understood, with the place.
pub fn index_shard(path: &Path, file: &[u8], classes: u32) -> Result<Vec<Record>, ShardError> {
    let (mut records, mut form, mut passed_over) = (Vec::new(), None, BTreeMap::new());
    let (form, records_of, passed_over) = (&mut form, &mut records, &mut passed_over);
    Samples { path, file, number: 0, classes, form, records: records_of, passed_over, open: None }
        .read()?;
    Ok(records)
}

fn shard_names(folder: &Path) -> Result<Vec<String>, ShardError> {
    let io = |source| ShardError::Io { action: "read", path: folder.to_owned(), source };
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(io)? {
        let name = entry.map_err(io)?.file_name();
        if let Some(name) =
            name.to_str().filter(|_| Path::new(&name).extension() == Some("tar".as_ref()))
        {
            names.push(name.to_owned());
        }
    }
    names.sort();
    if names.is_empty() || names.len() > SHARDS_MAX as usize {
        return Err(ShardError::Shards { path: folder.to_owned(), found: names.len() });
    }
    Ok(names)
}

/// A regular file in a tar.
pub(crate) struct Member {
    /// Its name; bytes that are not UTF-8 are replaced.
    pub(crate) name: String,
    /// Where its header begins.
    pub(crate) header: u64,
    /// Where its content begins.
    pub(crate) offset: u64,
    /// Bytes of its content.
    pub(crate) length: u64,
}

/// Hands every regular file of the tar `file` to `each`, in order.
///
/// # Errors
/// What `each` refuses; and, with its offset, whatever is not a well-formed tar of files and
/// folders that ends where its last member, or its end mark, says.
pub(crate) fn members(
    path: &Path,
    file: &[u8],
    mut each: impl FnMut(&Member) -> Result<(), ShardError>,
) -> Result<(), ShardError> {
    let refused =
        |offset: u64, what: String| ShardError::Tar { path: path.to_owned(), offset, what };
    let total = file.len() as u64;
    let mut archive = tar::Archive::new(Cursor::new(file));
    let mut end = 0;
    let damaged =
        |end: u64, error: &io::Error| refused(end, format!("no member can be read: {error}"));
    let entries = archive.entries_with_seek().map_err(|error| damaged(0, &error))?;
    for entry in entries {
        let entry = entry.map_err(|error| damaged(end, &error))?;
        let (header, offset) = (entry.raw_header_position(), entry.raw_file_position());
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let kind = entry.header().entry_type();
        let length = if kind.is_dir() { 0 } else { entry.size() };
        let ends = offset.checked_add(length).filter(|&ends| ends <= total);
        let Some(ends) = ends else {
            let what = format!(
                "{name} announces {length} bytes, but only {} are left, ",
                total.saturating_sub(offset)
            );
            return Err(refused(offset, what.trim_end_matches([',', ' ']).to_owned()));
        };
        end = ends.next_multiple_of(512);
        if kind.is_file() || kind.is_contiguous() {
            each(&Member { name, header, offset, length })?;
        } else if !(kind.is_dir() || kind.is_pax_global_extensions()) {
            return Err(refused(header, format!("{name} is neither a file nor a folder")));
        }
    }
    // Behind the last member: nothing, or zeros. Anything else would be passed over in silence.
    let rest = file.get(end as usize..).unwrap_or_default();
    match rest.iter().position(|&byte| byte != 0) {
        None => Ok(()),
        Some(at) => {
            Err(refused(end + at as u64, "something follows the end of the tar".to_owned()))
        }
    }
}

/// The sample whose members are being met.
struct Sample {
    key: String,
    header: u64,
    image: Option<Record>,
    label: Option<u32>,
}

struct Samples<'a> {
    path: &'a Path,
    file: &'a [u8],
    number: u32,
    classes: u32,
    form: &'a mut Option<RecordForm>,
    records: &'a mut Vec<Record>,
    passed_over: &'a mut BTreeMap<String, u64>,
    open: Option<Sample>,
}

impl Samples<'_> {
    /// Reads the shard from its first member to its last.
    fn read(mut self) -> Result<(), ShardError> {
        members(self.path, self.file, |member| self.member(member))?;
        self.end_sample()
    }

    fn member(&mut self, member: &Member) -> Result<(), ShardError> {
        let folders = member.name.rfind('/').map_or(0, |slash| slash + 1);
        let Some(dot) = member.name[folders..].find('.').filter(|&dot| dot > 0) else {
            *self.passed_over.entry(String::new()).or_default() += 1;
            return Ok(());
        };
        let (key, extension) = member.name.split_at(folders + dot);
        let extension = extension[1..].to_ascii_lowercase();
        if self.open.as_ref().is_none_or(|sample| sample.key != key) {
            self.end_sample()?;
            let (key, header) = (key.to_owned(), member.header);
            self.open = Some(Sample { key, header, image: None, label: None });
        }
        let content = &self.file[member.offset as usize..][..member.length as usize];
        let form = match extension.as_str() {
            "cls" => {
                let label = self.label(member, content)?;
                let sample = self.open.as_mut().expect("it was opened above");
                if sample.label.replace(label).is_some() {
                    return Err(self.refused(member.header, "a sample has a second class"));
                }
                return Ok(());
            }
            "jpg" | "jpeg" | "png" => RecordForm::Jpeg,
            "rgb" => RecordForm::Raw { side: ((member.length / 3) as f64).sqrt() as u32 },
            _ => {
                *self.passed_over.entry(extension).or_default() += 1;
                return Ok(());
            }
        };
        if *self.form.get_or_insert(form) != form {
            return Err(self.refused(member.header, "images of another form or size begin"));
        }
        let record = self.image(member, content, form)?;
        let sample = self.open.as_mut().expect("it was opened above");
        if sample.image.replace(record).is_some() {
            return Err(self.refused(member.header, "a sample has a second image"));
        }
        Ok(())
    }

    fn label(&self, member: &Member, content: &[u8]) -> Result<u32, ShardError> {
        let text = std::str::from_utf8(content).ok().map(str::trim);
        let label = text.and_then(|text| text.parse::<u32>().ok());
        label.filter(|&label| label < self.classes).ok_or_else(|| {
            let shown: String = String::from_utf8_lossy(content).chars().take(20).collect();
            let what = format!("{}: {shown:?} is no class below {}", member.name, self.classes);
            self.refused(member.offset, &what)
        })
    }

    fn image(
        &self,
        member: &Member,
        content: &[u8],
        form: RecordForm,
    ) -> Result<Record, ShardError> {
        let is_png = content.starts_with(b"\x89PNG\r\n\x1a\n");
        let size = match form {
            RecordForm::Raw { side } => {
                let bytes = u64::from(side) * u64::from(side) * 3;
                let fits = (1..=RAW_SIDE_MAX).contains(&side) && bytes == member.length;
                fits.then_some((side, side)).ok_or_else(|| "is not square".to_owned())
            }
            RecordForm::Jpeg if member.length > IMAGE_BYTES_MAX => Err("is too long".to_owned()),
            RecordForm::Jpeg if is_png => png_size(content),
            RecordForm::Jpeg => jpeg_size(content),
        };
        let sides = size.and_then(|(width, height)| {
            let fits = width.max(height) <= SIDE_MAX;
            fits.then_some((width, height)).ok_or_else(|| format!("is {width} by {height} pixels"))
        });
        let (width, height) = sides.map_err(|what| {
            self.refused(member.offset, &format!("image {} {what}", member.name))
        })?;
        Ok(Record {
            shard: self.number,
            flags: if is_png { FLAG_PNG } else { 0 },
            offset: member.offset,
            length: member.length,
            label: 0,
            width,
            height,
            crc32c: crc32c::crc32c(content),
            digest: content_digest(content),
        })
    }

    /// Takes the open sample, which has to be whole.
    fn end_sample(&mut self) -> Result<(), ShardError> {
        match self.open.take() {
            Some(Sample { image: Some(record), label: Some(label), .. }) => {
                self.records.push(Record { label, ..record });
                Ok(())
            }
            // A sample of other things only has been counted as passed over.
            None | Some(Sample { image: None, label: None, .. }) => Ok(()),
            Some(Sample { key, header, image, .. }) => {
                let lacks = if image.is_none() { "image" } else { "class (.cls)" };
                Err(self.refused(header, &format!("sample {key} has no {lacks}")))
            }
        }
    }

    fn refused(&self, offset: u64, what: &str) -> ShardError {
        ShardError::Tar { path: self.path.to_owned(), offset, what: what.to_owned() }
    }
}

/// Width and height in the first chunk of a PNG.
fn png_size(file: &[u8]) -> Result<(u32, u32), String> {
    let number = |at: usize| {
        let bytes = file.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
        bytes.map(u32::from_be_bytes).filter(|&side| side > 0)
    };
    number(16).zip(number(20)).ok_or_else(|| "is a damaged PNG".to_owned())
}
