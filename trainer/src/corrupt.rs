//! Corrupt records that are skipped, where that is wanted: a sentence about each for the log, up to a
//! limit.

use std::fmt::{self, Display};

/// Records that are named in one scope; the others are only counted, so that a bad disk does not
/// fill a good one with sentences.
const NAMED_MAX: usize = 20;

/// In what a record is skipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CorruptScope {
    /// The training of this epoch, from 0.
    Epoch(u64),
    /// An evaluation.
    Evaluation,
}

impl Display for CorruptScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Epoch(epoch) => write!(f, "epoch {epoch}"),
            Self::Evaluation => f.write_str("an evaluation"),
        }
    }
}

/// How many were named in the scope at hand, on one rank.
#[derive(Debug, Default)]
pub struct CorruptLog {
    scope: Option<CorruptScope>,
    named: usize,
}

impl CorruptLog {
    /// The sentences for records that are skipped now; `errors` say of each where it lies and what is
    /// wrong with it. A new scope begins to count anew.
    pub fn sentences(
        &mut self,
        scope: CorruptScope,
        errors: impl IntoIterator<Item = impl Display>,
    ) -> Vec<String> {
        if self.scope.replace(scope) != Some(scope) {
            self.named = 0;
        }
        let mut sentences = Vec::new();
        for error in errors {
            if self.named < NAMED_MAX {
                sentences.push(format!("a corrupt record is left out of {scope}: {error}"));
            } else if self.named == NAMED_MAX {
                sentences.push(format!(
                    "{NAMED_MAX} corrupt records of {scope} are named above; more of them are \
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
        let mut log = CorruptLog::default();
        let mut said = log.sentences(CorruptScope::Epoch(0), 0..18);
        said.extend(log.sentences(CorruptScope::Epoch(0), 18..21));
        said.extend(log.sentences(CorruptScope::Epoch(0), 21..40));
        assert_eq!(said.len(), 21);
        assert_eq!(said[19], "a corrupt record is left out of epoch 0: 19");
        let more = "20 corrupt records of epoch 0 are named above; more of them are only counted";
        assert_eq!(said[20], more);
        assert_eq!(
            log.sentences(CorruptScope::Epoch(1), ["shard-00000.tar is damaged"]),
            ["a corrupt record is left out of epoch 1: shard-00000.tar is damaged"]
        );
    }

    #[test]
    fn an_evaluation_is_a_scope_of_its_own() {
        let mut log = CorruptLog::default();
        assert_eq!(
            log.sentences(CorruptScope::Evaluation, ["x"]),
            ["a corrupt record is left out of an evaluation: x"]
        );
        assert_eq!(log.sentences(CorruptScope::Evaluation, [""; 0]), [""; 0]);
    }
}
