//! What the launcher knows about its ranks and what it does about it: events in, actions out, no
//! clock and no process.
//!
//! ```text
//! stage      leaves it when                                                       for
//! Running    a rank fails or is lost, the child ends, or all ranks have finished  Settling
//!            the watchdog finds a rank silent or hanging                          Ending, with a verdict
//!            the start takes too long, or is interrupted                          Ending, with a verdict
//! Settling   its time is up, or all have left                                     Ending, with a verdict
//! Ending     all have left, or its time is up                                     Over
//! ```
//!
//! Settling exists because the first sign of trouble is seldom its cause. A rank with bad data says so and leaves;
//! its neighbours lose their connection to it and fail too, and the launcher may hear of that first. A rank that failed
//! because of another says so (`bystander`).

use std::time::Duration;

use lcsl_collective::control::{FromRank, Hello, Score, TrainProgress};
use lcsl_config::HostSlots;

use super::facts::{ChildEnd, Facts, LastWord, Misfit, RankStatus};
use super::interrupts::Asking;
use super::start::Start;
use super::verdict::{self, Verdict};
use super::watchdog::{Finding, Limits, Watchdog};
use crate::ranks::placed::misplaced;
use lcsl_run_dir::RankRecord;

/// How long others may speak after the first sign of trouble.
const GRACE: Duration = Duration::from_secs(1);

/// How long the messages of ranks that are already gone may take to reach us, when the program that
/// held them has ended.
const LAST_MESSAGES: Duration = Duration::from_millis(500);

/// How long the child may take to end when all ranks have stopped on request: a scheduler that wants them gone does not
/// wait long for the launcher either.
const FAREWELL: Duration = Duration::from_millis(500);

/// How long the child may take to end when all ranks have finished.
const GOODBYE: Duration = Duration::from_secs(10);

/// How long the ranks may take to end when asked to by SIGTERM.
const TERMINATION: Duration = Duration::from_secs(2);

/// How long the child may take to end once all ranks have left. mpirun waits for what it has signalled by the clock,
/// 10 s in all, whether or not somebody is still there.
const ALONE: Duration = Duration::from_millis(300);

/// How long the system may take to end what was killed.
const BURIAL: Duration = Duration::from_secs(2);

/// From so long after the first interrupt from the keyboard on, another means "at once". `timeout -s INT`
/// signals a process and then its group, and a key may bounce.
const INSISTENCE: Duration = Duration::from_secs(1);

/// What the launcher notices.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A rank has connected and shown the run's secret.
    Joined(Hello),
    /// A rank has said something.
    Said {
        /// Which rank.
        rank: usize,
        /// What it said.
        message: FromRank,
    },
    /// The connection of a rank has closed.
    Closed {
        /// Which rank.
        rank: usize,
    },
    /// The program that we started (mpirun, or the only rank) has ended.
    ChildEnded(ChildEnd),
    /// A signal.
    AskedToStop(Asking),
    /// Nothing but time has passed.
    TimePassed,
}

/// What the launcher is to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Show how training goes.
    ShowProgress(TrainProgress),
    /// Show an evaluation.
    ShowEvaluation(Score),
    /// Show a sentence.
    Say(String),
    /// All ranks are there: write down where.
    RecordRanks(Vec<RankRecord>),
    /// Ask a rank to stop at the next step boundary.
    AskToStop {
        /// Which rank.
        rank: usize,
    },
    /// How the run ended is settled. Some processes may still have to be ended.
    Decided(Verdict),
    /// Ask all processes to end (SIGTERM).
    Terminate,
    /// End all processes (SIGKILL).
    Kill,
    /// Nothing is left to watch.
    Leave,
}

#[derive(Debug, Clone, Copy)]
enum Stage {
    Running,
    Settling { until: Duration },
    Ending { kill_at: Option<Duration>, give_up_at: Duration },
    Over,
}

/// The ranks of a run, as the launcher sees them. Times are durations since any fixed moment.
#[derive(Debug)]
pub struct Supervision {
    facts: Facts,
    version: &'static str,
    /// Whether ranks that are asked to stop save what they have.
    saves: bool,
    asked_to_stop: bool,
    /// When the keyboard first interrupted.
    keyboard: Option<Duration>,
    start: Start,
    watchdog: Watchdog,
    stage: Stage,
}

impl Supervision {
    /// Expects `ranks` ranks of program version `version`, all of which have to come: with at most
    /// `start_limit` from one to the next, on the `hosts` that were asked for, and within `limits` afterwards.
    pub fn new(
        ranks: usize,
        version: &'static str,
        hosts: Vec<HostSlots>,
        start_limit: Duration,
        limits: Limits,
    ) -> Self {
        Self {
            facts: Facts::of(ranks, hosts),
            version,
            saves: true,
            asked_to_stop: false,
            keyboard: None,
            start: Start::new(start_limit),
            watchdog: Watchdog::new(ranks, limits),
            stage: Stage::Running,
        }
    }

