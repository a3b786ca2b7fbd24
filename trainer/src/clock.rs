//! Where a rank is, and where its time goes.

use std::time::{Duration, Instant};

use lcsl_collective::control::{Control, Phase};

/// Times the phases of a rank's work and tells the heartbeat which one it is in.
#[derive(Debug)]
pub struct Clock {
    control: Control,
    phase: Phase,
    since: Instant,
    spent: [Duration; Phase::ALL.len()],
}

/// Seconds since the last [`Clock::lap`], by kind of work.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Lap {
    /// Waiting for batches.
    pub data: f64,
    /// Teacher, student, optimiser.
    pub compute: f64,
    /// Waiting for other ranks and moving data between them.
    pub collective: f64,
}

impl Clock {
    /// A clock that starts now.
    pub fn new(control: Control) -> Self {
        let spent = [Duration::ZERO; Phase::ALL.len()];
        Self { control, phase: Phase::Starting, since: Instant::now(), spent }
    }

    /// Begins another phase.
    pub fn enter(&mut self, phase: Phase) {
        self.book();
        self.phase = phase;
        self.control.heartbeat().enter(phase);
    }

    /// The connection to the launcher.
    pub fn control(&self) -> &Control {
        &self.control
    }

    /// What was spent since the last call, and starts anew.
    pub fn lap(&mut self) -> Lap {
        self.book();
        let spent = std::mem::replace(&mut self.spent, [Duration::ZERO; Phase::ALL.len()]);
        let sum = |phases: &[Phase]| -> f64 {
            phases.iter().map(|phase| spent[*phase as usize].as_secs_f64()).sum()
        };
        Lap {
            data: sum(&[Phase::Data]),
            compute: sum(&[Phase::Teacher, Phase::Compute, Phase::Optimiser]),
            collective: sum(&[Phase::Gather, Phase::AllReduce]),
        }
    }

    fn book(&mut self) {
        let now = Instant::now();
        self.spent[self.phase as usize] += now - self.since;
        self.since = now;
    }
}
