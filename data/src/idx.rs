//! The IDX format of MNIST and its descendants (`LeCun`, "The MNIST database of handwritten
//! digits"), plain or gzipped.
//!
//! ```text
//! images   magic 00 00 08 03 | count u32 | rows u32 | columns u32 | count × rows × columns bytes
//! labels   magic 00 00 08 01 | count u32 | count bytes                     all integers big-endian
//! ```
//!
//! A reader believes nothing: the header's sizes are held against a limit before memory is taken
//! for them, and the file must end where the header says that it does.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;

use crate::error::DataError;
use crate::images::{ImageSet, Shape};

/// Magic number of a file of images: unsigned bytes in three dimensions.
pub const MAGIC_IMAGES: u32 = 0x0000_0803;
/// Magic number of a file of labels: unsigned bytes in one dimension.
pub const MAGIC_LABELS: u32 = 0x0000_0801;

/// A file may announce at most this many bytes of pixels or labels: twenty times MNIST.
pub const PAYLOAD_BYTES_MAX: u64 = 1 << 30;

/// How far behind the end of the records a file is read, to say by how much it is too long.
const TRAILING_BYTES_COUNTED: u64 = 1 << 20;

/// At most this much memory is taken before the first byte for it has come.
const RESERVED_BYTES_MAX: u64 = 1 << 20;

/// The content of an IDX file of images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdxImages {
    /// Number of images.
    pub count: u32,
    /// Rows of each image.
    pub rows: u32,
    /// Columns of each image.
    pub columns: u32,
    /// The images one after the other, each row by row, one byte per pixel.
    pub pixels: Vec<u8>,
}

/// Reads a file of images; a name that ends in `.gz` says that it is gzipped.
///
/// # Errors
/// When the file cannot be read, is not a file of images, or is not as long as its header says.
pub fn read_images(path: &Path) -> Result<IdxImages, DataError> {
    images(Reader::open(path)?)
}

/// [`read_images`] of a file whose `bytes` are in memory; `path` is what errors call it.
///
/// # Errors
/// As [`read_images`] has them.
pub fn parse_images(path: &Path, bytes: &[u8]) -> Result<IdxImages, DataError> {
    images(Reader::new(path, bytes))
}

fn images(mut reader: Reader) -> Result<IdxImages, DataError> {
    reader.expect_magic(MAGIC_IMAGES)?;
    let [count, rows, columns] = [reader.u32()?, reader.u32()?, reader.u32()?];
    let pixels = reader.payload(&[count, rows, columns])?;
    Ok(IdxImages { count, rows, columns, pixels })
}

/// Reads a file of labels, each of which must be below `classes`; a name that ends in `.gz` says
/// that it is gzipped.
///
/// # Errors
/// When the file cannot be read, is not a file of labels, is not as long as its header says, or has
/// a label out of range.
pub fn read_labels(path: &Path, classes: u32) -> Result<Vec<u32>, DataError> {
    labels(Reader::open(path)?, classes)
}

/// [`read_labels`] of a file whose `bytes` are in memory; `path` is what errors call it.
///
/// # Errors
/// As [`read_labels`] has them.
pub fn parse_labels(path: &Path, bytes: &[u8], classes: u32) -> Result<Vec<u32>, DataError> {
    labels(Reader::new(path, bytes), classes)
}

fn labels(mut reader: Reader, classes: u32) -> Result<Vec<u32>, DataError> {
    reader.expect_magic(MAGIC_LABELS)?;
    let count = reader.u32()?;
    let start = reader.offset;
    let labels: Vec<u32> = reader.payload(&[count])?.into_iter().map(u32::from).collect();
    match labels.iter().position(|&label| label >= classes) {
        None => Ok(labels),
        Some(place) => {
            let (offset, label) = (start + place as u64, labels[place]);
            Err(DataError::Label { path: reader.path, offset, label, classes })
        }
    }
}

/// Reads a pair of files into a set of grey images, which must be of `size` (rows, columns; neither
/// may be 0).
///
/// # Errors
/// What [`read_images`] and [`read_labels`] refuse; or when the two differ in number, or the images
/// are of another size.
pub fn read_set(
    images_path: &Path,
    labels_path: &Path,
    size: (u32, u32),
    classes: u32,
) -> Result<ImageSet, DataError> {
    let images = read_images(images_path)?;
    let found = (images.rows, images.columns);
    if found != size {
        return Err(DataError::ImageSize { path: images_path.to_owned(), expected: size, found });
    }
    let labels = read_labels(labels_path, classes)?;
    if u64::from(images.count) != labels.len() as u64 {
        return Err(DataError::CountsDiffer {
            images_path: images_path.to_owned(),
            labels_path: labels_path.to_owned(),
            images: u64::from(images.count),
            labels: labels.len() as u64,
        });
    }
    let shape = Shape { height: images.rows as usize, width: images.columns as usize, channels: 1 };
    Ok(ImageSet::new(shape, images.pixels, labels))
}

