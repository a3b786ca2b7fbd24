//! The images of an exam, in the chunks that one rank measures.

use std::borrow::Cow;

use lcsl_data::DataError;
use lcsl_data::loader::{Kept, Loader, Options, Request, ShardSource, View};
use lcsl_data::sampler::Order;

use crate::corrupt::{Occasion, Roll};
use crate::engine::data::train_loader;
use crate::engine::evaluation::evaluate::Exam;
use crate::material::Images;

/// Chunks that are decoded before they are asked for.
const CHUNKS_AHEAD: usize = 1;

/// Some images of an exam, without those that were refused; there may be none left.
pub(crate) struct Chunk<'a> {
    /// Their places in the set (N).
    pub indices: Cow<'a, [u32]>,
    /// The images (N, H, W, C), row-major.
    pub pixels: Cow<'a, [u8]>,
    /// Their classes (N).
    pub labels: Cow<'a, [i64]>,
    /// Images of the chunk that were refused and left out.
    pub refused: u64,
}

/// Chunks `part`, `part` + `parts`, … of an exam.
pub(crate) struct Chunks<'a> {
    exam: Exam<'a>,
    /// Place of the next chunk's first image in the exam's indices.
    next: usize,
    /// From one chunk's first image to the next one's.
    stride: usize,
    from: From,
}

enum From {
    Memory { pixels: Vec<u8>, labels: Vec<i64> },
    Shards(Loader, Roll),
}

impl<'a> Chunks<'a> {
    pub(crate) fn new(exam: Exam<'a>, part: usize, parts: usize) -> Self {
        let (first, stride) = (part * exam.chunk, parts * exam.chunk);
        let from = match &exam.images.images {
            Images::Memory(_) => From::Memory { pixels: Vec::new(), labels: Vec::new() },
            Images::Shards(set) => {
                let count = exam.images.indices.len();
                let (chunk, whole) = (exam.chunk, count == set.len());
                let requests = (first..count).step_by(stride).map(move |start| {
                    let end = (start + chunk).min(count);
                    Request { epoch: 0, positions: start as u64..end as u64 }
                });
                let loader = Loader::start(
                    Box::new(ShardSource(set.clone())),
                    (!whole).then(|| exam.images.indices.to_vec()),
                    Box::new(move |_| Order::sequential(count as u64)),
                    Box::new(requests),
                    Options {
                        threads: exam.decoding.threads,
                        ahead: CHUNKS_AHEAD,
                        batch_images: chunk.min(count),
                        pin: exam.normaliser.pinner.clone().map(|pinner| pinner as _),
                        seed: 0,
                        view: View::evaluation(exam.shape.height),
                        on_refusal: exam.decoding.on_refusal,
                    },
                );
                From::Shards(loader, Roll::default())
            }
        };
        Self { exam, next: first, stride, from }
    }

    /// The next chunk, or none after the last one. Images that are refused are named in the log and left
    /// out, where that is wanted; the others keep their neighbours.
    ///
    /// # Errors
    /// When an image cannot be read.
    pub(crate) fn next(&mut self) -> Result<Option<Chunk<'_>>, DataError> {
        let all: &'a [u32] = &self.exam.images.indices;
        if self.next >= all.len() {
            return Ok(None);
        }
        let indices = &all[self.next..(self.next + self.exam.chunk).min(all.len())];
        self.next += self.stride;
        match &mut self.from {
            From::Memory { pixels, labels } => {
                let Images::Memory(set) = &self.exam.images.images else {
                    unreachable!("chosen by the images when the chunks were begun")
                };
                pixels.clear();
                labels.clear();
                for index in indices {
                    pixels.extend_from_slice(set.image(*index as usize));
                    labels.push(i64::from(set.label(*index as usize)));
                }
                let (pixels, labels) = (pixels.as_slice().into(), labels.as_slice().into());
                Ok(Some(Chunk { indices: indices.into(), pixels, labels, refused: 0 }))
            }
            From::Shards(loader, roll) => {
                let loaded = loader.next().expect("there is a request for each chunk")?;
                let refused = &loaded.batch.refused;
                train_loader::name(roll, Occasion::Evaluation, refused);
                let Kept { pixels, labels, positions } = Kept::of(loaded.batch);
                let left = || positions.iter().map(|position| all[*position as usize]).collect();
                let indices = if refused.is_empty() { indices.into() } else { left() };
                Ok(Some(Chunk { indices, pixels, labels, refused: refused.len() as u64 }))
            }
        }
    }
}
