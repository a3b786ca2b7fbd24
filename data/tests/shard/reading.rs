//! Reading what was written.

use std::fs;
use std::process::Command;

use lcsl_data::DataError;
use lcsl_data::shard::index::{INDEX_FILE, write_index};
use lcsl_data::shard::{Check, Record, RecordForm, ShardError, ShardSet};

use crate::stage::{content, write_set};

#[test]
fn images_come_back_as_they_were_written_also_to_several_threads() {
    let folder = tempfile::tempdir().unwrap();
    let records = write_set(folder.path(), 2_500, 400, 7);
    let set = ShardSet::open(folder.path()).unwrap();
    assert_eq!((set.len(), set.form(), set.classes()), (2_500, RecordForm::Jpeg, 7));
    assert_eq!(set.shards().len(), 7);
    let read = |part: usize| {
        for i in (part..set.len()).step_by(2) {
            assert_eq!(set.bytes(i).unwrap(), content(i as u64));
            assert_eq!(set.record(i).unwrap(), records[i]);
            assert_eq!(set.label(i).unwrap() as usize, i % 7);
            set.fetch_ahead(i).unwrap();
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(|| read(0));
        scope.spawn(|| read(1));
    });
}

#[test]
fn a_set_may_be_empty() {
    let folder = tempfile::tempdir().unwrap();
    write_set(folder.path(), 0, 1, 3);
    assert!(ShardSet::open(folder.path()).unwrap().is_empty());
}

#[test]
fn equal_images_make_equal_files() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    write_set(one.path(), 20, 20, 2);
    write_set(other.path(), 20, 20, 2);
    for name in ["shard-00000.tar", INDEX_FILE] {
        let read = |folder: &tempfile::TempDir| fs::read(folder.path().join(name)).unwrap();
        assert_eq!(read(&one), read(&other));
    }
}

#[test]
fn tar_lists_a_shard() {
    let folder = tempfile::tempdir().unwrap();
    write_set(folder.path(), 2, 2, 2);
    let shard = folder.path().join("shard-00000.tar");
    let output = Command::new("tar").arg("tvf").arg(shard).output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    insta::assert_snapshot!(String::from_utf8(output.stdout).unwrap(), @r"
    -rw-r--r-- 0/0             100 1970-01-01 00:00 000000000.jpg
    -rw-r--r-- 0/0               1 1970-01-01 00:00 000000000.cls
    -rw-r--r-- 0/0             107 1970-01-01 00:00 000000001.jpg
    -rw-r--r-- 0/0               1 1970-01-01 00:00 000000001.cls
    ");
}

#[test]
fn a_folder_without_an_index_is_answered_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let error = ShardSet::open(folder.path()).unwrap_err();
    let what = error.to_string().replace(folder.path().to_str().unwrap(), "FOLDER");
    insta::assert_snapshot!(format!("{what}\nhint: {}", error.hint().unwrap()), @r"
    there is no index at FOLDER/index.lcsl
    hint: make the set with `lcsl data prepare`; for tar shards made elsewhere, `lcsl data index FOLDER` writes an index
    ");
}

#[test]
fn a_changed_image_is_named_when_it_is_first_touched() {
    let folder = tempfile::tempdir().unwrap();
    let records = write_set(folder.path(), 10, 4, 2);
    let path = folder.path().join("shard-00001.tar");
    let mut bytes = fs::read(&path).unwrap();
    bytes[records[6].offset as usize + 50] ^= 4;
    fs::write(&path, bytes).unwrap();
    let set = ShardSet::open(folder.path()).unwrap();
    assert_eq!(set.bytes(5).unwrap(), content(5));
    let error = set.bytes(6).unwrap_err();
    let DataError::Shard(ShardError::Payload { path: named, record, offset, .. }) = &error else {
        panic!("{error:?}")
    };
    assert_eq!((named, *record, *offset), (&path, 6, records[6].offset));
    set.bytes(6).unwrap_err();

    let trusting = ShardSet::open_checking(folder.path(), Check::Never).unwrap();
    trusting.bytes(6).unwrap();
    let careful = ShardSet::open_checking(folder.path(), Check::Always).unwrap();
    careful.bytes(6).unwrap_err();
}

#[test]
fn a_shard_of_another_length_is_refused_at_once() {
    let folder = tempfile::tempdir().unwrap();
    write_set(folder.path(), 10, 4, 2);
    let path = folder.path().join("shard-00001.tar");
    let length = fs::metadata(&path).unwrap().len();
    for changed in [length - 1, length + 512] {
        fs::File::options().write(true).open(&path).unwrap().set_len(changed).unwrap();
        match ShardSet::open(folder.path()).unwrap_err() {
            DataError::Shard(ShardError::Length { path: named, expected, found }) => {
                assert_eq!((named, expected, found), (path.clone(), length, changed));
            }
            other => panic!("{other:?}"),
        }
    }
    fs::remove_file(&path).unwrap();
    let error = ShardSet::open(folder.path()).unwrap_err().to_string();
    assert!(error.contains("shard-00001.tar"), "{error}");
}

/// Opening must not depend on the number of records: their block is looked at when the first of
/// them is asked for.
#[test]
fn a_damaged_block_of_records_is_named_when_it_is_first_touched() {
    let folder = tempfile::tempdir().unwrap();
    write_set(folder.path(), 2_100, 2_100, 2);
    let path = folder.path().join(INDEX_FILE);
    let mut bytes = fs::read(&path).unwrap();
    let records_at = bytes.len() - 2_100 * 48;
    bytes[records_at + 1_024 * 48 + 5] ^= 1;
    fs::write(&path, bytes).unwrap();
    let set = ShardSet::open(folder.path()).unwrap();
    set.record(1_023).unwrap();
    set.record(2_048).unwrap();
    match set.record(2_047).unwrap_err() {
        DataError::Shard(ShardError::Block { first, last, offset, .. }) => {
            assert_eq!((first, last), (1_024, 2_047));
            assert_eq!(offset as usize, records_at + 1_024 * 48);
        }
        other => panic!("{other:?}"),
    }
}

/// An index with right checksums that lies nevertheless.
#[test]
fn records_that_cannot_be_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let right = write_set(folder.path(), 1, 1, 2)[0];
    let shards = ShardSet::open(folder.path()).unwrap().shards().to_vec();
    let lies = [
        Record { shard: 1, ..right },
        Record { offset: u64::MAX, ..right },
        Record { offset: u64::MAX - 10, length: 20, ..right },
        Record { length: shards[0].length, ..right },
        Record { label: 2, ..right },
        Record { width: 0, ..right },
        Record { height: 65_536, ..right },
    ];
    let mut said = String::new();
    for lie in lies {
        write_index(folder.path(), RecordForm::Jpeg, 2, shards.clone(), 1, [lie]).unwrap();
        let set = ShardSet::open(folder.path()).unwrap();
        let error = set.bytes(0).unwrap_err().to_string();
        said += &error.replace(folder.path().to_str().unwrap(), "FOLDER");
        said += "\n";
    }
    let raw = RecordForm::Raw { side: 4 };
    write_index(folder.path(), raw, 2, shards.clone(), 1, [right]).unwrap();
    let error = ShardSet::open(folder.path()).unwrap().record(0).unwrap_err().to_string();
    said += &error.replace(folder.path().to_str().unwrap(), "FOLDER");
    insta::assert_snapshot!(said);
}
