//! Where batches lie, and who is told of it: once, for as long as the memory is there, and before
//! anybody writes there again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lcsl_data::batch::Piece;
use lcsl_data::loader::memory::PAGE;
use lcsl_data::loader::{
    Batch, CorruptPolicy, ImageEncoding, Loader, LoaderOptions, MemorySource, PinMemory, Pinned,
    View,
};
use lcsl_data::sampler::EpochOrder;

#[path = "sources/watched.rs"]
mod watched;

use watched::Watched;

const SIDE: usize = 8;
const IMAGE: usize = SIDE * SIDE * 3;
/// Slots are so large that the allocator takes them from the system one by one, and gives them back
/// as soon as they are free. All but the first pages of them are never touched.
const SLOT_IMAGES: usize = (64 << 20) / IMAGE;
const AHEAD: usize = 2;
const SLOTS: usize = AHEAD + 1;

/// Only one of these tests at a time, so that memory which one of them has freed is not another's.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether all of this memory is there, as the kernel tells it.
fn is_mapped(start: usize, bytes: usize) -> bool {
    let maps = std::fs::read_to_string("/proc/self/maps").expect("the list of mappings");
    maps.lines().any(|line| {
        let range = line.split_whitespace().next().and_then(|range| range.split_once('-'));
        let (from, to) = range.expect("two addresses");
        let address = |text| usize::from_str_radix(text, 16).expect("an address");
        address(from) <= start && start + bytes <= address(to)
    })
}

/// A driver that writes down what it is told.
#[derive(Debug, Default)]
struct Driver {
    heard: Mutex<Heard>,
    /// Slots that it takes; it refuses all others.
    takes: usize,
    /// The batch up to which it waits for the threads: none where they may die.
    waits_until: usize,
    /// Images that the threads have asked for.
    asked: Arc<AtomicUsize>,
    /// Batches that the loop was lent.
    lent: AtomicUsize,
}

#[derive(Debug, Default)]
struct Heard {
    /// How often it was asked.
    pins: usize,
    /// Bytes of the slots that it knows at the moment, by address.
    known: BTreeMap<usize, usize>,
    /// The address of every slot that was waited for, in order.
    waited_for: Vec<usize>,
    /// Guards that were dropped while their memory was there, and while it was not.
    dropped: (usize, usize),
}

#[derive(Debug)]
struct Guard {
    driver: Arc<Driver>,
    start: usize,
}

/// What the loader is given: a driver that can be looked at from outside.
#[derive(Debug)]
struct Told(Arc<Driver>);

impl PinMemory for Told {
    fn pin(&self, memory: &[u8]) -> Option<Box<dyn Pinned>> {
        let mut heard = self.0.heard.lock().expect("no panic inside");
        heard.pins += 1;
        if heard.pins > self.0.takes {
            return None;
        }
        let start = memory.as_ptr().addr();
        let before = heard.known.insert(start, memory.len());
        assert_eq!(before, None, "told twice of the same memory");
        Some(Box::new(Guard { driver: Arc::clone(&self.0), start }))
    }
}

impl Pinned for Guard {
    /// Reads until the threads have filled all other slots, which is all that they may: this one is still
    /// being read. Then there is a chance for them to go on, which they must not take.
    fn wait_until_read(&self) {
        let batches = self.driver.lent.load(Ordering::SeqCst) + AHEAD;
        let images: u64 = (0..batches).map(images_of).sum();
        let asked = || self.driver.asked.load(Ordering::SeqCst) as u64;
        if batches <= self.driver.waits_until {
            while asked() < images {
                std::thread::yield_now();
            }
            (0..100).for_each(|_| std::thread::yield_now());
        }
        let asked = asked();
        assert!(asked <= images, "written while it is read: {asked} images in {batches} batches");
        self.driver.heard.lock().expect("no panic inside").waited_for.push(self.start);
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let mut heard = self.driver.heard.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = heard.known.remove(&self.start).unwrap_or(0);
        if is_mapped(self.start, bytes.max(1)) {
            heard.dropped.0 += 1;
        } else {
            heard.dropped.1 += 1;
        }
    }
}

fn driver(takes: usize) -> Arc<Driver> {
    Arc::new(Driver { takes, ..Driver::default() })
}

/// `n` images of one colour each.
fn images(n: usize) -> MemorySource {
    let size = ImageEncoding::Rgb { width: SIDE as u32, height: SIDE as u32 };
    let image = |i: usize| (size, vec![i as u8; IMAGE], i as u32);
    MemorySource { images: (0..n).map(image).collect() }
}

fn images_of(batch: usize) -> u64 {
    [20, 0, 3][batch % 3]
}

/// A loader of `batches` batches, from 100 images.
fn start(driver: &Arc<Driver>, source: MemorySource, batches: usize, panics_at: usize) -> Loader {
    let n = source.images.len() as u64;
    let wanted = (0..batches).map(move |batch| {
        let (images, epoch) = (images_of(batch), batch as u64);
        let first = epoch * 7 % (n - images);
        Piece { epoch, positions: first..first + images }
    });
    Loader::start(
        Box::new(Watched {
            images: source,
            asked: Arc::clone(&driver.asked),
            panics_at: (panics_at > 0).then_some(panics_at),
        }),
        None,
        Box::new(move |epoch| EpochOrder::random(n, 3, epoch)),
        Box::new(wanted),
        LoaderOptions {
            threads: 2,
            ahead: AHEAD,
            batch_images: SLOT_IMAGES,
            pin: Some(Arc::new(Told(Arc::clone(driver)))),
            seed: 3,
            view: View::evaluation(SIDE),
            corrupt_policy: CorruptPolicy::Fail,
        },
    )
}