    /// The same, of ranks that have nothing to save: a wish to stop ends them at once.
    #[must_use]
    pub fn without_saving(self) -> Self {
        Self { saves: false, ..self }
    }

    /// Takes in what happened at `now` and says what to do about it, in order.
    pub fn on(&mut self, now: Duration, event: Event) -> Vec<Action> {
        let mut actions = Vec::new();
        match event {
            Event::Joined(hello) => {
                self.start.arrived(now);
                self.join(hello, &mut actions);
                self.watchdog.begin(now);
            }
            Event::Said { rank, message } => self.hear(now, rank, message, &mut actions),
            Event::Closed { rank } => self.close(rank),
            Event::ChildEnded(end) => self.facts.child = Some(end),
            Event::AskedToStop(asking) => self.asked_to_stop(now, asking, &mut actions),
            Event::TimePassed => {}
        }
        self.advance(now, &mut actions);
        actions
    }

    /// When [`Event::TimePassed`] is wanted, if nothing happens before.
    pub fn wake_at(&self) -> Option<Duration> {
        match self.stage {
            Stage::Running if !self.has_begun() => Some(self.start.wake_at()),
            Stage::Running => Some(self.watchdog.wake_at()),
            Stage::Over => None,
            Stage::Settling { until } => Some(until),
            Stage::Ending { kill_at, give_up_at } => Some(kill_at.unwrap_or(give_up_at)),
        }
    }

    /// Whether anybody has asked to stop.
    pub fn was_interrupted(&self) -> bool {
        self.asked_to_stop
    }

    fn join(&mut self, hello: Hello, actions: &mut Vec<Action>) {
        let taken = self.facts.ranks.get(hello.rank).is_none_or(|status| status.hello.is_some());
        if hello.version != self.version {
            let ours = self.version;
            self.facts.misfit.get_or_insert(Misfit::Version { hello: hello.clone(), ours });
        } else if hello.world_size != self.facts.ranks.len() || taken {
            self.facts.misfit.get_or_insert(Misfit::World { hello: hello.clone() });
        }
        let Some(status) = self.facts.ranks.get_mut(hello.rank) else {
            return;
        };
        *status = RankStatus { hello: Some(hello), connected: true, ..RankStatus::default() };
        let records: Option<Vec<RankRecord>> =
            self.facts.ranks.iter().map(|status| status.hello.as_ref().map(record)).collect();
        let Some(records) = records else { return };
        let found: Vec<&str> = records.iter().map(|record| record.host.as_str()).collect();
        if let Some(what) = misplaced(&self.facts.hosts, &found) {
            self.facts.misfit.get_or_insert(Misfit::Place { what });
        }
        actions.push(Action::RecordRanks(records));
    }

    fn hear(&mut self, now: Duration, rank: usize, message: FromRank, actions: &mut Vec<Action>) {
        let Some(status) = self.facts.ranks.get_mut(rank) else {
            return;
        };
        self.watchdog.heard(now, rank);
        match message {
            FromRank::Hello(_) => {}
            // After the verdict it would only confuse how far a dying rank still came.
            _ if matches!(self.stage, Stage::Ending { .. } | Stage::Over) => {}
            FromRank::Heartbeat { step, phase, done, calls, .. } => {
                (status.step, status.phase, status.calls) = (step, Some(phase), calls);
                status.done = done;
                self.watchdog.told(now, rank, (step, phase), done);
            }
            FromRank::Progress(progress) => actions.push(Action::ShowProgress(progress)),
            FromRank::Evaluation(score) => actions.push(Action::ShowEvaluation(score)),
            FromRank::Notice { text } => actions.push(Action::Say(text)),
            FromRank::Failed(failure) => {
                if failure.bystander {
                    self.facts.bystanders.push(rank);
                } else {
                    self.facts.culprits.push(rank);
                }
                status.last_word = Some(LastWord::Failed(failure));
            }
            FromRank::Finished { exit_code } => {
                status.last_word = Some(LastWord::Finished(exit_code));
            }
        }
    }

    fn close(&mut self, rank: usize) {
        let Some(status) = self.facts.ranks.get_mut(rank) else {
            return;
        };
        status.connected = false;
        if status.last_word.is_none() && !self.facts.lost.contains(&rank) {
            self.facts.lost.push(rank);
        }
    }

