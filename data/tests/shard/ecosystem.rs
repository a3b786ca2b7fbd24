//! Our shards in the hands of Python: `tarfile` and `webdataset`.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::stage::write_set;

/// A Python that has `webdataset`: the one that `make pytorch` sets up, or else the system's.
fn python() -> Option<PathBuf> {
    let prepared = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.deps/venv/bin/python");
    let has_it = |python: &PathBuf| {
        let found = Command::new(python).args(["-c", "import webdataset"]).output();
        found.is_ok_and(|output| output.status.success())
    };
    [prepared, PathBuf::from("python3")].into_iter().find(has_it)
}

fn said(python: &Path, script: &str, folder: &Path) -> String {
    let output = Command::new(python).args(["-c", script]).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn webdataset_reads_our_shards() {
    let Some(python) = python() else {
        assert!(std::env::var_os("CI").is_none(), "CI must run this test: `make pytorch` first");
        eprintln!("not checked against webdataset: `make pytorch` adds it to .deps/venv");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    write_set(folder.path(), 5, 3, 4);
    // The package's own decoder turns `.cls` into a number.
    let script = "import webdataset as wds\n\
        urls = ['shard-00000.tar', 'shard-00001.tar']\n\
        data = wds.WebDataset(urls, shardshuffle=False).decode(lambda key, data: \
        int(data) if key.endswith('cls') else data)\n\
        for s in data: print(s['__key__'], s['cls'], len(s['jpg']), sum(s['jpg']))";
    let sum = |key| crate::stage::content(key).iter().map(|&byte| u64::from(byte)).sum::<u64>();
    let lines = (0..5).map(|key| format!("{key:09} {} {} {}\n", key % 4, 100 + key * 7, sum(key)));
    assert_eq!(said(&python, script, folder.path()), lines.collect::<String>());
}

#[test]
fn tarfile_reads_our_shards_in_its_strict_mode() {
    let folder = tempfile::tempdir().unwrap();
    write_set(folder.path(), 2, 2, 2);
    let script = "import tarfile\n\
        tar = tarfile.open('shard-00000.tar', 'r:', errorlevel=2)\n\
        print([(m.name, m.size, m.isreg()) for m in tar])";
    assert_eq!(
        said(Path::new("python3"), script, folder.path()),
        "[('000000000.jpg', 100, True), ('000000000.cls', 1, True), \
         ('000000001.jpg', 107, True), ('000000001.cls', 1, True)]\n"
    );
}
