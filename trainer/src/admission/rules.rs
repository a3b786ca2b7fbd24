//! The policies. The classes that can be admitted are those of the minority, or all.
//!
//! * `reference`: all that pass the gate, as the published code does.
//! * `quota`: a token bucket per such class, refilled at every step whether or not it has
//!   candidates: the class's budget (`quota_rate` of its deficit to the largest class) spread
//!   evenly over the epoch, holding at most `burst_steps` steps' worth; and never more in one step
//!   than an even share of the batch among these classes.
//! * `rate`: CReST (Wei et al., CVPR 2021): the class's rate times its candidates, earned as exact
//!   integer credit over steps, so that a class with one candidate a step is not always admitted.

use std::cmp::Reverse;

use lcsl_config::{AdmittedClasses, Policy};

use super::{Admitted, Candidate, Ledger, MILLION};
use crate::long_tail::minority;

/// Everything that admission depends on besides candidates and ledger; fixed for a run.
#[derive(Debug, Clone)]
pub struct Rules {
    policy: Policy,
    confidence: f32,
    /// Millionths.
    quantile: u64,
    /// Millionths.
    alignment: u64,
    burst_steps: u64,
    share: u64,
    /// The classes that can be admitted, ascending.
    classes: Vec<u32>,
    /// Index into `classes` by class, or `None` for one that cannot be admitted.
    place: Vec<Option<usize>>,
    /// Admissions per epoch that policy `quota` grants, by place in `classes`.
    budgets: Vec<u64>,
    /// Millionths, by place in `classes`.
    rates: Vec<u64>,
}

/// The numbers that a person can set.
#[derive(Debug, Clone, Copy)]
pub struct AdmissionSettings {
    /// The policy.
    pub policy: Policy,
    /// Gate: which labels can be admitted.
    pub classes: AdmittedClasses,
    /// Gate: a candidate needs at least this confidence, 0..1.
    pub confidence: f32,
    /// Gate: millionths of a class's candidates of the epoch before, the least confident ones, below which none passes;
    /// 0 is no such gate.
    pub quantile: u64,
    /// Millionths of the way that labels are moved at an epoch's end until all classes are given equally often; 0 moves
    /// none.
    pub alignment: u64,
    /// Policy `quota`: millionths of a class's deficit that it may admit per epoch; nothing for
    /// [`auto_quota_rate`].
    pub quota_rate: Option<u64>,
    /// Policy `quota`: how many steps' worth a bucket holds.
    pub burst_steps: u64,
    /// Policy `quota`: millionths of the batch that all these classes together may take in one
    /// step.
    pub share: u64,
    /// Policy `rate`: the exponent of the class rates.
    pub crest_alpha: f64,
}

/// Which step of which epoch admits, and how large its global batch is.
#[derive(Debug, Clone, Copy)]
pub struct AdmissionStep {
    /// Step in the epoch, from 0.
    pub step: u64,
    /// Steps of the epoch.
    pub steps: u64,
    /// Images of the global batch over which candidates were gathered.
    pub batch: u64,
    /// How often an optimiser step admits: where it is made of micro-batches, each is a round, and `step`
    /// and `steps` count rounds.
    pub rounds: u64,
}

impl Rules {
    /// Prepares the rules for training counts per class.
    pub fn new(counts: &[u64], settings: AdmissionSettings) -> Self {
        let classes = match settings.classes {
            AdmittedClasses::Minority => minority(counts),
            AdmittedClasses::All => (0..counts.len() as u32).collect(),
        };
        let mut place = vec![None; counts.len()];
        for (at, class) in classes.iter().enumerate() {
            place[*class as usize] = Some(at);
        }
        let largest = counts.iter().copied().max().unwrap_or(0);
        let quota_rate = settings.quota_rate.unwrap_or_else(|| auto_quota_rate(counts));
        let of_classes = |values: &[u64]| classes.iter().map(|c| values[*c as usize]).collect();
        let budgets: Vec<u64> =
            counts.iter().map(|count| quota_rate * (largest - count) / MILLION).collect();
        Self {
            policy: settings.policy,
            confidence: settings.confidence,
            quantile: settings.quantile,
            alignment: settings.alignment,
            burst_steps: settings.burst_steps,
            share: settings.share,
            place,
            budgets: of_classes(&budgets),
            rates: of_classes(&crest_rates(counts, settings.crest_alpha)),
            classes,
        }
    }

