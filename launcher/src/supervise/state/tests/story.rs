//! A run told as a sequence of events, and what was done about them.

use std::time::Duration;

use crate::supervise::watchdog::Limits;

use lcsl_collective::control::{Failure, FromRank, Hello, Phase};

use super::super::{Action, Event, Supervision};
use crate::supervise::facts::ChildEnd;
use crate::supervise::verdict::Verdict;

/// The sentences of a story: what happened, with the time in milliseconds.
pub(super) struct Story {
    pub(super) run: Supervision,
    now: Duration,
    /// Everything that was done, oldest first.
    pub(super) done: Vec<Action>,
}

pub(super) fn story(ranks: usize) -> Story {
    let (silence, rest) = (Duration::from_secs(12), Duration::ZERO);
    let limits = Limits { silence, hang: rest, wait: rest };
    let run = Supervision::new(ranks, "1.0", Vec::new(), Duration::from_secs(60), limits);
    Story { run, now: Duration::ZERO, done: Vec::new() }
}

impl Story {
    /// A story in which all ranks have come and are summing gradients at step 57.
    pub(super) fn at_work(ranks: usize) -> Self {
        (0..ranks).fold(story(ranks), |story, rank| {
            story.joined(rank).said(rank, beat(57, Phase::AllReduce))
        })
    }

    pub(super) fn happens(mut self, event: Event) -> Self {
        self.done.extend(self.run.on(self.now, event));
        self
    }

    pub(super) fn joined(self, rank: usize) -> Self {
        let world_size = self.run.facts.ranks.len();
        self.happens(Event::Joined(hello(rank, world_size)))
    }

    pub(super) fn said(self, rank: usize, message: FromRank) -> Self {
        self.happens(Event::Said { rank, message })
    }

    pub(super) fn closed(self, rank: usize) -> Self {
        self.happens(Event::Closed { rank })
    }

    pub(super) fn finished(self, rank: usize, exit_code: i32) -> Self {
        self.said(rank, FromRank::Finished { exit_code }).closed(rank)
    }

    pub(super) fn failed(self, rank: usize, what: &str, bystander: bool) -> Self {
        self.said(rank, failed(what, bystander)).closed(rank)
    }

    pub(super) fn child(self, end: ChildEnd) -> Self {
        self.happens(Event::ChildEnded(end))
    }

    /// Lets time pass, waking the state machine whenever it asked for that.
    pub(super) fn later(mut self, milliseconds: u64) -> Self {
        let end = self.now + Duration::from_millis(milliseconds);
        while let Some(wake) = self.run.wake_at().filter(|wake| *wake <= end) {
            self.now = wake;
            self = self.happens(Event::TimePassed);
        }
        self.now = end;
        self
    }

    pub(super) fn verdict(&self) -> Option<&Verdict> {
        let verdicts: Vec<&Verdict> = self
            .done
            .iter()
            .filter_map(|action| match action {
                Action::Decided(verdict) => Some(verdict),
                _ => None,
            })
            .collect();
        assert!(verdicts.len() <= 1, "judged twice: {verdicts:?}");
        verdicts.first().copied()
    }

    pub(super) fn sentence(&self) -> (String, u8) {
        match self.verdict() {
            Some(Verdict::Failed { what, exit_code, .. }) => (what.clone(), *exit_code),
            other => panic!("no failure: {other:?}"),
        }
    }

    pub(super) fn has(&self, action: &Action) -> bool {
        self.done.contains(action)
    }
}

pub(super) fn hello(rank: usize, world_size: usize) -> Hello {
    Hello {
        secret: String::new(),
        rank,
        world_size,
        host: "h1".to_owned(),
        pid: 100 + rank as u32,
        device: "cpu".to_owned(),
        version: "1.0".to_owned(),
    }
}

pub(super) fn beat(step: u64, phase: Phase) -> FromRank {
    FromRank::Heartbeat { epoch: 0, step, phase, done: 0, calls: Vec::new() }
}

pub(super) fn failed(what: &str, bystander: bool) -> FromRank {
    FromRank::Failed(Failure { what: what.to_owned(), hint: None, exit_code: 3, bystander })
}
