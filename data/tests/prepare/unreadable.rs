//! Pictures that look whole and are not.

use std::fs;

use lcsl_data::datasets::DatasetId;
use lcsl_data::decode::Decoder;
use lcsl_data::prepare::image::encode;
use lcsl_data::prepare::{OnUnreadable, PrepareRequest};
use lcsl_data::verify::{Thoroughness, VerifyProgress, verify};
use tempfile::{TempDir, tempdir};

use crate::stage::{classes, files, picture, put, refusal, request, run};

/// Two classes of ten sound images, and three JPEGs that are damaged in their middles.
fn stage() -> (TempDir, PrepareRequest) {
    let folder = tempdir().unwrap();
    let request = request(DatasetId::Folder, &folder.path().join("in"), &folder.path().join("out"));
    classes(&request, "", &[10, 10]);
    let sound = encode(&noise(), 90).unwrap();
    let cut = damaged(&sound, |at| [&sound[..at], &sound[at + 300..]].concat());
    let zeroed = damaged(&sound, |at| with_zeros(&sound, at));
    let early = damaged(&sound, |at| [&sound[..at], &[0xff, 0xd9], &sound[at..]].concat());
    for (name, bytes) in [("cut", cut), ("zeroed", zeroed), ("early", early)] {
        put(&request.root.join(format!("class-0/{name}.jpg")), bytes);
    }
    (folder, request)
}

/// The first of the `change`s from the middle on that training would notice. A decoder may well find its way
/// again after some, and then nothing can be seen but other pixels.
fn damaged(sound: &[u8], change: impl Fn(usize) -> Vec<u8>) -> Vec<u8> {
    let is_noticed = |bytes: &Vec<u8>| Decoder::default().whole(bytes).is_err();
    (sound.len() / 2..sound.len() - 400).map(change).find(is_noticed).unwrap()
}

fn with_zeros(sound: &[u8], at: usize) -> Vec<u8> {
    let mut bytes = sound.to_vec();
    bytes[at..at + 300].fill(0);
    bytes
}

/// A picture with much detail, so that its file has several hundred bytes in its middle.
fn noise() -> lcsl_data::prepare::image::RgbImage {
    let mut rgb = picture(7, 120, 90);
    for (at, byte) in rgb.pixels.iter_mut().enumerate() {
        *byte = byte.wrapping_add((at as u32).wrapping_mul(2_654_435_761).to_be_bytes()[0] / 3);
    }
    rgb
}

/// Story: 300 bytes cut out of the middle of a JPEG, or zeroed, or an early end marker, passed prepare and
/// verify, and training ended at the first of them.
#[test]
fn damaged_pictures_are_all_named_by_their_files_and_the_same_command_goes_on() {
    let (folder, mut request) = stage();
    let said = refusal(&request);
    insta::assert_snapshot!(said);
    let list = fs::read_to_string(request.out.join("unreadable.txt")).unwrap();
    assert_eq!(list.lines().count(), 3);
    assert_eq!(refusal(&request), said, "and again");

    // Story: after a file had been removed, the hint's own advice was refused: "holds the beginning of
    // another preparation".
    fs::remove_file(request.root.join("class-0/cut.jpg")).unwrap();
    put(&request.root.join("class-0/zeroed.jpg"), encode(&noise(), 80).unwrap());
    fs::remove_file(request.root.join("class-0/early.jpg")).unwrap();
    let manifest = run(&request).unwrap().manifest;
    assert_eq!(manifest.parts.iter().map(|part| part.images).sum::<u64>(), 21);
    assert!(!request.out.join("unreadable.txt").exists());
    let out = request.out.clone();
    request.out = folder.path().join("straight");
    run(&request).unwrap();
    assert_eq!(files(&out), files(&request.out), "as if it had never been interrupted");
}

