//! A tar that something else wrote: what is indexed lies inside it and is what the record says, in
//! order, and a shard written from it has the same images.

use std::ops::Range;
use std::path::Path;

use lcsl_data::prepare::foreign::index_shard;
use lcsl_data::shard::record::{FLAG_PNG, content_digest};
use lcsl_data::shard::writer::{Image, ShardWriter};
use lcsl_data::shard::{Record, RecordForm};

const CLASSES: u32 = 10;
const BLOCK: usize = 512;
const CHECKSUM: Range<usize> = 148..156;

/// Indexes `bytes`: as they are, and with the checksums of all headers made right.
pub fn run(bytes: &[u8]) -> bool {
    let accepted = read(bytes);
    accepted | read(&with_checksums(bytes))
}

fn read(file: &[u8]) -> bool {
    let Ok(records) = index_shard(Path::new("fuzzed"), file, CLASSES) else { return false };
    let mut ends = 0;
    for record in &records {
        assert!(record.offset >= ends + BLOCK as u64, "{record:?} begins in what is before it");
        assert_eq!(record.offset % BLOCK as u64, 0, "{record:?}");
        ends = record.offset + record.length;
        assert!(ends <= file.len() as u64, "{record:?} in {} bytes", file.len());
        let content = content(file, record);
        assert_eq!(record.crc32c, crc32c::crc32c(content));
        assert_eq!(record.digest, content_digest(content));
        assert!(record.label < CLASSES && record.width > 0 && record.height > 0, "{record:?}");
    }
    if !records.is_empty() {
        write_again(file, &records);
    }
    !records.is_empty()
}

fn content<'a>(file: &'a [u8], record: &Record) -> &'a [u8] {
    &file[record.offset as usize..][..record.length as usize]
}

/// Writes the images as a shard of our own, whose records have to say the same.
fn write_again(file: &[u8], records: &[Record]) {
    let folder = tempfile::tempdir().expect("there is a place for temporary files");
    let path = folder.path().join("a.tar");
    // Raw images are square and any other is compressed, so the form shows in the first of them.
    let form = raw_form(&records[0]);
    let mut writer = ShardWriter::create(&path, 0, form).expect("temporary files can be written");
    let mut written = Vec::new();
    for (key, record) in records.iter().enumerate() {
        let &Record { label, width, height, flags, .. } = record;
        let (key, bytes) = (key as u64, content(file, record));
        let image = Image { key, bytes, label, width, height, flags };
        written.push(writer.append(&image).expect("temporary files can be written"));
    }
    writer.finish().expect("temporary files can be written");
    let shard = std::fs::read(&path).expect("it was just written");
    let read = index_shard(&path, &shard, CLASSES);
    assert_eq!(read.expect("our own shard is read"), written);
}

fn raw_form(record: &Record) -> RecordForm {
    let side = record.width;
    let bytes = u64::from(side) * u64::from(record.height) * 3;
    let is_raw = record.flags & FLAG_PNG == 0 && bytes == record.length && side == record.height;
    if is_raw { RecordForm::Raw { side } } else { RecordForm::Jpeg }
}

/// The tar in `bytes` with right checksums, as far as its headers say where the next one is.
fn with_checksums(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let mut at = 0;
    while let Some(block) = bytes.get_mut(at..).and_then(|rest| rest.get_mut(..BLOCK)) {
        let mut header = tar::Header::new_old();
        header.as_mut_bytes().copy_from_slice(block);
        let is_end = block.iter().all(|&byte| byte == 0);
        header.set_cksum();
        if !is_end {
            block[CHECKSUM].copy_from_slice(&header.as_bytes()[CHECKSUM]);
        }
        let size = header.entry_size().unwrap_or(0).min(bytes.len() as u64) as usize;
        at += BLOCK + size.next_multiple_of(BLOCK);
    }
    bytes
}
