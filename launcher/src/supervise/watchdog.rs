//! Ranks that fall silent, and ranks that make no progress. Pure: what was heard and when in, a finding out.
//!
//! A rank beats every second, from a thread of its own: one that is not heard of is stopped, or its host is cut off.
//! One that beats and stays where it is either works long, or hangs, or waits for another. Who waits in a collective is
//! not the one to name as long as some rank has not come to it. Where all wait, nobody works: what takes long by nature
//! does not count then, and ranks that call for different things will never meet.

use std::collections::VecDeque;
use std::time::Duration;

use lcsl_collective::calls::CallStatus;
use lcsl_collective::control::Phase;

use super::arrears;
use super::facts::Facts;
use super::start::listed;
use super::verdict::{Verdict, name, place};
use lcsl_run_dir::exit;

/// How often to look.
const PERIOD: Duration = Duration::from_secs(1);

/// A launcher that looks so late was itself stopped, or its machine was: nobody else is late, then.
const JUMP: Duration = Duration::from_secs(5);

/// A rank that is late with its beats is called unheard of in a warning.
const UNHEARD: Duration = Duration::from_secs(3);

/// Durations of a phase that its median is taken of.
const SAMPLES: usize = 101;

/// A warning comes after this part of the limit, or so many medians; the end after so many.
const WARNING: u32 = 6;
const WARNING_MEDIANS: u32 = 5;
const END_MEDIANS: u32 = 20;

/// How long ranks may be silent or stay where they are; zero is for ever.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Without a sign of life.
    pub silence: Duration,
    /// In a part of a step, unless it usually takes long.
    pub hang: Duration,
    /// Waiting for data, in an evaluation or a checkpoint, and in whatever is done for the first time.
    pub wait: Duration,
}

/// What was found at a look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Finding {
    /// A sentence for a person.
    Warning(String),
    /// How the run ends.
    End(Verdict),
}

/// What is known of one rank's progress.
#[derive(Debug, Clone, Copy)]
struct Progress {
    heard: Duration,
    at: (u64, Phase),
    since: Duration,
    /// How much of that phase's work is done, and since when.
    done: u64,
    moved: Duration,
    /// Whether it has made a step in this attempt: each part of a step was done before, then.
    stepped: bool,
    warned: bool,
}

/// Watches the ranks of one attempt from the moment when all have come.
#[derive(Debug)]
pub(super) struct Watchdog {
    limits: Limits,
    ranks: Vec<Progress>,
    /// Lately seen durations, by phase.
    durations: [VecDeque<Duration>; Phase::ALL.len()],
    looked: Duration,
}

impl Watchdog {
    /// Of so many ranks.
    pub(super) fn new(ranks: usize, limits: Limits) -> Self {
        let (zero, at) = (Duration::ZERO, (0, Phase::Starting));
        let nothing = Progress {
            heard: zero,
            at,
            since: zero,
            done: 0,
            moved: zero,
            stepped: false,
            warned: false,
        };
        Self { limits, ranks: vec![nothing; ranks], durations: Default::default(), looked: zero }
    }

    /// All ranks have come: the deadlines begin.
    pub(super) fn begin(&mut self, now: Duration) {
        self.looked = now;
        for rank in &mut self.ranks {
            (rank.heard, rank.since, rank.moved) = (now, now, now);
        }
    }

    /// A rank has said something.
    pub(super) fn heard(&mut self, now: Duration, rank: usize) {
        self.ranks[rank].heard = now;
    }

    /// A rank has told where it is, and how much of what it does there is done.
    pub(super) fn told(&mut self, now: Duration, rank: usize, at: (u64, Phase), done: u64) {
        let progress = &mut self.ranks[rank];
        if (progress.at, progress.done) == (at, done) {
            return;
        }
        (progress.done, progress.moved, progress.warned) = (done, now, false);
        if progress.at == at {
            return;
        }
        let durations = &mut self.durations[progress.at.1 as usize];
        durations.push_back(now.saturating_sub(progress.since));
        if durations.len() > SAMPLES {
            durations.pop_front();
        }
        let is_before = matches!(progress.at.1, Phase::Starting | Phase::Staging);
        progress.stepped |= at.0 > progress.at.0 && !is_before;
        (progress.at, progress.since) = (at, now);
    }