    /// The classes that can be admitted, ascending.
    pub fn classes(&self) -> &[u32] {
        &self.classes
    }

    /// Whether a rank tells the others of it: a candidate, or any label at all where labels are counted to align them.
    pub fn is_told(&self, candidate: &Candidate) -> bool {
        self.alignment > 0 || self.is_candidate(candidate)
    }

    /// Whether it is a candidate at all: confident, and of a class that can be admitted.
    pub fn is_candidate(&self, candidate: &Candidate) -> bool {
        candidate.confidence >= self.confidence
            && self.place.get(candidate.label as usize).is_some_and(Option::is_some)
    }

    /// Whether a candidate can be admitted in this epoch: it passes the gate of its class, too.
    pub fn passes_gate(&self, candidate: &Candidate, ledger: &Ledger) -> bool {
        self.is_candidate(candidate) && ledger.passes_gate(candidate.label, candidate.confidence)
    }

    /// An epoch begins.
    pub fn begin_epoch(&self, ledger: &mut Ledger) {
        ledger.begin_epoch();
        if self.quantile > 0 {
            ledger.renew_gates(self.quantile);
        }
        if self.alignment > 0 {
            ledger.renew_alignment(self.alignment);
        }
    }

    /// Decides on the candidates of the whole global batch, which come in any order, and enters the
    /// decision in the ledger. Returns the admitted ones by ascending key. Within a class the most
    /// confident come first, equal confidences by key.
    ///
    /// Specified by `admit` of the oracle, with which it agrees exactly.
    pub fn admit(
        &self,
        candidates: &[Candidate],
        ledger: &mut Ledger,
        at: AdmissionStep,
    ) -> Vec<Admitted> {
        let mut admitted = Vec::new();
        if self.quantile > 0 {
            for candidate in candidates.iter().filter(|candidate| self.is_candidate(candidate)) {
                ledger.count_confidence(candidate.label, candidate.confidence);
            }
        }
        if self.alignment > 0 {
            let classes = self.place.len();
            for candidate in candidates.iter().filter(|one| (one.label as usize) < classes) {
                ledger.count_label(candidate.label);
            }
        }
        let (mut ordered, ends) = self.by_class(candidates, ledger);
        let mut start = 0;
        for (place, end) in ends.into_iter().enumerate() {
            let rows = &mut ordered[start..end];
            start = end;
            let granted = self.grant(place, rows.len() as u64, ledger, at) as usize;
            if granted > 0 && granted < rows.len() {
                rows.select_nth_unstable_by_key(granted - 1, most_confident_first);
            }
            let class = self.classes[place];
            admitted.extend(rows[..granted].iter().map(|c| Admitted { key: c.key, label: class }));
            ledger.epoch[class as usize] += granted as u64;
            ledger.total[class as usize] += granted as u64;
        }
        admitted.sort_unstable();
        admitted
    }

    /// Candidates that pass the gate, grouped by class in the order of `classes`, and where each
    /// group ends: a counting sort, so that the cost grows with candidates plus classes.
    fn by_class(&self, candidates: &[Candidate], ledger: &Ledger) -> (Vec<Candidate>, Vec<usize>) {
        let place = |c: &Candidate| {
            if self.passes_gate(c, ledger) { self.place[c.label as usize] } else { None }
        };
        let mut ends = vec![0; self.classes.len()];
        for at in candidates.iter().filter_map(place) {
            ends[at] += 1;
        }
        let mut total = 0;
        for end in &mut ends {
            total += std::mem::replace(end, total); // for now: where the group starts
        }
        let nothing = Candidate { key: 0, label: 0, confidence: 0.0 };
        let mut ordered = vec![nothing; total];
        for candidate in candidates {
            if let Some(at) = place(candidate) {
                ordered[ends[at]] = *candidate;
                ends[at] += 1; // and in the end: where it ends
            }
        }
        (ordered, ends)
    }

