//! What a person sees while a run goes on, through the launcher's terminal.

use std::time::{Duration, Instant};

use lcsl_collective::control::{Control, FromRank, TrainProgress};

use super::{Recorder, RunEvent, StepStatus, Window};
use crate::run_dir::durable::DiskError;

/// The terminal is told about progress at most so often.
const PROGRESS_PERIOD: Duration = Duration::from_millis(200);

/// Sends progress, evaluations and sentences to the launcher; sentences go to the log, too.
pub struct TerminalRecorder {
    control: Control,
    every_steps: u64,
    since_line: Window,
    told: Option<Instant>,
}

impl TerminalRecorder {
    /// Over this connection. The loss that is shown is the mean since the last line of `metrics.jsonl`.
    pub fn new(control: Control, every_steps: u64) -> Self {
        Self { control, every_steps, since_line: Window::default(), told: None }
    }

    fn tell(&mut self, status: &StepStatus) {
        let due = self.told.is_none_or(|told| told.elapsed() >= PROGRESS_PERIOD);
        let last = status.step.0 == status.step.1;
        if !due && !last {
            return;
        }
        self.told = Some(Instant::now());
        self.control.send(&FromRank::Progress(TrainProgress {
            epoch: status.epoch.0,
            epochs: status.epoch.1,
            step: status.step.0,
            steps: status.step.1,
            loss: self.since_line.mean_loss(),
            images_per_second: status.images_per_second,
            admitted: status.admitted_total,
        }));
    }
}

impl Recorder for TerminalRecorder {
    fn record(&mut self, _seconds: f64, event: &RunEvent<'_>) -> Result<(), DiskError> {
        match event {
            RunEvent::Step(status) => {
                self.since_line.add(status);
                self.tell(status);
                if self.since_line.steps >= self.every_steps {
                    return self.flush();
                }
            }
            RunEvent::Score(score) => {
                self.control.send(&FromRank::Evaluation(*score));
            }
            RunEvent::Notice(text) => {
                tracing::warn!("{text}");
                self.control.send(&FromRank::Notice { text: (*text).to_owned() });
            }
            RunEvent::Line(_) => {}
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), DiskError> {
        self.since_line = Window::default();
        Ok(())
    }

    fn mark(&mut self) -> Result<Option<(&'static str, u64)>, DiskError> {
        Ok(None)
    }
}
