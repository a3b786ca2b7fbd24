//! Corrupt records that are left out, where that is wanted: a sentence about each for the log, up to a
//! limit.

use std::fmt::{self, Display};

/// Records that are named on one occasion; the others are only counted, so that a bad disk does not
/// fill a good one with sentences.
const NAMED_MAX: usize = 20;

/// What a record is left out of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Occasion {
    /// The training of this epoch, from 0.
    Epoch(u64),
    /// An evaluation.
    Evaluation,
}

impl Display for Occasion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Epoch(epoch) => write!(f, "epoch {epoch}"),
            Self::Evaluation => f.write_str("an evaluation"),
        }
    }
}

/// How many were named on the occasion at hand, on one rank.
#[derive(Debug, Default)]
pub struct Roll {
    occasion: Option<Occasion>,
    named: usize,
}

impl Roll {
    /// The sentences for records that are left out now; `errors` say of each where it lies and what is
    /// wrong with it. A new occasion begins to count anew.
    pub fn call(
        &mut self,
        occasion: Occasion,
        errors: impl IntoIterator<Item = impl Display>,
    ) -> Vec<String> {
        if self.occasion.replace(occasion) != Some(occasion) {
            self.named = 0;
        }
        let mut sentences = Vec::new();
        for error in errors {
            if self.named < NAMED_MAX {
                sentences.push(format!("a corrupt record is left out of {occasion}: {error}"));
            } else if self.named == NAMED_MAX {
                sentences.push(format!(
                    "{NAMED_MAX} corrupt records of {occasion} are named above; more of them are \
                     only counted"
                ));
            }
            self.named += 1;
        }
        sentences
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Story: a shard with a thousand corrupt records would have written a thousand lines in each of two
    /// hundred epochs.
    #[test]
    fn twenty_are_named_and_then_it_is_said_once_that_there_are_more() {
        let mut roll = Roll::default();
        let mut said = roll.call(Occasion::Epoch(0), 0..18);
        said.extend(roll.call(Occasion::Epoch(0), 18..21));
        said.extend(roll.call(Occasion::Epoch(0), 21..40));
        assert_eq!(said.len(), 21);
        assert_eq!(said[19], "a corrupt record is left out of epoch 0: 19");
        let more = "20 corrupt records of epoch 0 are named above; more of them are only counted";
        assert_eq!(said[20], more);
        assert_eq!(
            roll.call(Occasion::Epoch(1), ["shard-00000.tar is damaged"]),
            ["a corrupt record is left out of epoch 1: shard-00000.tar is damaged"]
        );
    }

    #[test]
    fn an_evaluation_is_an_occasion_of_its_own() {
        let mut roll = Roll::default();
        assert_eq!(
            roll.call(Occasion::Evaluation, ["x"]),
            ["a corrupt record is left out of an evaluation: x"]
        );
        assert_eq!(roll.call(Occasion::Evaluation, [""; 0]), [""; 0]);
    }
}
