//! The binary records of CIFAR.
//!
//! ```text
//! CIFAR-10    3,073 bytes   label                | 1,024 red | 1,024 green | 1,024 blue
//! CIFAR-100   3,074 bytes   coarse label | label | 1,024 red | 1,024 green | 1,024 blue
//! ```
//!
//! Each plane of 1,024 bytes is 32 rows of 32. A file is its records and nothing else.

use std::path::Path;

use crate::error::DataError;
use crate::images::Shape;

/// The size of every image.
pub(in crate::datasets) const SHAPE: Shape = Shape { height: 32, width: 32, channels: 3 };

/// Appends the records in `bytes`, the content of the file at `path`, to `pixels` (rows, columns,
/// channels) and `labels`.
///
/// A record has one label byte for each entry of `label_classes`, which says how many classes there
/// are; the last byte is the label. There must be exactly `records` records.
///
/// # Errors
/// When the file has another length, or a label is out of range.
pub fn decode(
    path: &Path,
    bytes: &[u8],
    records: usize,
    label_classes: &[u32],
    pixels: &mut Vec<u8>,
    labels: &mut Vec<u32>,
) -> Result<(), DataError> {
    let record_bytes = label_classes.len() + SHAPE.bytes();
    check_length(path, bytes.len() as u64, (records * record_bytes) as u64)?;
    pixels.reserve(records * SHAPE.bytes());
    for (number, record) in bytes.chunks_exact(record_bytes).enumerate() {
        let (label_bytes, planes) = record.split_at(label_classes.len());
        for (place, (&label, &classes)) in label_bytes.iter().zip(label_classes).enumerate() {
            let label = u32::from(label);
            if label >= classes {
                let offset = (number * record_bytes + place) as u64;
                return Err(DataError::Label { path: path.to_owned(), offset, label, classes });
            }
        }
        labels.extend(label_bytes.last().map(|&label| u32::from(label)));
        let (red, rest) = planes.split_at(SHAPE.height * SHAPE.width);
        let (green, blue) = rest.split_at(SHAPE.height * SHAPE.width);
        for ((&red, &green), &blue) in red.iter().zip(green).zip(blue) {
            pixels.extend([red, green, blue]);
        }
    }
    Ok(())
}

fn check_length(path: &Path, found: u64, expected: u64) -> Result<(), DataError> {
    let path = path.to_owned();
    if found < expected {
        return Err(DataError::Truncated { path, expected, found });
    }
    if found > expected {
        return Err(DataError::Trailing { path, expected, extra: found - expected });
    }
    Ok(())
}