    /// When to look again.
    pub(super) fn wake_at(&self) -> Duration {
        self.looked + PERIOD
    }

    /// What there is to say or to end at `now`.
    pub(super) fn look(&mut self, now: Duration, facts: &Facts) -> Option<Finding> {
        let late = now.saturating_sub(self.looked) > JUMP;
        self.looked = now;
        if late {
            self.begin(now);
            return None;
        }
        let at_work: Vec<usize> =
            (0..self.ranks.len()).filter(|rank| facts.ranks[*rank].last_word.is_none()).collect();
        if let Some(rank) = at_work.iter().copied().find(|rank| self.is_silent(now, *rank)) {
            let since = now.saturating_sub(self.ranks[rank].heard);
            return Some(Finding::End(silent(facts, rank, since)));
        }
        let waits = |rank: &&usize| {
            is_collective(self.ranks[**rank].at.1)
                || arrears::current(&facts.ranks[**rank]).is_some()
        };
        let (waiting, working): (Vec<usize>, Vec<usize>) = at_work.iter().partition(waits);
        // Who waits for others is judged only when there are no others.
        let judged = if working.is_empty() { &waiting } else { &working };
        let slowest = judged.iter().copied().min_by_key(|rank| self.ranks[*rank].moved)?;
        let stays = now.saturating_sub(self.ranks[slowest].moved);
        let all_wait = working.is_empty() && at_work.len() > 1;
        let (warning, mut end) = self.deadlines(slowest, all_wait);
        if all_wait && !self.limits.silence.is_zero() && arrears::contradict(facts, &waiting) {
            // As certain as silence: the heartbeat in which one of them has gone on would have come by then.
            end = end.map(|end| end.min(self.limits.silence));
        }
        if end.is_some_and(|end| stays >= end) {
            let verdict = if all_wait {
                self.all_wait(facts, &waiting, stays)
            } else {
                hanging(facts, slowest, stays)
            };
            return Some(Finding::End(verdict));
        }
        if warning.is_some_and(|warning| stays >= warning) && !self.ranks[slowest].warned {
            self.ranks[slowest].warned = true;
            let others = if working.is_empty() { &[][..] } else { &waiting };
            let unheard = now.saturating_sub(self.ranks[slowest].heard);
            let what = if unheard >= UNHEARD {
                format!("has not been heard of for {} s", unheard.as_secs())
            } else {
                format!("makes no progress since {} s", stays.as_secs())
            };
            let (status, waits) =
                (&facts.ranks[slowest], arrears::who_waits_for(facts, slowest, others));
            let (who, place) = (name(status, slowest), place(status));
            return Some(Finding::Warning(format!("warning: {who} {what}{place}{waits}")));
        }
        None
    }

    fn is_silent(&self, now: Duration, rank: usize) -> bool {
        let limit = self.limits.silence;
        !limit.is_zero() && now.saturating_sub(self.ranks[rank].heard) >= limit
    }

    /// After how long in its place a rank is warned of, and ended; none where there is no limit.
    fn deadlines(&self, rank: usize, all_wait: bool) -> (Option<Duration>, Option<Duration>) {
        let Progress { at: (_, phase), stepped, .. } = self.ranks[rank];
        let hang = self.limits.hang;
        if all_wait && matches!(phase, Phase::Evaluation | Phase::Checkpoint) && !hang.is_zero() {
            return (Some(hang / WARNING), Some(hang));
        }
        let first = self.durations[phase as usize].is_empty() && !(stepped && is_of_a_step(phase));
        let limit = if first || is_long(phase) { self.limits.wait } else { hang };
        if limit.is_zero() {
            return (None, None);
        }
        let median = self.median(phase);
        let warning = if first { limit / WARNING } else { hang.min(limit) / WARNING };
        (Some(warning.max(median * WARNING_MEDIANS)), Some(limit.max(median * END_MEDIANS)))
    }

    fn median(&self, phase: Phase) -> Duration {
        let mut sorted: Vec<Duration> = self.durations[phase as usize].iter().copied().collect();
        sorted.sort_unstable();
        sorted.get(sorted.len() / 2).copied().unwrap_or_default()
    }

