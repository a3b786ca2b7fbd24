//! An index for shards that something else wrote: `lcsl data index`.
//!
//! Samples as WebDataset has them: members next to each other whose names are equal up to the first
//! dot of their last part, among them one image (`.jpg`, `.jpeg`, `.png`; `.rgb` for our raw form)
//! and its class (`.cls`, digits). Other members are passed over and counted. Plain tar in any of
//! its dialects: ustar, pax, GNU, sizes in base 256, no blocks of zeros at the end.

mod others;
mod samples;

use std::fs;
use std::io::{self, Cursor};
use std::path::Path;

pub use self::others::PassedOver;
use self::others::{hint_without_shards, is_compressed, no_tar};
use self::samples::Samples;
use crate::error::DataError;
use crate::shard::index::{CLASSES_MAX, SHARDS_MAX, Shard, write_index};
use crate::shard::mapping::{Access, Mapping};
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
    /// Members that are neither images nor classes, and files that are no shards.
    pub passed_over: PassedOver,
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
    let (names, compressed) = shard_names(folder)?;
    let mut indexed = Indexed { shards: names.len() as u64, ..Indexed::default() };
    indexed.passed_over.compressed = compressed;
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
    if records.is_empty() {
        let (what, hint) = indexed.passed_over.reason();
        return Err(ShardError::NoImages { path: folder.to_owned(), what, hint }.into());
    }
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
    let (mut records, mut form, mut passed_over) = (Vec::new(), None, PassedOver::default());
    let (form, records_of, passed_over) = (&mut form, &mut records, &mut passed_over);
    Samples { path, file, number: 0, classes, form, records: records_of, passed_over, open: None }
        .read()?;
    Ok(records)
}

/// The names of the shards, in order, and those of files that are compressed.
fn shard_names(folder: &Path) -> Result<(Vec<String>, Vec<String>), ShardError> {
    let io = |source| ShardError::Io { action: "read", path: folder.to_owned(), source };
    let (mut names, mut compressed) = (Vec::new(), Vec::new());
    for entry in fs::read_dir(folder).map_err(io)? {
        let name = entry.map_err(io)?.file_name();
        let Some(name) = name.to_str() else { continue };
        if Path::new(name).extension() == Some("tar".as_ref()) {
            names.push(name.to_owned());
        } else if is_compressed(name) {
            compressed.push(name.to_owned());
        }
    }
    names.sort();
    compressed.sort();
    if names.is_empty() || names.len() > SHARDS_MAX as usize {
        let hint = hint_without_shards(&compressed);
        return Err(ShardError::Shards { path: folder.to_owned(), found: names.len(), hint });
    }
    Ok((names, compressed))
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
    if let Some((what, hint)) = no_tar(file) {
        return Err(ShardError::NoTar { path: path.to_owned(), what, hint });
    }
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
