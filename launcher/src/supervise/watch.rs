//! The loop of a launcher at work: events to the supervision, its actions to the world.

use std::collections::BTreeMap;
use std::io;

use lcsl_collective::control::ToRank;
use rustix::process::Pid;
use tokio::process::Child;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::display::Display;
use super::interrupts::Interrupts;
use super::processes;
use super::server::{Caller, Heard};
use super::state::{Action, Event, Supervision};
use super::verdict::Verdict;
use crate::fault::Fault;
use lcsl_run_dir::RankRecord;

/// A run at work.
pub struct Watch<'a> {
    /// What is known and what to do about it.
    pub supervision: Supervision,
    /// The started program.
    pub child: Child,
    /// What the ranks say.
    pub heard: mpsc::Receiver<Heard>,
    /// The run's secret.
    pub secret: &'a str,
    /// Writes down where the ranks are, once all have come.
    pub record: &'a mut dyn FnMut(&[RankRecord]) -> Result<(), Fault>,
    /// Where progress is shown.
    pub display: &'a mut Display,
    /// Says how the run ended, as soon as that is settled; some processes may still have to be
    /// ended then.
    pub announce: &'a mut dyn FnMut(&Verdict),
}

/// Watches a run until nothing of it is left, and says how it ended.
pub async fn watch(at: &mut Watch<'_>, interrupts: &mut Interrupts) -> Result<Verdict, Fault> {
    let group = at.child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
    let ended = attend(at, interrupts, group).await;
    // Nothing outlives its launcher: neither when the launcher itself has failed, nor a rank that
    // left mpirun's care.
    processes::kill(group.filter(|_| ended.is_err()), at.secret);
    ended
}

async fn attend(
    at: &mut Watch<'_>,
    interrupts: &mut Interrupts,
    group: Option<Pid>,
) -> Result<Verdict, Fault> {
    let began = Instant::now();
    let mut callers: BTreeMap<usize, Caller> = BTreeMap::new();
    let mut verdict = None;
    let mut alive = true;
    loop {
        let wake = at.supervision.wake_at().map(|wake| began + wake);
        let event = tokio::select! {
            biased; // what ranks said before they ended is heard before their end
            Some(heard) = at.heard.recv() => match heard {
                Heard::Joined(hello, caller) => {
                    callers.insert(hello.rank, caller);
                    Event::Joined(hello)
                }
                Heard::Said(rank, message) => Event::Said { rank, message },
                Heard::Closed(rank) => Event::Closed { rank },
            },
            status = at.child.wait(), if alive => {
                alive = false;
                Event::ChildEnded(processes::end_of(status.map_err(|error| lost_child(&error))?))
            }
            asking = interrupts.next() => Event::AskedToStop(asking),
            () = sleep_until(wake.unwrap_or(began)), if wake.is_some() => Event::TimePassed,
        };
        let now = began.elapsed();
        for action in at.supervision.on(now, event) {
            match action {
                Action::ShowProgress(progress) => at.display.progress(now, &progress),
                Action::ShowEvaluation(score) => at.display.evaluation(&score),
                Action::Say(text) => at.display.line(&text),
                Action::RecordRanks(ranks) => (at.record)(&ranks)?,
                Action::AskToStop { rank } => {
                    if let Some(caller) = callers.get_mut(&rank) {
                        caller.tell(ToRank::Stop).await;
                    }
                }
                Action::Decided(decided) => {
                    at.display.end();
                    (at.announce)(&decided);
                    verdict = Some(decided);
                }
                Action::Terminate => {
                    // Those on other hosts are out of our reach otherwise.
                    for caller in callers.values_mut() {
                        caller.tell(ToRank::Leave).await;
                    }
                    processes::terminate(group.filter(|_| alive));
                }
                Action::Kill => processes::kill(group.filter(|_| alive), at.secret),
                Action::Leave => return Ok(verdict.take().expect("a verdict precedes leaving")),
            }
        }
    }
}

fn lost_child(error: &io::Error) -> Fault {
    Fault::new(format!("cannot wait for the launched program: {error}"), lcsl_run_dir::exit::BUG)
}
