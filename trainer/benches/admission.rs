//! Admission at scale, in one process: how long the decision on a global batch takes, from the bytes that
//! were gathered to the ledger; and whether it is the same however the candidates were split.
//!
//!     cargo bench -p lcsl-trainer --no-default-features --bench admission

use std::hint::black_box;
use std::time::{Duration, Instant};

use lcsl_config::{AdmittedClasses, Policy};
use lcsl_data::random::{Purpose, Stream};
use lcsl_trainer::admission::candidate::{from_ranks, to_bytes};
use lcsl_trainer::admission::{
    AdmissionDigest, AdmissionSettings, AdmissionStep, Candidate, Ledger, Rules,
};

const POLICIES: [Policy; 3] = [Policy::Reference, Policy::Quota, Policy::Rate];
const RANKS: usize = 64;
const REPEATS: usize = 21;
const SPLITS: usize = 10_000;

fn main() {
    println!(
        "{:>10} {:>10} {:>8}  {:>9}  {:>8}",
        "candidates", "policy", "classes", "median", "slowest"
    );
    for classes in [1_000, 8_142] {
        for policy in POLICIES {
            for count in [4_096, 16_384, 65_536, 262_144] {
                time(policy, classes, count);
            }
        }
    }
    for policy in POLICIES {
        let digests = digests(policy);
        println!("{SPLITS} random splits and orders, {policy}: {digests} digest(s)");
        assert_eq!(digests, 1, "the decision depends on who sent what");
    }
}

/// An exponential profile of this many classes, all but the first few in the minority.
fn rules(policy: Policy, classes: usize) -> Rules {
    let count = |class: usize| (1_280.0 * 0.004_f64.powf(class as f64 / classes as f64)) as u64;
    let counts: Vec<u64> = (0..classes).map(count).collect();
    let settings = AdmissionSettings {
        policy,
        classes: AdmittedClasses::Minority,
        confidence: 0.5,
        quantile: 0,
        alignment: 0,
        quota_rate: None,
        burst_steps: 8,
        share: 1_000_000,
        crest_alpha: 1.0 / 3.0,
    };
    Rules::new(&counts, settings)
}

/// Candidates that all pass the gate, many of equal confidence.
fn candidates(rules: &Rules, count: usize, stream: &mut Stream) -> Vec<Candidate> {
    let minority = rules.classes();
    let one = |key| Candidate {
        key,
        label: minority[stream.below(minority.len() as u64) as usize],
        confidence: 0.5 + stream.below(1_000) as f32 / 2_000.0,
    };
    (0..count as u64).map(one).collect()
}

fn time(policy: Policy, classes: usize, count: usize) {
    let rules = rules(policy, classes);
    let all = candidates(&rules, count, &mut Stream::new(1, Purpose::Order, 0, 0, 0));
    assert!(all.iter().all(|one| rules.is_candidate(one)));
    let gathered: Vec<Vec<u8>> = all.chunks(count.div_ceil(RANKS)).map(to_bytes).collect();
    let mut ledger = Ledger::new(classes);
    let mut times = Vec::new();
    for step in 0..REPEATS as u64 {
        let at = AdmissionStep { step, steps: REPEATS as u64, batch: count as u64, rounds: 1 };
        let began = Instant::now();
        let candidates = from_ranks(&gathered).expect("whole records");
        black_box(rules.admit(&candidates, &mut ledger, at));
        times.push(began.elapsed());
    }
    times.sort_unstable();
    let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
    let (median, slowest) = (milliseconds(times[REPEATS / 2]), milliseconds(times[REPEATS - 1]));
    println!("{count:>10} {policy:>10} {classes:>8}  {median:>6.2} ms  {slowest:>5.2} ms");
}

/// How many different digests a step's candidates give, in random orders and split over random numbers of
/// ranks.
fn digests(policy: Policy) -> usize {
    let rules = rules(policy, 200);
    let mut stream = Stream::new(2, Purpose::Order, 0, 0, 0);
    let mut all = candidates(&rules, 500, &mut stream);
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..SPLITS {
        for place in (1..all.len()).rev() {
            all.swap(place, stream.below(place as u64 + 1) as usize);
        }
        let mut ranks = vec![Vec::new(); 1 + stream.below(RANKS as u64) as usize];
        for one in &all {
            let rank = stream.below(ranks.len() as u64) as usize;
            ranks[rank].push(*one);
        }
        let gathered: Vec<Vec<u8>> = ranks.iter().map(|rank| to_bytes(rank)).collect();
        let (mut ledger, mut digest) = (Ledger::new(200), AdmissionDigest::default());
        for step in 0..3 {
            let at = AdmissionStep { step, steps: 3, batch: all.len() as u64, rounds: 1 };
            let everyone = from_ranks(&gathered).expect("whole records");
            digest.record(0, step, &rules.admit(&everyone, &mut ledger, at));
        }
        seen.insert(digest.to_hex());
    }
    seen.len()
}
