//! Which job is done next, and when a batch is whole. No thread, no clock: plain state that the
//! threads change one after the other.

use std::collections::VecDeque;
use std::ops::Range;

use bytes::BytesMut;

use crate::batch::{CorruptRecord, Piece, Pieces};

/// A batch, whole.
#[derive(Debug)]
pub struct Batch {
    /// Which piece it is.
    pub piece: Piece,
    /// The images: NHWC, 8 bits, not normalised.
    pub pixels: BytesMut,
    /// The classes; [`super::job::SKIPPED_LABEL`] where an image was corrupt.
    pub labels: Vec<i64>,
    /// The corrupt images, in the order of their places.
    pub corrupt: Vec<CorruptRecord>,
}

/// Some images of a batch that a thread is to fill.
#[derive(Debug)]
pub(super) struct Job {
    batch: u64,
    number: usize,
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
    corrupt: Vec<CorruptRecord>,
}

/// A batch on its way: its jobs, done or not.
#[derive(Debug)]
struct Slot {
    piece: Piece,
    done: Vec<Option<Done>>,
    missing: usize,
    /// The memory of a slot without jobs, that is of an empty batch.
    unused: BytesMut,
}

/// The batches that are being filled, oldest first.
pub(super) struct Ring {
    pieces: Pieces,
    /// All pieces were taken.
    exhausted: bool,
    /// Jobs that no thread has taken yet.
    jobs: VecDeque<Job>,
    slots: VecDeque<Slot>,
    /// The number of the oldest batch in `slots`.
    oldest: u64,
    /// Memory of slots that is not in use.
    free: Vec<BytesMut>,
    batch_images: usize,
    image_bytes: usize,
    job_images: usize,
}

impl Ring {
    /// A ring of batches of up to `batch_images`, each of `image_bytes`, that lie in the memory of
    /// `slots` and are filled `job_images` at a time.
    pub(super) fn new(
        pieces: Pieces,
        slots: Vec<BytesMut>,
        batch_images: usize,
        image_bytes: usize,
        job_images: usize,
    ) -> Self {
        let holds = !slots.is_empty() && image_bytes > 0 && job_images > 0;
        assert!(holds, "a ring that holds nothing");
        Self {
            pieces,
            exhausted: false,
            jobs: VecDeque::new(),
            slots: VecDeque::new(),
            oldest: 0,
            free: slots,
            batch_images,
            image_bytes,
            job_images,
        }
    }

    /// The next job, oldest batch first; `None` while every slot is in use, and when
    /// nothing more is wanted.
    pub(super) fn next_job(&mut self) -> Option<Job> {
        while self.jobs.is_empty() && self.open_slot() {}
        self.jobs.pop_front()
    }

    /// True when everything that was wanted has been handed out.
    pub(super) fn is_over(&self) -> bool {
        self.exhausted && self.slots.is_empty()
    }

    /// Takes back the memory of a job that is done.
    pub(super) fn finish(
        &mut self,
        job: (u64, usize),
        pixels: BytesMut,
        labels: Vec<i64>,
        corrupt: Vec<CorruptRecord>,
    ) {
        let slot = &mut self.slots[(job.0 - self.oldest) as usize];
        let before = slot.done[job.1].replace(Done { pixels, labels, corrupt });
        assert!(before.is_none(), "job {} of batch {} was done twice", job.1, job.0);
        slot.missing -= 1;
    }

    /// The oldest batch, once it is whole.
    pub(super) fn next_whole_batch(&mut self) -> Option<Batch> {
        if self.slots.front()?.missing > 0 {
            return None;
        }
        let slot = self.slots.pop_front()?;
        self.oldest += 1;
        let images = slot.piece.images();
        let mut batch = Batch {
            piece: slot.piece,
            pixels: slot.unused,
            labels: Vec::with_capacity(images),
            corrupt: Vec::new(),
        };
        let mut jobs = slot.done.into_iter().map(|done| done.expect("no job is missing"));
        if let Some(Done { pixels, labels, corrupt }) = jobs.next() {
            batch.pixels = pixels;
            batch.labels.extend(labels);
            batch.corrupt.extend(corrupt);
        }
        for Done { pixels, labels, corrupt } in jobs {
            // Neighbours in one piece of memory: they are joined without a copy.
            batch.pixels.unsplit(pixels);
            batch.labels.extend(labels);
            batch.corrupt.extend(corrupt);
        }
        Some(batch)
    }

    /// Takes back the memory of a batch.
    pub(super) fn give_back(&mut self, pixels: BytesMut) {
        self.free.push(pixels);
    }

    /// Opens a slot for the next piece: true when there may be jobs now.
    fn open_slot(&mut self) -> bool {
        if self.exhausted || self.free.is_empty() {
            return false;
        }
        let Some(piece) = self.pieces.next() else {
            self.exhausted = true;
            return false;
        };
        let images = piece.images();
        assert!(
            images <= self.batch_images,
            "a batch of {images} images in slots for {}",
            self.batch_images
        );
        let mut pixels = self.free.pop().expect("there is a free slot, see above");
        // What it holds already stays: a job writes every byte of its own.
        pixels.resize(images * self.image_bytes, 0);
        let batch = self.oldest + self.slots.len() as u64;
        let jobs = images.div_ceil(self.job_images);
        for number in 0..jobs {
            let first = number * self.job_images;
            let count = self.job_images.min(images - first);
            let start = piece.positions.start + first as u64;
            // The last job keeps the capacity behind it, so that none is lost.
            let own = if number + 1 == jobs {
                std::mem::take(&mut pixels)
            } else {
                pixels.split_to(count * self.image_bytes)
            };
            let positions = start..start + count as u64;
            self.jobs.push_back(Job {
                batch,
                number,
                epoch: piece.epoch,
                positions,
                first,
                pixels: own,
            });
        }
        let done = (0..jobs).map(|_| None).collect();
        self.slots.push_back(Slot { piece, done, missing: jobs, unused: pixels });
        true
    }
}

impl Job {
    /// What [`Ring::finish`] wants to know.
    pub(super) fn number(&self) -> (u64, usize) {
        (self.batch, self.number)
    }
}