    /// All ranks wait in collectives. Those that are elsewhere than most have left one out, or made one too many.
    fn all_wait(&self, facts: &Facts, waiting: &[usize], stays: Duration) -> Verdict {
        type Where = ((u64, Phase), Option<CallStatus>);
        let mut places: Vec<(Where, Vec<usize>)> = Vec::new();
        for &rank in waiting {
            let at = (self.ranks[rank].at, arrears::current(&facts.ranks[rank]));
            match places.iter_mut().find(|(place, _)| *place == at) {
                Some((_, ranks)) => ranks.push(rank),
                None => places.push((at, vec![rank])),
            }
        }
        places.sort_by_key(|(((step, _), _), ranks)| (ranks.len(), *step));
        let described: Vec<String> = places
            .iter()
            .map(|(((step, phase), call), ranks)| {
                let call = call.map(|call| format!(" ({call})")).unwrap_or_default();
                format!("{} at step {step} while {phase}{call}", listed(ranks))
            })
            .collect();
        let seconds = stays.as_secs();
        if let [_] = described.as_slice() {
            let what = format!("all ranks wait for each other since {seconds} s, {}", described[0]);
            let hint = "a network between the hosts that lets some traffic pass and other not, such as a firewall, \
                        does this";
            return failed(what, hint, None);
        }
        // As many against as many: nothing tells who is wrong.
        let odd = (places[0].1.len() < places[1].1.len()).then(|| places[0].1[0]);
        let who = odd.map_or("ranks".to_owned(), |rank| {
            format!("{} and the others", name(&facts.ranks[rank], rank))
        });
        let described = described.join("; ");
        let what = format!("{who} wait in different collectives since {seconds} s: {described}");
        failed(what, "--check_collectives names the call that was left out", odd)
    }
}

/// Whether a rank in this phase waits until the others are there too.
fn is_collective(phase: Phase) -> bool {
    matches!(phase, Phase::Gather | Phase::AllReduce | Phase::Counts | Phase::Compare)
}

/// Whether every step has this phase.
fn is_of_a_step(phase: Phase) -> bool {
    matches!(
        phase,
        Phase::Data
            | Phase::Teacher
            | Phase::Gather
            | Phase::Compute
            | Phase::AllReduce
            | Phase::Optimiser
    )
}

/// Whether this phase may take long at any time.
fn is_long(phase: Phase) -> bool {
    matches!(
        phase,
        Phase::Starting | Phase::Staging | Phase::Data | Phase::Evaluation | Phase::Checkpoint
    )
}

fn failed(what: String, hint: &str, rank: Option<usize>) -> Verdict {
    let (hint, exit_code) = (Some(hint.to_owned()), exit::RANK_FAILED);
    Verdict::Failed { what, hint, rank, exit_code, is_certain: true }
}

fn silent(facts: &Facts, rank: usize, since: Duration) -> Verdict {
    let status = &facts.ranks[rank];
    let pid = status.hello.as_ref().map_or(0, |hello| hello.pid);
    let waits = arrears::who_waits_for(facts, rank, &arrears::waiting_for(facts, rank));
    let what = format!(
        "{} (process {pid}) has not been heard of for {} s{}{waits}",
        name(status, rank),
        since.as_secs(),
        place(status)
    );
    let hint = "the process was stopped, or its host is cut off, switched off or out of memory \
                (run.silence_limit_seconds)";
    failed(what, hint, Some(rank))
}

fn hanging(facts: &Facts, rank: usize, stays: Duration) -> Verdict {
    let (status, seconds) = (&facts.ranks[rank], stays.as_secs());
    let waits = arrears::who_waits_for(facts, rank, &arrears::waiting_for(facts, rank));
    let what = format!(
        "{} makes no progress since {seconds} s{}{waits}",
        name(status, rank),
        place(status)
    );
    let hint = "it is alive, but works or waits far longer than usual; where that is meant, raise \
                run.hang_limit_seconds or run.wait_limit_seconds";
    failed(what, hint, Some(rank))
}

#[cfg(test)]
mod tests;
