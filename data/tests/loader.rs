//! Batches made by threads: the same bytes for any number of them, in order, and nothing left
//! behind.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use lcsl_data::augment::Canvas;
use lcsl_data::augment::recipes::photographs;
use lcsl_data::batch::Piece;
use lcsl_data::decode::Decoder;
use lcsl_data::loader::{
    CorruptPolicy, FolderSource, ImageEncoding, ImageSource, Loader, LoaderOptions, MemorySource,
    View,
};
use lcsl_data::random::{Purpose, Stream};
use lcsl_data::sampler::EpochOrder;
use lcsl_data::share;

#[path = "sources/watched.rs"]
mod watched;

use watched::Watched;

const SEED: u64 = 5;

fn jpeg(name: &str) -> Vec<u8> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/jpeg");
    std::fs::read(folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// `n` images: JPEG files of several kinds and one in seven not encoded; image i has label i.
fn images(n: u32) -> MemorySource {
    let files = ["420.jpg", "progressive.jpg", "grey.jpg", "444.jpg"].map(jpeg);
    let image = |i: u32| match i % 7 {
        6 => {
            let rows = (0..20 * 30 * 3).map(|byte: u32| (byte * (i + 3)) as u8).collect();
            (ImageEncoding::Rgb { width: 20, height: 30 }, rows, i)
        }
        _ => (ImageEncoding::Jpeg, files[(i % 4) as usize].clone(), i),
    };
    MemorySource { images: (0..n).map(image).collect() }
}

fn options(threads: usize) -> LoaderOptions {
    LoaderOptions {
        threads,
        ahead: 2,
        batch_images: 20,
        pin: None,
        seed: SEED,
        view: View::training(24),
        corrupt_policy: CorruptPolicy::Fail,
    }
}

/// The batches of part `part` of `parts`, `size` images in all of them together.
fn requests(n: u64, epochs: u64, size: u64, parts: u64, part: u64) -> Vec<Piece> {
    let mut requests = Vec::new();
    for epoch in 0..epochs {
        for start in (0..n).step_by(size as usize) {
            let share = share::range(size.min(n - start), parts, part);
            let positions = start + share.start..start + share.end;
            requests.push(Piece { epoch, positions });
        }
    }
    requests
}

fn start(
    source: impl ImageSource + 'static,
    requests: Vec<Piece>,
    options: LoaderOptions,
) -> Loader {
    let n = source.len() as u64;
    let order = Box::new(move |epoch| EpochOrder::random(n, SEED, epoch));
    Loader::start(Box::new(source), None, order, Box::new(requests.into_iter()), options)
}

/// Everything a loader gives, one after the other.
fn all(mut loader: Loader) -> (Vec<u8>, Vec<i64>) {
    let (mut pixels, mut labels) = (Vec::new(), Vec::new());
    while let Some(loaded) = loader.next_batch() {
        let batch = loaded.expect("good images").batch;
        pixels.extend_from_slice(&batch.pixels);
        labels.extend(&batch.labels);
    }
    (pixels, labels)
}

#[test]
fn any_number_of_threads_gives_the_same_bytes_in_the_same_order() {
    let mut seen = BTreeSet::new();
    for recipe in
        [photographs::CROP_FLIP, photographs::NONE, photographs::SIM_AUG, photographs::RANDCLS]
    {
        let view = View::of(recipe, 24);
        let alone = one_by_one(view);
        for threads in [1, 2, 3, 7] {
            let options = LoaderOptions { view, ..options(threads) };
            let loader = start(images(61), requests(61, 2, 20, 1, 0), options);
            assert!(all(loader) == alone, "{recipe:?}, {threads} threads");
        }
        seen.insert(alone.0);
    }
    assert_eq!(seen.len(), 4, "each recipe makes images of its own");
}

/// A run that goes on at a step gets what it would have got.
#[test]
fn a_loader_that_begins_in_the_middle_gives_the_rest() {
    let view = View::of(photographs::RANDCLS, 24);
    let whole = one_by_one(view);
    let mut rest = requests(61, 2, 20, 1, 0);
    rest.drain(..5);
    let (pixels, labels) = all(start(images(61), rest, LoaderOptions { view, ..options(3) }));
    let skipped = 61 + 20;
    assert_eq!(labels, whole.1[skipped..]);
    assert!(pixels == whole.0[skipped * view.shape.bytes()..]);
}

/// The images of two epochs, each made on its own.
fn one_by_one(view: View) -> (Vec<u8>, Vec<i64>) {
    let n = 61;
    let source = images(n);
    let mut scratch = Vec::new();
    let (mut pixels, mut labels) = (Vec::new(), Vec::new());
    for epoch in 0..2 {
        let order = EpochOrder::random(u64::from(n), SEED, epoch);
        for position in 0..u64::from(n) {
            let index = order.at(position) as usize;
            let mut stream = Stream::new(SEED, Purpose::Augment, epoch, position, 0);
            let mut target = vec![0; view.shape.bytes()];
            let image = source.image(index, &mut scratch).expect("an image in memory");
            let hands = (&mut Decoder::default(), &mut Canvas::default());
            view.render(image, &mut stream, hands, &mut target).expect("a good image");
            pixels.extend(target);
            labels.push(index as i64);
        }
    }
    (pixels, labels)
}

#[test]
fn parts_put_together_are_the_whole_and_an_empty_part_is_empty() {
    let whole = all(start(images(10), requests(10, 1, 5, 1, 0), options(2)));
    let bytes = View::training(24).shape.bytes();
    let mut parts: Vec<_> = (0..7)
        .map(|part| {
            let (pixels, labels) = all(start(images(10), requests(10, 1, 5, 7, part), options(1)));
            let pixels: Vec<Vec<u8>> = pixels.chunks_exact(bytes).map(<[u8]>::to_vec).collect();
            pixels.into_iter().zip(labels)
        })
        .collect();
    // Each of the two batches gives one image to each of the first five parts.
    for position in 0..10 {
        let (pixels, label) = parts[position % 5].next().expect("an image");
        assert_eq!(label, whole.1[position]);
        assert_eq!(pixels, whole.0[position * bytes..][..bytes]);
    }
    assert!(parts.into_iter().all(|mut part| part.next().is_none()));
}

/// Twenty epochs live in the memory of three slots, although batches differ in size and some are
/// empty. Once a slot took no more than its first batch needed, and moved when a larger one came;
/// which slot that was depended on the threads.
#[test]
fn memory_is_used_again() {
    for threads in [1, 2, 3, 5] {
        let mut wanted = requests(40, 20, 16, 1, 0);
        for at in [1, 6, 20] {
            wanted.insert(at, Piece { epoch: 0, positions: 3..3 });
        }
        wanted.swap(0, 3); // a short batch first
        let mut loader = start(images(40), wanted, options(threads));
        let (mut places, mut batches) = (BTreeSet::new(), 0);
        while let Some(loaded) = loader.next_batch() {
            let batch = loaded.expect("good images").batch;
            assert_eq!(batch.pixels.len(), batch.labels.len() * View::training(24).shape.bytes());
            places.insert(batch.pixels.as_ptr() as usize);
            batches += 1;
        }
        assert_eq!(batches, 20 * 3 + 3);
        assert!(places.len() <= 3, "{} places for 3 slots, {threads} threads", places.len());
    }
}

/// Two batches ahead and the one that was handed out are filled, and not one image more: with threads that
/// went on, the count would soon be far beyond.
#[test]
fn a_slow_loop_stops_the_threads_and_leaving_early_ends_them() {
    let asked = Arc::new(AtomicUsize::new(0));
    let source = Watched { images: images(100), asked: Arc::clone(&asked), panics_at: None };
    let mut loader = start(source, requests(100, 50, 10, 1, 0), options(3));
    for handed_out in 1..20 {
        assert!(loader.next_batch().expect("a batch").is_ok());
        let filled = (handed_out + 2) * 10;
        while asked.load(Ordering::SeqCst) < filled {
            std::thread::yield_now();
        }
        assert_eq!(asked.load(Ordering::SeqCst), filled);
    }
    assert_eq!(Arc::strong_count(&asked), 2);
    drop(loader);
    assert_eq!(Arc::strong_count(&asked), 1, "a thread outlived its loader");
}

/// A loop that waited for the job of a dead thread would wait for ever.
#[test]
fn a_panic_in_a_thread_reaches_the_loop() {
    for panics_at in [0, 25, 95] {
        let asked = Arc::new(AtomicUsize::new(0));
        let source = Watched { images: images(100), asked, panics_at: Some(panics_at) };
        let mut loader = start(source, requests(100, 1, 10, 1, 0), options(2));
        let run = std::panic::AssertUnwindSafe(|| while loader.next_batch().is_some() {});
        assert!(std::panic::catch_unwind(run).is_err(), "panic at image {panics_at}");
    }
}

/// Images 17 and 18 are broken; order is that of positions, so one of them comes first.
fn broken() -> MemorySource {
    let mut source = images(40);
    source.images[17].1.truncate(500);
    source.images[18].1 = b"\x89PNG\r\n\x1a\n".to_vec();
    source.images[18].0 = ImageEncoding::Jpeg;
    source
}

#[test]
fn the_first_broken_image_in_order_ends_the_run() {
    let order = EpochOrder::random(40, SEED, 0);
    let position = |index: u64| (0..40).find(|&p| order.at(p) == index).expect("every index");
    let first = if position(17) < position(18) { 17 } else { 18 };
    let expected = match first {
        17 => "image 17 in memory: the JPEG is cut off: 500 bytes without an end marker",
        _ => "image 18 in memory: the image is not a JPEG but a PNG",
    };
    for threads in [1, 4] {
        let mut loader = start(broken(), requests(40, 1, 8, 1, 0), options(threads));
        let mut whole = 0;
        let error = loop {
            match loader.next_batch().expect("an error comes first") {
                Ok(loaded) => whole += loaded.batch.labels.len() as u64,
                Err(error) => break error,
            }
        };
        assert_eq!(error.to_string(), expected);
        assert_eq!(whole, position(first) / 8 * 8);
        assert!(loader.next_batch().is_none(), "nothing comes after a failure");
    }
}

#[test]
fn refusals_are_counted_where_that_is_wanted() {
    let options = LoaderOptions { corrupt_policy: CorruptPolicy::Skip, ..options(2) };
    let mut loader = start(broken(), requests(40, 1, 8, 1, 0), options);
    let (mut labels, mut refused) = (Vec::<i64>::new(), 0);
    while let Some(loaded) = loader.next_batch() {
        let batch = loaded.expect("refusals are not fatal").batch;
        let bytes = View::training(24).shape.bytes();
        for one in &batch.corrupt {
            refused += 1;
            assert_eq!(batch.labels[one.at], -1);
            assert!(batch.pixels[one.at * bytes..][..bytes].iter().all(|&byte| byte == 0));
            assert_eq!(batch.piece.positions.start + one.at as u64, one.position);
        }
        labels.extend(&batch.labels);
    }
    labels.sort_unstable();
    let expected = [-1, -1].into_iter().chain((0..40).filter(|i| ![17, 18].contains(i)));
    assert!(labels.into_iter().eq(expected));
    assert_eq!(refused, 2);
}

#[test]
fn a_folder_of_files_is_a_source() {
    let folder = tempfile::tempdir().expect("a folder");
    for (path, file) in [("b/x.JPEG", "420.jpg"), ("a/y.jpg", "444.jpg"), ("b/w.jpg", "grey.jpg")] {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("made");
        std::fs::write(path, jpeg(file)).expect("written");
    }
    std::fs::write(folder.path().join("a/notes.txt"), "no image").expect("written");
    let source = FolderSource::open(folder.path()).expect("a folder");
    assert_eq!((0..3).map(|i| source.label(i).expect("a label")).collect::<Vec<_>>(), [0, 1, 1]);
    let mut scratch = Vec::new();
    assert_eq!(
        source.image(1, &mut scratch).expect("a file"),
        (ImageEncoding::Jpeg, &jpeg("grey.jpg")[..])
    );
    assert!(source.place(2).ends_with("b/x.JPEG"));
    std::fs::remove_file(folder.path().join("a/y.jpg")).expect("removed");
    let mut loader = start(source, requests(3, 1, 3, 1, 0), options(1));
    let error = loader.next_batch().expect("an answer").map(|_| ()).expect_err("a file is missing");
    assert!(error.to_string().contains("a/y.jpg"), "{error}");
}