/// A file being read, which knows its name and how far it has got.
struct Reader<'a> {
    path: PathBuf,
    offset: u64,
    /// The compressed stream ended in its middle: some bytes, or its checksum, are missing.
    cut_off: bool,
    content: Box<dyn Read + 'a>,
}

impl<'a> Reader<'a> {
    fn open(path: &Path) -> Result<Self, DataError> {
        match File::open(path) {
            Ok(file) => Ok(Self::new(path, BufReader::new(file))),
            Err(source) => Err(DataError::Read { path: path.to_owned(), offset: 0, source }),
        }
    }

    /// A reader of `file`, which is gzipped if the name in `path` says so.
    fn new(path: &Path, file: impl BufRead + 'a) -> Self {
        let gzipped = path.extension() == Some(OsStr::new("gz"));
        let content: Box<dyn Read + 'a> =
            if gzipped { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) };
        Self { path: path.to_owned(), offset: 0, cut_off: false, content }
    }

    /// The next `wanted` bytes, or fewer where the file ends.
    fn read_up_to(&mut self, wanted: u64) -> Result<Vec<u8>, DataError> {
        // Memory follows the bytes that come: a header alone must not take a GiB.
        let mut bytes = Vec::with_capacity(wanted.min(RESERVED_BYTES_MAX) as usize);
        let read = (&mut self.content).take(wanted).read_to_end(&mut bytes);
        self.offset += bytes.len() as u64;
        match read {
            Ok(_) => Ok(bytes),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                self.cut_off = true;
                Ok(bytes)
            }
            Err(source) => Err(self.failed(source)),
        }
    }

    fn failed(&self, source: io::Error) -> DataError {
        DataError::Read { path: self.path.clone(), offset: self.offset, source }
    }

    /// The next `wanted` bytes; a file that ends before them is truncated.
    fn read_exactly(&mut self, wanted: u64) -> Result<Vec<u8>, DataError> {
        let expected = self.offset + wanted;
        let bytes = self.read_up_to(wanted)?;
        if self.offset < expected {
            return Err(DataError::Truncated {
                path: self.path.clone(),
                expected,
                found: self.offset,
            });
        }
        Ok(bytes)
    }

    fn u32(&mut self) -> Result<u32, DataError> {
        let bytes = self.read_exactly(4)?;
        Ok(u32::from_be_bytes(bytes.try_into().expect("four bytes were asked for")))
    }

    fn expect_magic(&mut self, expected: u32) -> Result<(), DataError> {
        let found = self.u32()?;
        if found == expected {
            return Ok(());
        }
        Err(DataError::Magic { path: self.path.clone(), expected, found })
    }

    /// The rest of the file, which is to hold one byte for each place of an array with these
    /// `dimensions`.
    fn payload(&mut self, dimensions: &[u32]) -> Result<Vec<u8>, DataError> {
        // Three dimensions of 32 bits cannot overflow 128.
        let announced: u128 = dimensions.iter().map(|&size| u128::from(size)).product();
        let limit = PAYLOAD_BYTES_MAX;
        let Some(size) = u64::try_from(announced).ok().filter(|&size| size <= limit) else {
            return Err(DataError::TooLarge { path: self.path.clone(), announced, limit });
        };
        let payload = self.read_exactly(size)?;
        let expected = self.offset;
        let extra = self.read_up_to(TRAILING_BYTES_COUNTED)?.len() as u64;
        if extra > 0 {
            return Err(DataError::Trailing { path: self.path.clone(), expected, extra });
        }
        // Every byte came, but the checksum behind them did not: nobody knows whether they are
        // right.
        if self.cut_off {
            return Err(self.failed(io::ErrorKind::UnexpectedEof.into()));
        }
        Ok(payload)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::error::Error as _;
    use std::io::Write as _;

    use flate2::{Compression, write::GzEncoder};
    use proptest::prelude::*;
    use tempfile::TempDir;

    /// Header and payload of an IDX file.
    fn idx(magic: u32, dimensions: &[u32], payload: &[u8]) -> Vec<u8> {
        let header = std::iter::once(&magic).chain(dimensions);
        header.flat_map(|value| value.to_be_bytes()).chain(payload.iter().copied()).collect()
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    /// Two images of 2 by 3 and their labels, changed by `damage`, as a set; or what is said about
    /// them, without the folder.
    fn set(gzipped: bool, damage: impl Fn(&mut Vec<u8>, &mut Vec<u8>)) -> Result<ImageSet, String> {
        let folder = TempDir::new().unwrap();
        let mut images = idx(MAGIC_IMAGES, &[2, 2, 3], &(1..=12).collect::<Vec<u8>>());
        let mut labels = idx(MAGIC_LABELS, &[2], &[1, 0]);
        if gzipped {
            (images, labels) = (gzip(&images), gzip(&labels));
        }
        damage(&mut images, &mut labels);
        let name =
            |name: &str| folder.path().join(name).with_extension(if gzipped { "gz" } else { "" });
        let paths = (name("images"), name("labels"));
        std::fs::write(&paths.0, images).unwrap();
        std::fs::write(&paths.1, labels).unwrap();
        read_set(&paths.0, &paths.1, (2, 3), 10).map_err(|error| {
            let source = error.source().map_or_else(String::new, |source| format!(": {source}"));
            format!("{error}{source}").replace(&format!("{}/", folder.path().display()), "")
        })
    }

    #[test]
    fn plain_and_gzipped_files_are_read_alike() {
        for gzipped in [false, true] {
            let set = set(gzipped, |_, _| ()).unwrap();
            assert_eq!(set.shape(), Shape { height: 2, width: 3, channels: 1 });
            assert_eq!((set.image(1), set.labels()), (&[7, 8, 9, 10, 11, 12][..], &[1, 0][..]));
        }
    }

    #[test]
    fn damage_is_named_with_file_and_place() {
        type Damage = fn(&mut Vec<u8>, &mut Vec<u8>);
        let damages: [Damage; 9] = [
            |images, _| images.truncate(20),
            |images, _| images.truncate(6),
            |images, _| images.clear(),
            |_, labels| labels.push(0),
            |images, labels| images.clone_from(labels),
            |_, labels| *labels = idx(MAGIC_LABELS, &[1], &[1]),
            |_, labels| labels[9] = 10,
            |images, _| images[11] = 3,
            |images, _| images[4..16].fill(255),
        ];
        let messages = damages.map(|damage| set(false, damage).unwrap_err());
        insta::assert_snapshot!(messages.join("\n"), @r"
        images ends after 20 of 28 bytes
        images ends after 6 of 8 bytes
        images ends after 0 of 4 bytes
        labels has 1 byte after its last record, at byte 10
        images begins with 0x00000801 instead of 0x00000803
        images has 2 images, but labels has 1 label
        labels has label 10 at byte 9, but there are only 10 classes
        images ends after 28 of 34 bytes
        images announces 79228162458924105385300197375 bytes, more than the limit of 1073741824
        ");
    }

    #[test]
    fn damage_inside_gzip_is_named_too() {
        let damages: [fn(&mut Vec<u8>); 5] = [
            |images| images.truncate(20),
            // Every pixel arrives, but the checksum behind them is cut off.
            |images| images.truncate(images.len() - 6),
            |images| *images.iter_mut().rev().nth(7).unwrap() ^= 1,
            |images| images.extend(b"garbage"),
            |images| images.clear(),
        ];
        let messages = damages.map(|damage| set(true, |images, _| damage(images)).unwrap_err());
        insta::assert_snapshot!(messages.join("\n"), @r"
        images.gz ends after 15 of 16 bytes
        cannot read images.gz at byte 28: unexpected end of file
        cannot read images.gz at byte 28: corrupt gzip stream does not have a matching checksum
        cannot read images.gz at byte 28: unexpected end of file
        images.gz ends after 0 of 4 bytes
        ");
    }

    /// A header of 16 bytes that announced a GiB, just below the limit, was given that GiB before
    /// anyone looked whether a single byte of it was there.
    #[test]
    fn memory_follows_the_bytes_that_come_not_those_that_are_announced() {
        let bytes = [7; 24];
        let mut reader = Reader::new(Path::new("images"), &bytes[..]);
        let taken = reader.read_up_to(PAYLOAD_BYTES_MAX).unwrap();
        assert_eq!(taken, bytes);
        assert!(taken.capacity() as u64 <= RESERVED_BYTES_MAX, "{} bytes", taken.capacity());
    }

    #[test]
    fn bytes_in_memory_are_read_as_a_file_is() {
        let (images, labels) =
            (idx(MAGIC_IMAGES, &[1, 1, 2], &[3, 4]), idx(MAGIC_LABELS, &[1], &[5]));
        for (name, pack) in [("x", <[u8]>::to_vec as fn(&[u8]) -> Vec<u8>), ("x.gz", gzip)] {
            let path = Path::new(name);
            assert_eq!(parse_images(path, &pack(&images)).unwrap().pixels, [3, 4]);
            assert_eq!(parse_labels(path, &pack(&labels), 10).unwrap(), [5]);
        }
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = read_images(Path::new("nowhere/images")).unwrap_err();
        insta::assert_snapshot!(error, @"cannot read nowhere/images at byte 0");
        insta::assert_snapshot!(error.source().unwrap(), @"No such file or directory (os error 2)");
    }

    proptest! {
        #[test]
        fn no_content_makes_the_reader_panic(
            content in prop::collection::vec(any::<u8>(), 0..40), magic: bool, gzipped: bool,
        ) {
            let folder = TempDir::new().unwrap();
            let path = folder.path().join(if gzipped { "file.gz" } else { "file" });
            let mut bytes = content;
            if magic {
                bytes.splice(0..bytes.len().min(4), MAGIC_IMAGES.to_be_bytes());
            }
            std::fs::write(&path, if gzipped { gzip(&bytes) } else { bytes.clone() }).unwrap();
            if let Ok(images) = read_images(&path) {
                prop_assert_eq!(bytes.len(), 16 + images.pixels.len());
            }
        }
    }
}
