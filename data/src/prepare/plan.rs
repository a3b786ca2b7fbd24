//! Which images a preparation stores, in which order, with which labels.

use crate::random::{Purpose, Stream};

use super::manifest::ListFile;
use super::problems::DataProblems;

/// The whole of a preparation, before anything is written.
#[derive(Clone, Debug)]
pub struct PreparePlan {
    /// The name of each class, in the order of the labels.
    pub class_names: Vec<String>,
    /// Training, validation and test images, as far as there are any.
    pub splits: Vec<PlannedSplit>,
    /// The lists that the plan was made from.
    pub lists: Vec<ListFile>,
    /// What is unusual about them, in sentences.
    pub warnings: Vec<String>,
    /// How the folder was understood and what follows from it, in sentences.
    pub notes: Vec<String>,
    /// Images that were planned and could not be read.
    pub left_out: u64,
}

/// The images of one split.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedSplit {
    /// `train`, `val` or `test`: also the name of its folder.
    pub name: &'static str,
    /// The images in the order in which they are stored.
    pub items: Vec<Item>,
}

/// One image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Its file, from the root of the dataset; for drawn images, a name only.
    pub name: String,
    /// Its class.
    pub label: u32,
    /// For drawn images, its number in its class; otherwise 0.
    pub number: u64,
}

impl PreparePlan {
    /// Puts the training images into a random order that belongs to `seed`: a shard that is read from
    /// front to back then has classes mixed. Other splits stay as listed.
    pub fn shuffle(&mut self, seed: u64) {
        for part in self.splits.iter_mut().filter(|part| part.name == "train") {
            Stream::new(seed, Purpose::Storage, 0, 0, 0).shuffle(&mut part.items);
        }
    }

    /// Adds a problem for each class without a training image.
    pub fn find_empty_classes(&self, problems: &mut DataProblems) {
        let mut counts = vec![0_u64; self.class_names.len()];
        for item in self.splits.iter().filter(|part| part.name == "train").flat_map(|p| &p.items) {
            counts[item.label as usize] += 1;
        }
        for (class, _) in counts.iter().enumerate().filter(|(_, count)| **count == 0) {
            let name = &self.class_names[class];
            problems.add("classes without a training image", format!("class {class} ({name})"));
        }
    }

    /// Says whether two preparations store the same: BLAKE3 over everything that decides what is
    /// written, as hexadecimal digits.
    pub fn fingerprint(&self, settings: &str) -> String {
        let mut hasher = blake3::Hasher::new();
        let mut add = |text: &str| {
            hasher.update(&(text.len() as u64).to_le_bytes());
            hasher.update(text.as_bytes());
        };
        add(settings);
        for name in &self.class_names {
            add(name);
        }
        for part in &self.splits {
            add(part.name);
            for item in &part.items {
                add(&item.name);
                add(&item.label.to_string());
            }
        }
        hasher.finalize().to_string()
    }
}
