//! Drawn images, with the number of training images of each class taken from a file.
//!
//! For rehearsals at full size: the true counts of a dataset, and pictures that cost nothing.

use std::fmt::Display;
use std::fs;
use std::path::Path;
use std::sync::OnceLock;

use lcsl_text::excerpt;

use crate::datasets::synthetic::Pattern;
use crate::prepare::error::PrepareError;
use crate::prepare::image::RgbImage;
use crate::prepare::plan::{Item, PlannedSplit, PreparePlan};
use crate::prepare::request::PrepareRequest;
use crate::random::{Purpose, Stream};
use crate::shard::index::CLASSES_MAX;

/// A set has at most this many images: their names have nine digits.
const IMAGES_MAX: u64 = 1_000_000_000;

/// Plans the images that the request's file of counts asks for.
///
/// # Errors
/// When the file cannot be read, or holds anything but a positive number on each line.
pub fn plan(request: &PrepareRequest) -> Result<PreparePlan, PrepareError> {
    let Some(path) = &request.counts else {
        return Err(PrepareError::Usage {
            what: "synthetic images need a file of counts".to_owned(),
            hint: "name one with --counts: the number of training images of each class, one a line"
                .to_owned(),
        });
    };
    let counts = read_counts(path)?;
    let part = |name: &'static str, count: &dyn Fn(usize) -> u64| {
        let of_class = |class: usize| {
            (0..count(class)).map(move |number| Item {
                name: format!("class {class}, image {number}"),
                label: class as u32,
                number,
            })
        };
        PlannedSplit { name, items: (0..counts.len()).flat_map(of_class).collect() }
    };
    let (val, test) = (request.val_per_class as u64, request.test_per_class as u64);
    let splits =
        vec![part("train", &|class| counts[class]), part("val", &|_| val), part("test", &|_| test)];
    let splits = splits.into_iter().filter(|part| !part.items.is_empty()).collect();
    let class_names = (0..counts.len()).map(|class| format!("pattern {class}")).collect();
    Ok(PreparePlan {
        class_names,
        splits,
        lists: Vec::new(),
        warnings: Vec::new(),
        notes: Vec::new(),
        left_out: 0,
    })
}

fn read_counts(path: &Path) -> Result<Vec<u64>, PrepareError> {
    let hint = || "the file has the number of training images of each class, one a line".to_owned();
    let unreadable = |why: &dyn Display| PrepareError::Usage {
        what: format!("cannot read {}: {why}", path.display()),
        hint: hint(),
    };
    let bytes = fs::read(path).map_err(|error| unreadable(&error))?;
    let text = lcsl_text::decode(&bytes).map_err(|why| unreadable(&why))?;
    let (mut counts, mut sum) = (Vec::new(), 0_u64);
    for (number, line) in lcsl_text::lines(&text) {
        let count = line.trim().parse().ok().filter(|count| (1..=IMAGES_MAX).contains(count));
        let Some(count) = count else {
            let (path, line) = (path.display(), excerpt(line, 80));
            let what = format!("{path}, line {number}: \"{line}\" is not a positive number");
            return Err(PrepareError::Usage { what, hint: hint() });
        };
        counts.push(count);
        sum += count;
    }
    if counts.is_empty() || sum > IMAGES_MAX || counts.len() > CLASSES_MAX as usize {
        let what = format!("{} asks for {sum} images of {} classes", path.display(), counts.len());
        return Err(PrepareError::Usage { what, hint: hint() });
    }
    Ok(counts)
}

/// Draws the images of a plan. Patterns are made when they are first needed.
#[derive(Debug)]
pub struct Drawing {
    seed: u64,
    size: u32,
    patterns: Vec<OnceLock<Pattern>>,
}

impl Drawing {
    /// Of `classes` patterns, each `size` pixels wide and high.
    pub fn new(seed: u64, size: u32, classes: usize) -> Self {
        Self { seed, size, patterns: (0..classes).map(|_| OnceLock::new()).collect() }
    }

    /// Draws an image of part number `part`.
    pub fn draw(&self, part: u64, item: &Item) -> RgbImage {
        let class = u64::from(item.label);
        let size = self.size as usize;
        let pattern =
            self.patterns[item.label as usize].get_or_init(|| Pattern::new(self.seed, class, size));
        let mut pixels = vec![0; size * size * 3];
        let mut stream = Stream::new(self.seed, Purpose::Synthetic, part, class, item.number);
        pattern.draw(&mut stream, &mut pixels);
        RgbImage { width: self.size, height: self.size, pixels }
    }
}