    /// How many of `candidates` the class at `place` may take now.
    fn grant(&self, place: usize, candidates: u64, ledger: &mut Ledger, at: AdmissionStep) -> u64 {
        let class = self.classes[place] as usize;
        match self.policy {
            Policy::Reference => candidates,
            Policy::Quota => {
                let due = |steps: u64| (self.budgets[place] * steps).div_ceil(at.steps);
                let refill = due(at.step + 1) - due(at.step);
                let capacity = due(self.burst_steps * at.rounds).max(1);
                let even = self.share * at.batch / (MILLION * self.classes.len() as u64);
                let tokens = (ledger.tokens[class] + refill).min(capacity);
                let granted = candidates.min(tokens).min(even.max(1));
                ledger.tokens[class] = tokens - granted;
                granted
            }
            Policy::Rate => {
                let credit = ledger.credit[class] + self.rates[place] * candidates;
                ledger.credit[class] = credit % MILLION;
                credit / MILLION
            }
        }
    }
}

/// Confidences that pass the gate are positive numbers, whose bits have the order of their values.
fn most_confident_first(candidate: &Candidate) -> (Reverse<u32>, u64) {
    (Reverse(candidate.confidence.to_bits()), candidate.key)
}

/// The quota rate, in millionths, with which the budgets of all minority classes together are at
/// most half the training set.
pub fn auto_quota_rate(counts: &[u64]) -> u64 {
    let largest = counts.iter().copied().max().unwrap_or(0);
    let deficits: u64 = minority(counts).iter().map(|c| largest - counts[*c as usize]).sum();
    let images: u64 = counts.iter().sum();
    if deficits == 0 { MILLION } else { MILLION.min(MILLION * images / (2 * deficits)) }
}

/// CReST's rate of each class in millionths: with classes ordered by count, largest first and ties
/// by class id, the l-th of C gets `(N_{C+1−l} / N_1)^α` (Wei et al., CVPR 2021, section 3.2).
pub fn crest_rates(counts: &[u64], alpha: f64) -> Vec<u64> {
    let mut order: Vec<usize> = (0..counts.len()).collect();
    order.sort_by_key(|c| (Reverse(counts[*c]), *c));
    let mut rates = vec![0; counts.len()];
    for (class, mirror) in order.iter().zip(order.iter().rev()) {
        let ratio = counts[*mirror] as f64 / counts[order[0]] as f64;
        rates[*class] = (ratio.powf(alpha) * MILLION as f64 + 0.5).floor() as u64;
    }
    rates
}

#[cfg(test)]
mod tests {
    use lcsl_config::Policy;

    use super::*;

    /// The network is sure of the first class and not of the second: one confidence for both lets nothing of the second
    /// pass, and each class's own median lets half of either.
    #[test]
    fn each_class_can_have_a_gate_of_its_own() {
        let settings = AdmissionSettings {
            policy: Policy::Reference,
            classes: AdmittedClasses::All,
            confidence: 0.3,
            quantile: 500_000,
            alignment: 0,
            quota_rate: None,
            burst_steps: 8,
            share: MILLION,
            crest_alpha: 0.0,
        };
        let rules = Rules::new(&[100, 10], settings);
        let named = |label: u32, of: &[f32]| {
            let named = of.iter().zip(0..).map(move |(confidence, key)| Candidate {
                key: 10 * u64::from(label) + key,
                label,
                confidence: *confidence,
            });
            named.collect::<Vec<_>>()
        };
        let sure = named(0, &[0.9, 0.99, 0.999, 0.9999]);
        let unsure = named(1, &[0.2, 0.4, 0.55, 0.65, 0.8]);
        let candidates = [sure, unsure].concat();
        let mut ledger = Ledger::new(2);
        let admitted = |ledger: &mut Ledger| {
            rules.begin_epoch(ledger);
            let at = AdmissionStep { step: 0, steps: 1, batch: 9, rounds: 1 };
            let admitted = rules.admit(&candidates, ledger, at);
            admitted.iter().map(|one| one.key).collect::<Vec<_>>()
        };
        // Nothing is known before the first epoch: all but what lies below the one confidence.
        assert_eq!(admitted(&mut ledger), [0, 1, 2, 3, 11, 12, 13, 14]);
        let later = [2, 3, 13, 14];
        assert_eq!(admitted(&mut ledger), later);
        assert!(ledger.fits(2));
        // A checkpoint remembers the gates, and what the next ones are made of.
        let text = serde_json::to_string(&ledger).unwrap();
        let mut restored: Ledger = serde_json::from_str(&text).unwrap();
        assert_eq!(restored, ledger);
        assert_eq!(admitted(&mut restored), later);
    }