/// The next batch, or none after the last one.
fn next<'a>(driver: &Driver, loader: &'a mut Loader) -> Option<&'a Batch> {
    let loaded = loader.next_batch()?.expect("good images");
    driver.lent.fetch_add(1, Ordering::SeqCst);
    Some(loaded.batch)
}

#[test]
fn each_slot_is_told_of_once_in_whole_pages_and_every_batch_lies_in_one() {
    let _alone = alone();
    let driver = Arc::new(Driver { takes: usize::MAX, waits_until: 30, ..Driver::default() });
    let mut loader = start(&driver, images(100), 30, 0);
    let slots = driver.heard.lock().expect("heard").known.clone();
    assert_eq!(slots.len(), SLOTS, "told before the first batch");
    let mut end = 0;
    for (&start, &bytes) in &slots {
        assert!(start >= end, "slots overlap");
        assert!(start.is_multiple_of(PAGE) && bytes.is_multiple_of(PAGE), "whole pages");
        assert!(bytes >= SLOT_IMAGES * IMAGE);
        end = start + bytes;
    }
    let mut lent = Vec::new();
    while let Some(batch) = next(&driver, &mut loader) {
        assert!(slots.contains_key(&batch.pixels.as_ptr().addr()), "a batch outside the slots");
        lent.push(batch.pixels.as_ptr().addr());
    }
    let heard = driver.heard.lock().expect("heard");
    assert_eq!(lent.iter().collect::<BTreeSet<_>>().len(), SLOTS, "every slot is used");
    assert_eq!(heard.waited_for, lent, "waited for once each time that it was lent, in order");
    assert_eq!(heard.pins, SLOTS, "told of slots that were made later");
    assert_eq!(heard.dropped, (0, 0), "forgotten while the loader lives");
}

/// How a loader may end.
#[derive(Clone, Copy, Debug)]
enum End {
    Unused,
    WithBatchLent,
    Exhausted,
    CorruptRecord,
    Panicked,
}

/// A slot that is freed while a driver still knows it is read by a device when it belongs to somebody
/// else. A thread that panics takes its part of a slot along, which may be all of it.
#[test]
fn guards_are_dropped_while_the_memory_is_there_however_a_loader_ends() {
    let _alone = alone();
    for end in [End::Unused, End::WithBatchLent, End::Exhausted, End::CorruptRecord, End::Panicked]
    {
        let driver = driver(usize::MAX);
        let mut source = images(100);
        if matches!(end, End::CorruptRecord) {
            source.images.iter_mut().for_each(|image| image.0 = ImageEncoding::Jpeg);
        }
        let panics_at = if matches!(end, End::Panicked) { 20 + 3 + 1 } else { 0 };
        let mut loader = start(&driver, source, 6, panics_at);
        let slots = driver.heard.lock().expect("heard").known.clone();
        match end {
            End::Unused => {}
            End::WithBatchLent => assert!(next(&driver, &mut loader).is_some()),
            End::Exhausted => while next(&driver, &mut loader).is_some() {},
            End::CorruptRecord => assert!(loader.next_batch().expect("an error").is_err()),
            End::Panicked => {
                let run =
                    std::panic::AssertUnwindSafe(|| while next(&driver, &mut loader).is_some() {});
                assert!(std::panic::catch_unwind(run).is_err());
            }
        }
        assert_eq!(driver.heard.lock().expect("heard").dropped, (0, 0), "{end:?}: too early");
        assert!(slots.iter().all(|(&start, &bytes)| is_mapped(start, bytes)), "{end:?}");
        drop(loader);
        let heard = driver.heard.lock().expect("heard");
        assert_eq!(heard.dropped, (SLOTS, 0), "{end:?}: dropped when the memory is gone");
        assert!(heard.known.is_empty());
        assert!(!slots.iter().any(|(&start, &bytes)| is_mapped(start, bytes)), "{end:?}: a leak");
    }
}

/// What was refused is not asked for again: whoever refuses says so once.
#[test]
fn memory_that_is_refused_is_memory_like_any_other() {
    let _alone = alone();
    let mut seen = BTreeSet::new();
    for takes in [0, 1, usize::MAX] {
        let driver = driver(takes);
        let mut loader = start(&driver, images(100), 12, 0);
        let mut all = (Vec::new(), Vec::new());
        while let Some(batch) = next(&driver, &mut loader) {
            all.0.extend_from_slice(&batch.pixels);
            all.1.extend_from_slice(&batch.labels);
        }
        assert_eq!(all.1.len(), 4 * (20 + 3));
        seen.insert(all);
        drop(loader);
        let heard = driver.heard.lock().expect("heard");
        assert_eq!(heard.pins, takes.saturating_add(1).min(SLOTS));
        assert_eq!(heard.dropped, (takes.min(SLOTS), 0));
        assert_eq!(heard.waited_for.is_empty(), takes == 0);
    }
    assert_eq!(seen.len(), 1, "images depend on where they lie");
}
