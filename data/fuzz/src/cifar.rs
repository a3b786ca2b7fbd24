//! CIFAR's binary records: whole ones with labels in range are read, into the right pixels, and
//! nothing else is.

use std::path::Path;

use lcsl_data::datasets::cifar::{CIFAR10, CIFAR100, CifarFormat, decode};

/// Red, green and blue of 32 by 32 pixels.
const PLANE: usize = 32 * 32;

/// Reads `bytes` as records of both datasets.
pub fn run(bytes: &[u8]) -> bool {
    let accepted = [CIFAR10, CIFAR100].map(|form| records(&form, bytes));
    accepted.contains(&true)
}

fn records(form: &CifarFormat, bytes: &[u8]) -> bool {
    let label_bytes = form.label_classes.len();
    let record_bytes = label_bytes + 3 * PLANE;
    let count = bytes.len() / record_bytes;
    let read = |records: usize| {
        let (mut pixels, mut labels) = (Vec::new(), Vec::new());
        let classes = form.label_classes;
        decode(Path::new("fuzzed"), bytes, records, classes, &mut pixels, &mut labels)
            .map(|()| (pixels, labels))
    };
    assert!(read(count + 1).is_err(), "{} bytes are {count} records and one more", bytes.len());
    let records = bytes.chunks_exact(record_bytes);
    let in_range = |record: &[u8]| {
        let mut labels = record.iter().zip(form.label_classes);
        labels.all(|(&label, &classes)| u32::from(label) < classes)
    };
    let expected = records.remainder().is_empty() && records.clone().all(in_range);
    let Ok((pixels, labels)) = read(count) else {
        assert!(!expected, "{count} good records are refused");
        return false;
    };
    assert!(expected, "{} bytes with {count} records are accepted", bytes.len());
    assert_eq!((pixels.len(), labels.len()), (count * 3 * PLANE, count));
    for ((record, image), &label) in records.zip(pixels.chunks_exact(3 * PLANE)).zip(&labels) {
        assert_eq!(u32::from(record[label_bytes - 1]), label);
        for (at, &value) in image.iter().enumerate() {
            let (pixel, channel) = (at / 3, at % 3);
            assert_eq!(value, record[label_bytes + channel * PLANE + pixel], "byte {at}");
        }
    }
    count > 0
}