#[test]
fn unreadable_images_can_be_left_out_and_are_listed_and_counted() {
    let (folder, mut request) = stage();
    refusal(&request);
    request.on_unreadable = OnUnreadable::LeaveOut;
    let manifest = run(&request).unwrap().manifest;
    assert_eq!(
        (manifest.left_out, manifest.parts.iter().map(|part| part.images).sum()),
        (3, 20_u64)
    );
    insta::assert_snapshot!(manifest.warnings.join("\n"));
    let pixels = |request: &PrepareRequest| {
        let progress = VerifyProgress::default();
        verify(&request.out, Thoroughness::Pixels, 1, &progress).unwrap().problems.to_string()
    };
    assert_eq!(pixels(&request), "");
    assert!(run(&request).unwrap().already);
    request.on_unreadable = OnUnreadable::Fail;
    assert!(refusal(&request).contains("without the images that could not be read"));

    // A class of which nothing is left is not left out.
    request.out = folder.path().join("other");
    request.on_unreadable = OnUnreadable::LeaveOut;
    put(&request.root.join("empty/1.jpg"), "");
    assert!(refusal(&request).contains("class 2 (empty)"));
    fs::remove_file(request.root.join("empty/1.jpg")).unwrap();
    fs::remove_dir(request.root.join("empty")).unwrap();

    // Who is sure may do without decoding; verify and training then find them, by their files.
    request.out = folder.path().join("unseen");
    (request.decode, request.on_unreadable) = (false, OnUnreadable::Fail);
    run(&request).unwrap();
    let said = pixels(&request);
    for name in ["cut", "zeroed", "early"] {
        assert!(
            said.contains(&format!("made from class-0/{name}.jpg is a damaged JPEG")),
            "{said}"
        );
    }
}

/// Story: of 30 photographs, each with 300 bytes zeroed in its middle, none was named by prepare or verify: the
/// decoder finds its way again, all pixels are there, and only codes that no pixel needed are left over.
#[test]
fn pictures_that_may_be_damaged_are_counted_and_listed() {
    let folder = tempdir().unwrap();
    let mut request =
        request(DatasetId::Folder, &folder.path().join("in"), &folder.path().join("out"));
    classes(&request, "", &[10, 10]);
    let sound = encode(&noise(), 90).unwrap();
    let is_doubtful = |bytes: &Vec<u8>| {
        let mut decoder = Decoder::default();
        decoder.whole(bytes).is_ok() && decoder.extraneous_bytes() > 0
    };
    let zeroed = (sound.len() / 2..sound.len() - 400).map(|at| with_zeros(&sound, at));
    put(&request.root.join("class-0/zeroed.jpg"), zeroed.clone().find(is_doubtful).unwrap());
    // Another, whose shard is written anew after a first attempt: the first is known from its records.
    request.images_per_shard = 4;
    put(&request.root.join("class-1/unreadable.jpg"), "");
    refusal(&request);
    let list = fs::read_to_string(request.out.join("doubtful.txt"));
    put(&request.root.join("class-1/unreadable.jpg"), encode(&noise(), 80).unwrap());
    let manifest = run(&request).unwrap().manifest;
    let [warning] = manifest.warnings.as_slice() else { panic!("{:?}", manifest.warnings) };
    assert_eq!(
        warning,
        "1 image may be damaged: it has bytes that belong to no pixel (doubtful.txt)"
    );
    let listed = fs::read_to_string(request.out.join("doubtful.txt")).unwrap();
    assert!(listed.starts_with("class-0/zeroed.jpg has "), "{listed}");
    assert_eq!(listed.lines().count(), 1);
    assert_eq!(list.unwrap(), listed, "in both attempts");

    let progress = VerifyProgress::default();
    let found = verify(&request.out, Thoroughness::Pixels, 1, &progress).unwrap();
    assert!(found.problems.is_empty(), "{}", found.problems);
    let said = found.doubts.to_string();
    assert!(said.starts_with("images that may be damaged (1):\n"), "{said}");
    assert!(said.contains("made from class-0/zeroed.jpg has "), "{said}");

    // Mended: what was said of it goes.
    request.out = folder.path().join("other");
    run(&request).unwrap();
    put(&request.root.join("class-0/zeroed.jpg"), sound);
    fs::remove_file(request.out.join("manifest.json")).unwrap();
    assert!(run(&request).unwrap().manifest.warnings.is_empty());
    assert!(!request.out.join("doubtful.txt").exists());
}
