//! Which part is filled next, and when a batch is whole. No thread, no clock: plain state that the
//! threads change one after the other.

use std::collections::VecDeque;
use std::ops::Range;

use bytes::BytesMut;

use super::part::Refused;

/// One batch that is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The epoch.
    pub epoch: u64,
    /// The positions in the epoch's order, in the order in which they stand in the batch.
    pub positions: Range<u64>,
}

impl Request {
    fn images(&self) -> usize {
        self.positions.end.saturating_sub(self.positions.start) as usize
    }
}

/// A batch, whole.
#[derive(Debug)]
pub struct Batch {
    /// What was asked for.
    pub request: Request,
    /// The images: NHWC, 8 bits, not normalised.
    pub pixels: BytesMut,
    /// The classes; [`super::part::REFUSED_LABEL`] where an image was refused.
    pub labels: Vec<i64>,
    /// The images that were refused, in the order of their places.
    pub refused: Vec<Refused>,
}

/// Some images of a batch that a thread is to fill.
#[derive(Debug)]
pub(super) struct Job {
    batch: u64,
    part: usize,
    pub(super) epoch: u64,
    pub(super) positions: Range<u64>,
    /// The place in the batch of the first image.
    pub(super) first: usize,
    pub(super) pixels: BytesMut,
}

/// What became of a job.
#[derive(Debug)]
struct Done {
    pixels: BytesMut,
    labels: Vec<i64>,
    refused: Vec<Refused>,
}

/// A batch on its way: its parts, filled or not.
#[derive(Debug)]
struct Slot {
    request: Request,
    done: Vec<Option<Done>>,
    missing: usize,
    /// The memory of a slot without parts, that is of an empty batch.
    unused: BytesMut,
}

/// The batches that are being filled, oldest first.
pub(super) struct Ring {
    requests: Box<dyn Iterator<Item = Request> + Send>,
    /// All requests were taken.
    exhausted: bool,
    /// Parts that no thread has taken yet.
    jobs: VecDeque<Job>,
    slots: VecDeque<Slot>,
    /// The number of the oldest batch in `slots`.
    oldest: u64,
    /// Memory of slots that is not in use.
    free: Vec<BytesMut>,
    batch_images: usize,
    image_bytes: usize,
    part_images: usize,
}

impl Ring {
    /// A ring of batches of up to `batch_images`, each of `image_bytes`, that lie in the memory of
    /// `slots` and are filled `part_images` at a time.
    pub(super) fn new(
        requests: Box<dyn Iterator<Item = Request> + Send>,
        slots: Vec<BytesMut>,
        batch_images: usize,
        image_bytes: usize,
        part_images: usize,
    ) -> Self {
        let holds = !slots.is_empty() && image_bytes > 0 && part_images > 0;
        assert!(holds, "a ring that holds nothing");
        Self {
            requests,
            exhausted: false,
            jobs: VecDeque::new(),
            slots: VecDeque::new(),
            oldest: 0,
            free: slots,
            batch_images,
            image_bytes,
            part_images,
        }
    }

    /// The next part to fill, oldest batch first; `None` while every slot is in use, and when
    /// nothing more is wanted.
    pub(super) fn take_job(&mut self) -> Option<Job> {
        while self.jobs.is_empty() && self.open_slot() {}
        self.jobs.pop_front()
    }

    /// True when everything that was wanted has been handed out.
    pub(super) fn is_over(&self) -> bool {
        self.exhausted && self.slots.is_empty()
    }

    /// Takes back the part of a job.
    pub(super) fn finish(
        &mut self,
        job: (u64, usize),
        pixels: BytesMut,
        labels: Vec<i64>,
        refused: Vec<Refused>,
    ) {
        let slot = &mut self.slots[(job.0 - self.oldest) as usize];
        let before = slot.done[job.1].replace(Done { pixels, labels, refused });
        assert!(before.is_none(), "part {} of batch {} was filled twice", job.1, job.0);
        slot.missing -= 1;
    }

    /// The oldest batch, once it is whole.
    pub(super) fn take_batch(&mut self) -> Option<Batch> {
        if self.slots.front()?.missing > 0 {
            return None;
        }
        let slot = self.slots.pop_front()?;
        self.oldest += 1;
        let images = slot.request.images();
        let mut batch = Batch {
            request: slot.request,
            pixels: slot.unused,
            labels: Vec::with_capacity(images),
            refused: Vec::new(),
        };
        let mut parts = slot.done.into_iter().map(|done| done.expect("no part is missing"));
        if let Some(Done { pixels, labels, refused }) = parts.next() {
            batch.pixels = pixels;
            batch.labels.extend(labels);
            batch.refused.extend(refused);
        }
        for Done { pixels, labels, refused } in parts {
            // Neighbours in one piece of memory: they are joined without a copy.
            batch.pixels.unsplit(pixels);
            batch.labels.extend(labels);
            batch.refused.extend(refused);
        }
        Some(batch)
    }

    /// Takes back the memory of a batch.
    pub(super) fn give_back(&mut self, pixels: BytesMut) {
        self.free.push(pixels);
    }

    /// Opens a slot for the next request: true when there may be jobs now.
    fn open_slot(&mut self) -> bool {
        if self.exhausted || self.free.is_empty() {
            return false;
        }
        let Some(request) = self.requests.next() else {
            self.exhausted = true;
            return false;
        };
        let images = request.images();
        assert!(
            images <= self.batch_images,
            "a batch of {images} images in slots for {}",
            self.batch_images
        );
        let mut pixels = self.free.pop().expect("there is a free slot, see above");
        // What it holds already stays: every byte is written by whoever fills it.
        pixels.resize(images * self.image_bytes, 0);
        let batch = self.oldest + self.slots.len() as u64;
        let parts = images.div_ceil(self.part_images);
        for part in 0..parts {
            let first = part * self.part_images;
            let count = self.part_images.min(images - first);
            let start = request.positions.start + first as u64;
            // The last part keeps the capacity behind it, so that none is lost.
            let own = if part + 1 == parts {
                std::mem::take(&mut pixels)
            } else {
                pixels.split_to(count * self.image_bytes)
            };
            let positions = start..start + count as u64;
            self.jobs.push_back(Job {
                batch,
                part,
                epoch: request.epoch,
                positions,
                first,
                pixels: own,
            });
        }
        let done = (0..parts).map(|_| None).collect();
        self.slots.push_back(Slot { request, done, missing: parts, unused: pixels });
        true
    }
}

impl Job {
    /// What [`Ring::finish`] wants to know.
    pub(super) fn number(&self) -> (u64, usize) {
        (self.batch, self.part)
    }
}
