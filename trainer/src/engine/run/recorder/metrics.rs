//! Lines in `metrics.jsonl`.

use lcsl_run_dir::names::METRICS;

use lcsl_run_dir::Event;

use super::{Recorder, RunEvent, StepStatus, Window};
use crate::run_dir::RunDir;
use crate::run_dir::checkpoints::Marks;
use crate::run_dir::durable::DiskError;
use crate::run_dir::metrics::MetricsFile;

/// Writes a line for each event, and one for every few steps.
pub struct MetricsRecorder {
    file: MetricsFile,
    every_steps: u64,
    since_line: Window,
    /// The last step, and when it was made.
    last: Option<(f64, StepStatus)>,
}

impl MetricsRecorder {
    /// Opens the file, cut back to its mark.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(run_dir: &RunDir, every_steps: u64, marks: &Marks) -> Result<Self, DiskError> {
        let file = MetricsFile::open(run_dir, marks.get(METRICS).copied().unwrap_or(0))?;
        Ok(Self { file, every_steps, since_line: Window::default(), last: None })
    }
}

impl Recorder for MetricsRecorder {
    fn record(&mut self, seconds: f64, event: &RunEvent<'_>) -> Result<(), DiskError> {
        match event {
            RunEvent::Step(status) => {
                self.since_line.add(status);
                self.last = Some((seconds, **status));
                if self.since_line.steps < self.every_steps { Ok(()) } else { self.flush() }
            }
            RunEvent::Line(line) => self.file.write(seconds, line),
            RunEvent::Score(_) | RunEvent::Notice(_) => Ok(()),
        }
    }

    fn flush(&mut self) -> Result<(), DiskError> {
        let window = std::mem::take(&mut self.since_line);
        let Some((at, status)) = self.last.filter(|_| window.steps > 0) else { return Ok(()) };
        let seconds = window.data + window.compute + window.collective;
        let line = Event::Step {
            epoch: status.epoch.0,
            step: status.step.0,
            loss: window.mean_loss(),
            learning_rate: status.learning_rate,
            admitted: window.admitted,
            images_per_second: window.images as f64 / seconds,
            data_seconds: window.data,
            compute_seconds: window.compute,
            collective_seconds: window.collective,
            loader_wait_seconds: window.waiting,
        };
        self.file.write(at, &line)
    }

    fn mark(&mut self) -> Result<Option<(&'static str, u64)>, DiskError> {
        self.file.length().map(|bytes| Some((METRICS, bytes)))
    }
}
