//! The table of keys, in the order of `default.toml`, of the help and of a run's `config.toml`.

mod data;
mod loss;
mod model;
mod run;

use std::ops::Bound::{Excluded, Included, Unbounded};

use super::{Key, KeyKind, Range};

/// TOML's integers are signed, so a seed or a count ends here.
const LARGEST: u64 = i64::MAX as u64;
/// Generous limits, so that a mistyped number is answered with a message instead of an allocation.
const RANKS_MAX: u64 = 65_536;
const BATCH_MAX: u64 = 1 << 24;

const ABOVE_0: KeyKind = KeyKind::Number(Range { low: Excluded(0.0), high: Unbounded });
const FROM_0: KeyKind = KeyKind::Number(Range { low: Included(0.0), high: Unbounded });
const FROM_0_TO_1: KeyKind = KeyKind::Number(Range { low: Included(0.0), high: Included(1.0) });
const FROM_0_BELOW_1: KeyKind = KeyKind::Number(Range { low: Included(0.0), high: Excluded(1.0) });
const ABOVE_0_TO_1: KeyKind = KeyKind::Number(Range { low: Excluded(0.0), high: Included(1.0) });
/// A share is kept in millionths, of which there has to be one.
const MILLIONTH_TO_1: KeyKind = KeyKind::Number(Range { low: Included(1e-6), high: Included(1.0) });
const ANY_NUMBER: KeyKind = KeyKind::Number(Range { low: Unbounded, high: Unbounded });

const PARTS: [&[Key]; 4] = [run::RUN, data::DATA, model::MODEL_AND_TRAIN, loss::LOSS_AND_AFTER];

const COUNT: usize = PARTS[0].len() + PARTS[1].len() + PARTS[2].len() + PARTS[3].len();

/// Every setting there is.
pub const KEYS: &[Key] = &joined();

const fn joined() -> [Key; COUNT] {
    let mut keys = [PARTS[0][0]; COUNT];
    let (mut part, mut at) = (0, 0);
    while part < PARTS.len() {
        let mut key = 0;
        while key < PARTS[part].len() {
            keys[at] = PARTS[part][key];
            key += 1;
            at += 1;
        }
        part += 1;
    }
    keys
}