    /// The network gives the first class three times as often as the second: from the next epoch on, its logits are
    /// less by that, and all labels count, not only those that are confident.
    #[test]
    fn labels_are_aligned_from_one_epoch_to_the_next() {
        let settings = AdmissionSettings {
            policy: Policy::Reference,
            classes: AdmittedClasses::Minority,
            confidence: 0.9,
            quantile: 0,
            alignment: 500_000,
            quota_rate: None,
            burst_steps: 8,
            share: MILLION,
            crest_alpha: 0.0,
        };
        let rules = Rules::new(&[100, 10], settings);
        let labels = [(0, 0.3), (0, 0.99), (0, 0.5), (1, 0.4)].into_iter().zip(0..);
        let candidates: Vec<Candidate> =
            labels.map(|((label, confidence), key)| Candidate { key, label, confidence }).collect();
        assert!(candidates.iter().all(|one| rules.is_told(one) && !rules.is_candidate(one)));
        let mut ledger = Ledger::new(2);
        let epoch = |ledger: &mut Ledger| {
            rules.begin_epoch(ledger);
            let at = AdmissionStep { step: 0, steps: 1, batch: 4, rounds: 1 };
            assert_eq!(rules.admit(&candidates, ledger, at), []);
            ledger.alignment.clone()
        };
        assert_eq!(epoch(&mut ledger), [0, 0], "nothing is known yet");
        assert_eq!(ledger.named, [3, 1]);
        let text = serde_json::to_string(&ledger).unwrap();
        let mut restored: Ledger = serde_json::from_str(&text).unwrap();
        assert!(restored.fits(2));
        // ln(4/3) and ln(2/3), half of each.
        assert_eq!(epoch(&mut ledger), [143_841, -202_733]);
        assert_eq!(epoch(&mut restored), [143_841, -202_733]);
        assert_eq!(epoch(&mut ledger), [287_682, -405_466], "and on, while they are not even");
    }

    /// `FixMatch` and `CReST` admit labels of every class; `CReST`'s rate is 1 for the smallest and falls to that of
    /// the largest.
    #[test]
    fn all_classes_can_be_admitted_where_that_is_wanted() {
        let admitted = |classes, policy| {
            let settings = AdmissionSettings {
                policy,
                classes,
                confidence: 0.5,
                quantile: 0,
                alignment: 0,
                quota_rate: None,
                burst_steps: 8,
                share: MILLION,
                crest_alpha: 0.5,
            };
            let rules = Rules::new(&[100, 25, 4], settings);
            let of_class = |label| {
                (0..20_u64).map(move |at| Candidate {
                    key: 100 * u64::from(label) + at,
                    label,
                    confidence: 0.9,
                })
            };
            let candidates: Vec<Candidate> = (0..3).flat_map(of_class).collect();
            let mut ledger = Ledger::new(3);
            let at = AdmissionStep { step: 0, steps: 1, batch: 60, rounds: 1 };
            let _ = rules.admit(&candidates, &mut ledger, at);
            ledger.total
        };
        assert_eq!(admitted(AdmittedClasses::Minority, Policy::Reference), [0, 20, 20]);
        assert_eq!(admitted(AdmittedClasses::All, Policy::Reference), [20, 20, 20]);
        assert_eq!(admitted(AdmittedClasses::All, Policy::Rate), [4, 10, 20]);
        // The largest class has no deficit that a quota would fill.
        assert_eq!(admitted(AdmittedClasses::All, Policy::Quota)[0], 0);
    }
}
