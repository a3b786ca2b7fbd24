//! An index of shards: whatever it says, what its readers hand out lies inside the file or the
//! shard, and memory is taken in proportion to the bytes that are there.

use std::fs;

use lcsl_data::shard::index::{BLOCK_RECORDS, CLASSES_MAX, Head, INDEX_FILE, is_plain_name};
use lcsl_data::shard::record::RECORD_BYTES;
use lcsl_data::shard::set::IMAGE_BYTES_MAX;
use lcsl_data::shard::{Check, Record, ShardSet};

/// The one shard that is there.
pub const SHARD: &str = "a.tar";
/// Bytes of that shard.
pub const SHARD_BYTES: usize = 1536;

/// Byte `at` of the shard.
pub fn shard_byte(at: usize) -> u8 {
    (at * 7) as u8
}

/// Opens `bytes` as an index: as they are, with the head's checksum made right, and with the
/// checksums of all records made right as well.
pub fn run(bytes: &[u8]) -> bool {
    if read(bytes) {
        return true;
    }
    let Some(repaired) = with_head_checksum(bytes) else { return false };
    let accepted = read(&repaired);
    if let Some(repaired) = with_block_checksums(&repaired) {
        assert!(read(&repaired), "checksums made right are refused");
    }
    accepted
}

fn read(file: &[u8]) -> bool {
    let Ok((head, begins)) = Head::read(file) else { return false };
    let records = head.records * RECORD_BYTES as u64;
    assert_eq!(begins as u64 + records, file.len() as u64);
    assert_eq!(head.block_checksums.len() as u64, head.records.div_ceil(BLOCK_RECORDS));
    assert!(head.classes <= CLASSES_MAX);
    assert!(head.shards.iter().all(|shard| is_plain_name(&shard.name)));
    let names: usize = head.shards.iter().map(|shard| shard.name.len()).sum();
    assert!(names <= begins, "{names} bytes of names from a head of {begins}");

    // Written again and read again it is the same.
    let mut again = head.to_bytes();
    let length = again.len();
    again.extend(&file[begins..]);
    assert_eq!(Head::read(&again), Ok((head.clone(), length)));
    read_records(file, &head, begins);
    true
}

/// Asks for every record of the index in `file`, and for every image, as training does.
fn read_records(file: &[u8], head: &Head, begins: usize) {
    let folder = tempfile::tempdir().expect("there is a place for temporary files");
    let shard: Vec<u8> = (0..SHARD_BYTES).map(shard_byte).collect();
    let write = |name: &str, bytes: &[u8]| {
        fs::write(folder.path().join(name), bytes).expect("temporary files can be written");
    };
    write(SHARD, &shard);
    write(INDEX_FILE, file);
    let set = ShardSet::open_index(folder.path(), Check::FirstTouch);
    let set = set.expect("its head was read from the same bytes");
    assert_eq!(set.len() as u64, head.records);
    for i in 0..set.len() {
        let Ok(record) = set.record(i) else {
            assert!(set.bytes(i).is_err(), "image {i} has bytes and no record");
            continue;
        };
        let stored = &file[begins + i * RECORD_BYTES..][..RECORD_BYTES];
        assert_eq!(Record::from_bytes(stored.try_into().expect("48 bytes")), record);
        assert!(record.label < head.classes && record.length <= IMAGE_BYTES_MAX, "{record:?}");
        let entry = &head.shards[record.shard as usize];
        let ends = record.offset.checked_add(record.length);
        assert!(ends.is_some_and(|ends| ends <= entry.length), "{record:?} in {entry:?}");
        if let Ok(bytes) = set.bytes(i) {
            assert_eq!(bytes.len() as u64, record.length);
            assert_eq!(crc32c::crc32c(bytes), record.crc32c);
            if entry.name == SHARD {
                assert!(bytes == &shard[record.offset as usize..][..bytes.len()], "{record:?}");
            }
        }
    }
}

fn with_head_checksum(bytes: &[u8]) -> Option<Vec<u8>> {
    let length = u64::from_le_bytes(bytes.get(40..48)?.try_into().ok()?);
    let length =
        usize::try_from(length).ok().filter(|length| (64..=bytes.len()).contains(length))?;
    let mut bytes = bytes.to_vec();
    bytes[48..52].fill(0);
    let checksum = crc32c::crc32c(&bytes[..length]);
    bytes[48..52].copy_from_slice(&checksum.to_le_bytes());
    Some(bytes)
}

fn with_block_checksums(bytes: &[u8]) -> Option<Vec<u8>> {
    let (mut head, begins) = Head::read(bytes).ok()?;
    let records = &bytes[begins..];
    let blocks = records.chunks(BLOCK_RECORDS as usize * RECORD_BYTES);
    head.block_checksums = blocks.map(crc32c::crc32c).collect();
    let mut repaired = head.to_bytes();
    repaired.extend(records);
    Some(repaired)
}
