//! Small sets to open and to damage.

use std::path::Path;

use lcsl_data::shard::index::write_index;
use lcsl_data::shard::writer::{Image, ShardWriter};
use lcsl_data::shard::{Record, RecordForm};

/// Bytes that stand for an image: nothing here decodes them.
pub(crate) fn content(key: u64) -> Vec<u8> {
    (0..100 + key * 7).map(|at| (at * 31 + key) as u8).collect()
}

/// Writes `images` images of `classes` classes, `per_shard` to a shard, into `folder`.
pub(crate) fn write_set(folder: &Path, images: u64, per_shard: u64, classes: u32) -> Vec<Record> {
    let (mut shards, mut records) = (Vec::new(), Vec::new());
    for (number, begins) in (0..images).step_by(per_shard as usize).enumerate() {
        let path = folder.join(format!("shard-{number:05}.tar"));
        let mut writer = ShardWriter::create(&path, number as u32, RecordForm::Jpeg).unwrap();
        for key in begins..(begins + per_shard).min(images) {
            let (bytes, label) = (content(key), (key % u64::from(classes)) as u32);
            let image = Image { key, bytes: &bytes, label, width: 3, height: 5, flags: 0 };
            records.push(writer.append(&image).unwrap());
        }
        shards.push(writer.finish().unwrap());
    }
    write_index(folder, RecordForm::Jpeg, classes, shards, images, records.iter().copied())
        .unwrap();
    records
}
