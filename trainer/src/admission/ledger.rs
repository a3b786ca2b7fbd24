//! What admission remembers between steps. Part of every checkpoint; equal on all ranks at all
//! times.

use serde::{Deserialize, Serialize};

use super::alignment;
use super::quantile::{self, BINS};

/// Admissions of an epoch below which it is not reported that one class took most of them: of a few, one
/// class has more than half by chance.
const COLLAPSE_ADMISSIONS_MIN: u64 = 50;

/// Token buckets, credit and counts, each with one entry per class.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ledger {
    /// Policy `quota`: how many the class may still take now.
    pub tokens: Vec<u64>,
    /// Policy `rate`: millionths of an admission earned and not yet taken.
    pub credit: Vec<u64>,
    /// Where each class has a gate of its own: confidences with which it was named since the epoch began,
    /// [`BINS`] of each class in turn; else empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub confidences: Vec<u64>,
    /// The first bin of each class that passes in this epoch; empty where there are no such gates.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gates: Vec<u64>,
    /// Where labels are aligned: how often the class was given as a label since the epoch began; else empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub named: Vec<u64>,
    /// What is taken from the teacher's logits in this epoch, in millionths; empty where labels are not aligned.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alignment: Vec<i64>,
    /// Admitted since the epoch began.
    pub epoch: Vec<u64>,
    /// Admitted since the run began.
    pub total: Vec<u64>,
}

impl Ledger {
    /// An empty ledger.
    pub fn new(classes: usize) -> Self {
        let zeros = || vec![0; classes];
        let (tokens, credit, epoch, total) = (zeros(), zeros(), zeros(), zeros());
        let (confidences, gates) = (Vec::new(), Vec::new());
        let (named, alignment) = (Vec::new(), Vec::new());
        Self { tokens, credit, confidences, gates, named, alignment, epoch, total }
    }

    /// Whether every list is as long as it should be, as that of a ledger read from a file need not be.
    pub fn fits(&self, classes: usize) -> bool {
        let Self { tokens, credit, confidences, gates, named, alignment, epoch, total } = self;
        [tokens, credit, epoch, total].iter().all(|list| list.len() == classes)
            && [0, classes * BINS].contains(&confidences.len())
            && [gates.len(), named.len(), alignment.len()]
                .iter()
                .all(|it| [0, classes].contains(it))
    }

    /// Empties tokens, credit and the epoch's counts.
    pub fn begin_epoch(&mut self) {
        for list in [&mut self.tokens, &mut self.credit, &mut self.epoch] {
            list.fill(0);
        }
    }

    /// From now on the labels of a class pass that are as confident as all but this `quantile` (in millionths) of those
    /// that were counted; the count begins anew.
    pub fn renew_gates(&mut self, quantile: u64) {
        let (of_classes, _) = self.confidences.as_chunks::<BINS>();
        self.gates = of_classes.iter().map(|counts| quantile::gate(counts, quantile)).collect();
        self.confidences.clear();
        self.confidences.resize(self.total.len() * BINS, 0);
    }

    /// From now on the teacher's logits are corrected by what its labels of the epoch before still show; the count
    /// begins anew.
    pub fn renew_alignment(&mut self, strength: u64) {
        let classes = self.total.len();
        self.named.resize(classes, 0);
        self.alignment.resize(classes, 0);
        self.alignment = alignment::renewed(&self.alignment, &self.named, strength);
        self.named.fill(0);
    }

    /// Counts that a class was given as a label.
    pub fn count_label(&mut self, class: u32) {
        self.named.resize(self.total.len(), 0);
        self.named[class as usize] += 1;
    }

    /// Counts the confidence with which a class was named.
    pub fn count_confidence(&mut self, class: u32, confidence: f32) {
        self.confidences.resize(self.total.len() * BINS, 0);
        self.confidences[class as usize * BINS + quantile::bin(confidence)] += 1;
    }

    /// Whether a label passes the gate of its class.
    pub fn passes_gate(&self, class: u32, confidence: f32) -> bool {
        let first = self.gates.get(class as usize).copied().unwrap_or(0);
        quantile::bin(confidence) as u64 >= first
    }

    /// Admitted before the epoch at hand, by class.
    pub fn admitted_before_epoch(&self) -> Vec<u64> {
        self.total.iter().zip(&self.epoch).map(|(total, epoch)| total - epoch).collect()
    }

    /// Admitted since the run began, over all classes.
    pub fn admitted_total(&self) -> u64 {
        self.total.iter().sum()
    }

    /// The class that took more than half of this epoch's admissions, where there are at least 50 of
    /// them and three minority classes or more to share them: a sign that the teacher labels everything
    /// with one class.
    pub fn collapse(&self, minority: &[u32]) -> Option<u32> {
        let admitted: u64 = self.epoch.iter().sum();
        if minority.len() < 3 || admitted < COLLAPSE_ADMISSIONS_MIN {
            return None;
        }
        minority.iter().copied().find(|class| self.epoch[*class as usize] * 2 > admitted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn collapse_needs_more_than_half_and_three_classes() {
        let ledger = |epoch: &[u64]| Ledger { epoch: epoch.to_vec(), ..Ledger::new(epoch.len()) };
        assert_eq!(ledger(&[0, 60, 30, 20]).collapse(&[1, 2, 3]), Some(1));
        assert_eq!(ledger(&[0, 50, 30, 20]).collapse(&[1, 2, 3]), None);
        assert_eq!(ledger(&[0, 60, 30, 0]).collapse(&[1, 2]), None);
        assert_eq!(ledger(&[0, 0, 0, 0]).collapse(&[1, 2, 3]), None);
    }

    /// Story: the first image that a run admitted was a class with more than half of all admissions, and
    /// a healthy run was reported as collapsed.
    #[test]
    fn a_few_admissions_are_no_collapse() {
        let collapse = |epoch: &[u64]| {
            Ledger { epoch: epoch.to_vec(), ..Ledger::new(epoch.len()) }.collapse(&[1, 2, 3])
        };
        assert_eq!(collapse(&[0, 1, 0, 0]), None);
        assert_eq!(collapse(&[0, 49, 0, 0]), None);
        assert_eq!(collapse(&[0, 50, 0, 0]), Some(1));
    }
}