    fn asked_to_stop(&mut self, now: Duration, asking: Asking, actions: &mut Vec<Action>) {
        let again = std::mem::replace(&mut self.asked_to_stop, true);
        let from_keyboard = asking == Asking::Keyboard;
        let insists = from_keyboard && now >= *self.keyboard.get_or_insert(now) + INSISTENCE;
        match self.stage {
            Stage::Running | Stage::Settling { .. } if insists || !self.saves => {
                actions.extend([Action::Decided(Verdict::Abandoned), Action::Kill]);
                self.stage = Stage::Ending { kill_at: None, give_up_at: now + BURIAL };
            }
            // No rank makes a step before all have come: nothing is lost, and none could save it.
            Stage::Running if !self.has_begun() => self.decide(now, Verdict::NotBegun, actions),
            Stage::Running if !again => {
                let connected =
                    (0..self.facts.ranks.len()).filter(|rank| self.facts.ranks[*rank].connected);
                actions.extend(connected.map(|rank| Action::AskToStop { rank }));
                actions.push(Action::Say(stopping(from_keyboard)));
            }
            // After a signal of the system, a person learns how to insist.
            Stage::Running if self.keyboard == Some(now) => {
                actions.push(Action::Say(stopping(true)));
            }
            // What ends anyway ends faster, where a person wants it.
            Stage::Ending { kill_at: Some(_), .. } if from_keyboard => {
                actions.push(Action::Kill);
                self.stage = Stage::Ending { kill_at: None, give_up_at: now + BURIAL };
            }
            _ => {}
        }
    }

    /// Moves from stage to stage as far as `now` allows.
    fn advance(&mut self, now: Duration, actions: &mut Vec<Action>) {
        if let Some(patience) = self.patience() {
            let until = match self.stage {
                Stage::Running => Some(now + patience),
                Stage::Settling { until } => Some(until.min(now + patience)),
                Stage::Ending { .. } | Stage::Over => None,
            };
            if let Some(until) = until {
                self.stage = Stage::Settling { until };
            }
        }
        if let Stage::Settling { until } = self.stage
            && (now >= until || self.all_have_left())
        {
            self.decide(now, verdict::of(&self.facts), actions);
        }
        if matches!(self.stage, Stage::Running) && !self.has_begun() {
            if self.start.is_over(now) {
                self.decide(now, verdict::of_slow_start(&self.facts, now), actions);
            } else {
                actions.extend(self.start.tell(now, &self.facts).map(Action::Say));
            }
        }
        if matches!(self.stage, Stage::Running) && now >= self.watchdog.wake_at() {
            match self.watchdog.look(now, &self.facts) {
                Some(Finding::Warning(text)) => actions.push(Action::Say(text)),
                Some(Finding::End(verdict)) => self.decide(now, verdict, actions),
                None => {}
            }
        }
        if let Stage::Ending { kill_at: Some(kill_at), .. } = &mut self.stage
            && self.facts.ranks.iter().all(|status| status.hello.is_some() && !status.connected)
        {
            *kill_at = (*kill_at).min(now + ALONE);
        }
        if let Stage::Ending { kill_at, give_up_at } = self.stage {
            if self.nobody_is_left() || now >= give_up_at {
                actions.push(Action::Leave);
                self.stage = Stage::Over;
            } else if kill_at.is_some_and(|kill_at| now >= kill_at) {
                actions.push(Action::Kill);
                self.stage = Stage::Ending { kill_at: None, give_up_at };
            }
        }
    }

    /// Decides how the run ended, and asks what is left of it to end.
    fn decide(&mut self, now: Duration, verdict: Verdict, actions: &mut Vec<Action>) {
        actions.push(Action::Decided(verdict));
        let kill_at = now + TERMINATION;
        self.stage = Stage::Ending { kill_at: Some(kill_at), give_up_at: kill_at + BURIAL };
        if !self.nobody_is_left() {
            actions.push(Action::Terminate);
        }
    }

    /// How long to wait for more before judging, if there is anything to judge.
    fn patience(&self) -> Option<Duration> {
        let trouble = !self.facts.culprits.is_empty()
            || !self.facts.bystanders.is_empty()
            || !self.facts.lost.is_empty()
            || self.facts.misfit.is_some();
        if self.facts.child.is_some() {
            Some(LAST_MESSAGES)
        } else if trouble {
            Some(GRACE)
        } else if self.facts.ranks.iter().all(|status| status.last_word.is_some()) {
            Some(if verdict::all_stopped(&self.facts) { FAREWELL } else { GOODBYE })
        } else {
            None
        }
    }

    /// Whether every rank came and went, and the child with them: then no word can be under way.
    fn all_have_left(&self) -> bool {
        self.nobody_is_left() && self.has_begun()
    }

    /// Whether every rank has come: before, none can have made a step.
    fn has_begun(&self) -> bool {
        self.facts.ranks.iter().all(|status| status.hello.is_some())
    }

    fn nobody_is_left(&self) -> bool {
        self.facts.child.is_some() && !self.facts.ranks.iter().any(|status| status.connected)
    }
}

fn stopping(from_keyboard: bool) -> String {
    let more = if from_keyboard { " (Ctrl-C again to end at once)" } else { "" };
    format!("stopping at the next step boundary; a checkpoint will be saved{more}")
}

fn record(hello: &Hello) -> RankRecord {
    RankRecord {
        rank: hello.rank,
        host: hello.host.clone(),
        pid: hello.pid,
        device: hello.device.clone(),
    }
}

#[cfg(test)]
mod tests;
