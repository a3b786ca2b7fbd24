//! A shard that shrinks while it is mapped.

use std::fs::File;
use std::process::Command;

use lcsl_data::shard::ShardSet;

use crate::stage::write_set;

/// Names the folder in the process that is to die.
const FOLDER: &str = "LCSL_TEST_SHRINKING_FOLDER";

/// Without the handler the process dies of SIGBUS and says nothing.
#[test]
fn the_process_ends_with_the_shard_and_the_place() {
    if let Some(folder) = std::env::var_os(FOLDER) {
        shrink_while_mapped(folder.as_ref());
    }
    let folder = tempfile::tempdir().unwrap();
    let name = "shrinking::the_process_ends_with_the_shard_and_the_place";
    let output = Command::new(std::env::current_exe().unwrap())
        .args([name, "--exact", "--nocapture"])
        .env(FOLDER, folder.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    let said = String::from_utf8(output.stderr).unwrap();
    let said = said.replace(folder.path().to_str().unwrap(), "FOLDER");
    insta::assert_snapshot!(said, @r"
    error: FOLDER/shard-00001.tar cannot be read any more at byte 9728: it shrank while it was in use, or the disk fails
      hint: leave the files of a set alone while it is read; `lcsl data verify` says what is still right
    ");
}

/// Never returns.
fn shrink_while_mapped(folder: &std::path::Path) {
    let records = write_set(folder, 400, 200, 2);
    let set = ShardSet::open(folder).unwrap();
    set.bytes(0).unwrap();
    set.bytes(200).unwrap();
    // Mappings that come and go: their places in the table are used again.
    for _ in 0..3 {
        ShardSet::open(folder).unwrap().bytes(399).unwrap();
    }
    let shard = set.shard_path(1);
    let file = File::options().write(true).open(shard).unwrap();
    file.set_len(4096).unwrap();
    let beyond = records[200..].iter().position(|record| record.offset > 8192).unwrap();
    let sum: u64 = set.bytes(200 + beyond).unwrap().iter().map(|&byte| u64::from(byte)).sum();
    panic!("read {sum} from nowhere");
}
