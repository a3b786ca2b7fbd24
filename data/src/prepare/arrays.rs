//! Small sets of images of one size: `images.npy` (u8, N × height × width, and × 3 with colour) and
//! `labels.npy` (i64, N), as numpy writes and maps them. The images are mapped here, too: processes of one
//! machine share them.

use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use npyz::WriterBuilder as _;

use crate::error::DataError;
use crate::images::{ImageSet, Shape};
use crate::shard::ShardError;
use crate::shard::mapping::{Access, Mapping};

/// The file of images.
pub const IMAGES_FILE: &str = "images.npy";
/// The file of labels.
pub const LABELS_FILE: &str = "labels.npy";
/// A set in memory has at most this many bytes.
const BYTES_MAX: u64 = 1 << 32;

/// Writes a set into `folder`, each file beside its name, synced, then renamed; returns the digest
/// of both files.
///
/// # Errors
/// When the system cannot write.
pub fn write(folder: &Path, set: &ImageSet) -> Result<String, ShardError> {
    let Shape { height, width, channels } = set.shape();
    let mut shape = vec![set.len() as u64, height as u64, width as u64];
    if channels > 1 {
        shape.push(channels as u64);
    }
    let labels: Vec<i64> = set.labels().iter().map(|&label| i64::from(label)).collect();
    let mut hasher = blake3::Hasher::new();
    for (name, shape, values) in [
        (IMAGES_FILE, shape.as_slice(), Values::Bytes(set.pixels())),
        (LABELS_FILE, &[set.len() as u64], Values::Numbers(&labels)),
    ] {
        let (path, part) = (folder.join(name), folder.join(format!("{name}.part")));
        let write = || -> io::Result<()> {
            let mut file = BufWriter::new(File::create(&part)?);
            match values {
                Values::Bytes(bytes) => write_array(&mut file, shape, bytes)?,
                Values::Numbers(numbers) => write_array(&mut file, shape, numbers)?,
            }
            file.flush()?;
            file.get_ref().sync_all()?;
            fs::rename(&part, &path)
        };
        let io = |source| ShardError::Io { action: "write", path: path.clone(), source };
        let written = write().inspect_err(|_| {
            let _ = fs::remove_file(&part); // makes room where the disk is full
        });
        written.map_err(io)?;
        hasher.update(&fs::read(&path).map_err(io)?);
    }
    Ok(hasher.finalize().to_string())
}

enum Values<'a> {
    Bytes(&'a [u8]),
    Numbers(&'a [i64]),
}

fn write_array<T: npyz::AutoSerialize + Copy>(
    file: impl Write,
    shape: &[u64],
    values: &[T],
) -> io::Result<()> {
    let mut writer =
        npyz::WriteOptions::new().default_dtype().shape(shape).writer(file).begin_nd()?;
    writer.extend(values.iter().copied())?;
    writer.finish()
}

/// Reads the set in `folder`; labels are to be below `classes`.
///
/// # Errors
/// When a file is missing, of another type or shape, or not as long as it says.
pub fn read(folder: &Path, classes: u32) -> Result<ImageSet, DataError> {
    let (images_path, labels_path) = (folder.join(IMAGES_FILE), folder.join(LABELS_FILE));
    let (shape, file, pixels) = map_bytes(&images_path)?;
    let (labels_shape, labels) = read_array::<i64>(&labels_path)?;
    let (height, width, channels) = match shape[..] {
        [_, height, width] => (height, width, 1),
        [_, height, width, channels @ (1 | 3)] => (height, width, channels),
        _ => return Err(unusable(&images_path, format!("its shape is {shape:?}"))),
    };
    if height * width == 0 || labels_shape != [shape[0]] {
        let what = format!("its shape is {shape:?}, and that of the labels {labels_shape:?}");
        return Err(unusable(&images_path, what));
    }
    let label = |(place, &label): (usize, &i64)| match u32::try_from(label) {
        Ok(label) if label < classes => Ok(label),
        _ => {
            let what = format!("label {place} is {label}, but there are only {classes} classes");
            Err(unusable(&labels_path, what))
        }
    };
    let labels = labels.iter().enumerate().map(label).collect::<Result<_, _>>()?;
    let shape =
        Shape { height: height as usize, width: width as usize, channels: channels as usize };
    Ok(ImageSet::mapped(shape, file, pixels, labels))
}

/// An array of bytes in a file: its shape, the file, and where in it the bytes are.
type Mapped = (Vec<u64>, Arc<Mapping>, Range<usize>);

fn map_bytes(path: &Path) -> Result<Mapped, DataError> {
    let io = |source| ShardError::Io { action: "read", path: path.to_owned(), source };
    let file = Mapping::open(path, Access::Scattered).map_err(io)?;
    let array = npyz::NpyFile::new(&file[..]).map_err(|error| unusable(path, error.to_string()))?;
    if array.dtype() != <u8 as npyz::AutoSerialize>::default_dtype() {
        return Err(unusable(path, format!("it holds {}, not bytes", array.dtype().descr())));
    }
    let (shape, order) = (array.shape().to_vec(), array.order());
    let start = file.len() - array.into_inner().len();
    let count = shape.iter().try_fold(1_u64, |product, &size| product.checked_mul(size));
    let end = count.and_then(|count| usize::try_from(count).ok()?.checked_add(start));
    if let Some(end) = end.filter(|end| *end <= file.len() && order == npyz::Order::C) {
        return Ok((shape, Arc::new(file), start..end));
    }
    Err(unusable(path, format!("its shape is {shape:?}, in a file of {} bytes", file.len())))
}

fn unusable(path: &Path, what: String) -> DataError {
    ShardError::Array { path: path.to_owned(), what }.into()
}

fn read_array<T: npyz::AutoSerialize + npyz::Deserialize>(
    path: &Path,
) -> Result<(Vec<u64>, Vec<T>), DataError> {
    let io = |source| ShardError::Io { action: "read", path: path.to_owned(), source };
    let length = fs::metadata(path).map_err(io)?.len();
    if length > BYTES_MAX {
        return Err(unusable(path, format!("it has {length} bytes")));
    }
    let file = File::open(path).map_err(io)?.take(length);
    let array = npyz::NpyFile::new(io::BufReader::new(file))
        .map_err(|error| unusable(path, error.to_string()))?;
    let shape = array.shape().to_vec();
    let count = shape.iter().try_fold(1_u64, |product, &size| product.checked_mul(size));
    let bytes = count.and_then(|count| count.checked_mul(size_of::<T>() as u64));
    // The header comes before them, so they have to be fewer; this bounds what is taken.
    if array.order() != npyz::Order::C || bytes.is_none_or(|bytes| bytes >= length) {
        let what = format!("its shape is {shape:?}, in a file of {length} bytes");
        return Err(unusable(path, what));
    }
    let values = array.into_vec().map_err(|error| unusable(path, error.to_string()))?;
    Ok((shape, values))
}
