//! Shards that something else wrote, above all Python's `tarfile` in each of its formats.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use lcsl_data::prepare::foreign::{Indexed, index};
use lcsl_data::prepare::image::{RgbImage, encode};
use lcsl_data::shard::{RecordForm, ShardSet};
use tempfile::{TempDir, tempdir};

/// Runs a script of Python's standard library that has `add(name, content, **fields)`, `image` (a
/// JPEG) and `tar` (open for writing, format `format`).
fn python(folder: &Path, name: &str, format: &str, script: &str) {
    let rgb =
        RgbImage { width: 16, height: 8, pixels: (0..16 * 8 * 3).map(|at| at as u8).collect() };
    fs::write(folder.join("image"), encode(&rgb, 90).unwrap()).unwrap();
    let whole = format!(
        "import io, tarfile\n\
        image = open('image', 'rb').read()\n\
        tar = tarfile.open({name:?}, 'w', format=tarfile.{format})\n\
        def add(name, content, **fields):\n\
        \x20   info = tarfile.TarInfo(name)\n\
        \x20   info.size = len(content)\n\
        \x20   for field, value in fields.items():\n\
        \x20       setattr(info, field, value)\n\
        \x20   tar.addfile(info, io.BytesIO(content))\n\
        {script}\n\
        tar.close()\n"
    );
    let output = Command::new("python3").args(["-c", &whole]).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

const SAMPLES: &str = "
for n in range(3):
    add('train/%06d.jpg' % n, image)
    add('train/%06d.cls' % n, str(n * 2).encode())
    add('train/%06d.json' % n, b'{}')
";

fn refused(folder: &Path) -> String {
    let error = index(folder, None, |_, _| {}).unwrap_err().to_string();
    error.replace(folder.to_str().unwrap(), "FOLDER")
}

fn good(folder: &Path) -> Indexed {
    let indexed = index(folder, None, |_, _| {}).unwrap();
    let set = ShardSet::open(folder).unwrap();
    assert_eq!((set.len() as u64, set.classes()), (indexed.images, indexed.classes));
    let image = fs::read(folder.join("image")).unwrap();
    for i in 0..set.len() {
        assert_eq!(set.bytes(i).unwrap(), image);
        let record = set.record(i).unwrap();
        assert_eq!((record.width, record.height), (16, 8));
    }
    indexed
}

#[test]
fn every_format_of_python_is_read() {
    for format in ["USTAR_FORMAT", "GNU_FORMAT", "PAX_FORMAT"] {
        let folder = tempdir().unwrap();
        python(folder.path(), "b.tar", format, SAMPLES);
        python(folder.path(), "a.tar", format, "add('x.jpeg', image); add('x.cls', b'1\\n')");
        let indexed = good(folder.path());
        assert_eq!((indexed.images, indexed.shards, indexed.classes), (4, 2, 5), "{format}");
        assert_eq!(indexed.passed_over.notes(), ["3 members with json were passed over"]);
        let set = ShardSet::open(folder.path()).unwrap();
        let labels: Vec<u32> = (0..4).map(|i| set.label(i).unwrap()).collect();
        assert_eq!((labels, set.form()), (vec![1, 0, 2, 4], RecordForm::Jpeg), "{format}");
    }
}

/// Long names need a pax header or GNU's `././@LongLink`; folders and global headers say nothing
/// about samples.
#[test]
fn long_names_folders_and_global_headers_are_understood() {
    let long = "
long = 'folder.with.dots/' + 'x' * 150 + 'ü/' + 'y' * 120
info = tarfile.TarInfo('folder.with.dots'); info.type = tarfile.DIRTYPE; tar.addfile(info)
add(long + '.seg.png', b'not an image that is asked for')
add(long + '.JPG', image, mtime=1.5, uid=2**40)
add(long + '.cls', b'7')
add('README', b'text')
";
    for format in ["GNU_FORMAT", "PAX_FORMAT"] {
        let folder = tempdir().unwrap();
        python(folder.path(), "a.tar", format, long);
        let indexed = good(folder.path());
        assert_eq!((indexed.images, indexed.classes), (1, 8), "{format}");
        let notes = indexed.passed_over.notes();
        assert!(
            notes[0].starts_with("1 member was passed over because of a second dot, such as "),
            "{notes:?}"
        );
        assert_eq!(notes[1..], ["1 member with no extension was passed over"]);
    }
    let folder = tempdir().unwrap();
    let global = "tar.fileobj.write(tarfile.TarInfo.create_pax_global_header({'comment': 'c'}))\n";
    let global = format!("{global}tar.offset = tar.fileobj.tell()\n{SAMPLES}");
    python(folder.path(), "a.tar", "PAX_FORMAT", &global);
    assert_eq!(good(folder.path()).images, 3);
}

/// The header of the first member, changed, with its checksum made right.
fn with_header(folder: &TempDir, change: impl Fn(&mut [u8])) {
    let path = folder.path().join("a.tar");
    let mut bytes = fs::read(&path).unwrap();
    change(&mut bytes[..512]);
    bytes[148..156].fill(b' ');
    let sum: u32 = bytes[..512].iter().map(|&byte| u32::from(byte)).sum();
    bytes[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    fs::write(path, bytes).unwrap();
}

#[test]
fn sizes_in_base_256_are_read() {
    let folder = tempdir().unwrap();
    python(folder.path(), "a.tar", "GNU_FORMAT", SAMPLES);
    let length = fs::metadata(folder.path().join("image")).unwrap().len();
    with_header(&folder, |header| {
        header[124] = 0x80;
        header[125..128].fill(0);
        header[128..136].copy_from_slice(&length.to_be_bytes());
    });
    assert_eq!(good(folder.path()).images, 3);
}

#[test]
fn an_end_without_its_mark_is_an_end() {
    let folder = tempdir().unwrap();
    python(folder.path(), "a.tar", "USTAR_FORMAT", "add('1.jpg', image); add('1.cls', b'2')");
    let path = folder.path().join("a.tar");
    let bytes = fs::read(&path).unwrap();
    let used = bytes.iter().rposition(|&byte| byte != 0).unwrap() + 1;
    fs::write(&path, &bytes[..used.next_multiple_of(512)]).unwrap();
    assert_eq!(good(folder.path()).images, 1);
    // Also without the zeros that fill up the last block.
    fs::write(&path, &bytes[..used]).unwrap();
    assert_eq!(good(folder.path()).images, 1);
}

#[test]
fn what_cannot_be_understood_is_refused_with_its_place() {
    let mut said = String::new();
    for script in [
        "add('1.jpg', image); add('2.cls', b'2')",
        "add('1.cls', b'2'); add('2.jpg', image)",
        "add('1.jpg', image); add('1.cls', b'cat')",
        "add('1.jpg', image); add('1.cls', b'-1')",
        "add('1.jpg', image); add('1.jpeg', image); add('1.cls', b'1')",
        "add('1.jpg', image[:50]); add('1.cls', b'1')",
        "add('1.jpg', b''); add('1.cls', b'1')",
        "add('1.rgb', b'abcd'); add('1.cls', b'1')",
        "add('1.rgb', b'abc'); add('1.cls', b'1'); add('2.jpg', image); add('2.cls', b'1')",
        "add('1.jpg', b'', type=tarfile.SYMTYPE, linkname='/etc/passwd')",
        "add('1.jpg', b'', type=tarfile.FIFOTYPE)",
        "add('1.jpg', image); add('1.cls', b'1'); tar.fileobj.write(b'\\0' * 1024 + b'more')",
    ] {
        let folder = tempdir().unwrap();
        python(folder.path(), "a.tar", "USTAR_FORMAT", script);
        writeln!(said, "{}", refused(folder.path())).unwrap();
        assert!(!folder.path().join("index.lcsl").exists());
    }
    insta::assert_snapshot!(said);
}

/// What is said of a folder, and what to do.
fn refused_with_hint(folder: &Path) -> String {
    let error = index(folder, None, |_, _| {}).unwrap_err();
    let hint = error.hint().unwrap();
    format!("{error}\n  hint: {hint}").replace(folder.to_str().unwrap(), "FOLDER")
}

/// Story: an index of no image at all was written with "0 images of 0 classes" and exit code 0, and whatever else was
/// wrong with shards of other tools was called a damaged tar.
#[test]
fn shards_of_other_tools_get_a_hint_that_fits() {
    let mut said = String::new();
    for script in [
        "add('img.v3.final.jpg', image); add('img.v3.final.cls', b'1')",
        "add('1.jpg', image); add('1.json', b'{\"label\": 3}')",
        "add('1.jpg', image); add('1.txt', b'3')",
        "add('1.webp', b'RIFF'); add('1.cls', b'3')",
        "add('1.webp', b'RIFF'); add('1.json', b'3')",
        "add('1.jpg', image); add('2.jpg', image); add('1.cls', b'1'); add('2.cls', b'2')",
        "add('1.cls', b'1'); add('2.cls', b'2'); add('1.jpg', image); add('2.jpg', image)",
        "add('1.jpg', image); add('1.cls', b'cat')",
        "add('README', b'text')",
    ] {
        let folder = tempdir().unwrap();
        python(folder.path(), "a.tar", "USTAR_FORMAT", script);
        writeln!(said, "{}", refused_with_hint(folder.path())).unwrap();
        assert!(!folder.path().join("index.lcsl").exists());
    }
    insta::assert_snapshot!(said);
}

/// Story: shards as they are downloaded, compressed, were no shards at all, or damaged ones when they had been renamed.
#[test]
fn compressed_shards_are_called_that() {
    let folder = tempdir().unwrap();
    let file = |name: &str, bytes: &[u8]| fs::write(folder.path().join(name), bytes).unwrap();
    file("a.tar.gz", b"\x1f\x8b");
    file("b.TGZ", b"\x1f\x8b");
    let mut said = refused_with_hint(folder.path());
    for begin in [&b"\x1f\x8b\x08\0"[..], b"\x28\xb5\x2f\xfd", b"PK\x03\x04", b"<html><body>404"] {
        file("c.tar", &begin.repeat(200));
        write!(said, "\n{}", refused_with_hint(folder.path())).unwrap();
    }
    insta::assert_snapshot!(said);
    python(folder.path(), "c.tar", "USTAR_FORMAT", SAMPLES);
    let notes = good(folder.path()).passed_over.notes();
    assert!(
        notes[1].starts_with("2 compressed files were passed over, such as a.tar.gz: "),
        "{notes:?}"
    );
}

/// A class as editors and other systems write it.
#[test]
fn a_class_is_a_number_in_any_text() {
    let folder = tempdir().unwrap();
    let script = "
for n, text in enumerate([b'7', b' 7\\r\\n', b'\\xef\\xbb\\xbf7', b'\\xff\\xfe7\\0', b'7\\0']):
    add('%d.jpg' % n, image)
    add('%d.cls' % n, text)
";
    python(folder.path(), "a.tar", "USTAR_FORMAT", script);
    assert_eq!(good(folder.path()).classes, 8);
    let set = ShardSet::open(folder.path()).unwrap();
    assert!((0..5).all(|i| set.label(i).unwrap() == 7));
}

#[test]
fn damaged_tars_are_refused_with_their_place() {
    let folder = tempdir().unwrap();
    python(folder.path(), "a.tar", "USTAR_FORMAT", SAMPLES);
    let path = folder.path().join("a.tar");
    let good = fs::read(&path).unwrap();
    let mut said = String::new();
    let mut damaged = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        writeln!(said, "{}", refused(folder.path())).unwrap();
    };
    damaged(&good[..700]); // in the middle of the first image
    damaged(&good[..512 + 1024 + 100]); // in the middle of a header
    damaged(&[&good[..10], b"?", &good[11..]].concat()); // a wrong checksum
    damaged(&[0x1f, 0x8b, 8, 0].repeat(300)); // compressed
    fs::write(&path, &good).unwrap();
    with_header(&folder, |header| header[124..136].copy_from_slice(b"77777777777\0"));
    writeln!(said, "{}", refused(folder.path())).unwrap();
    with_header(&folder, |header| {
        header[124] = 0x80;
        header[125..136].fill(0xff);
    });
    writeln!(said, "{}", refused(folder.path())).unwrap();
    fs::remove_file(&path).unwrap();
    writeln!(said, "{}", refused(folder.path())).unwrap();
    insta::assert_snapshot!(said);
}
