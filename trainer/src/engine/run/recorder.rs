//! What rank 0 tells the world about a run: lines in `metrics.jsonl`, progress and evaluations for
//! the launcher's terminal.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use lcsl_collective::control::{Control, FromRank, Score, TrainProgress};
use lcsl_run_dir::Event;

use crate::clock::Lap;
use crate::engine::step::step::StepReport;
use crate::run_dir::RunDir;
use crate::run_dir::durable::DiskError;
use crate::run_dir::metrics::MetricsFile;

/// The terminal is told about progress at most so often.
const PROGRESS_PERIOD: Duration = Duration::from_millis(200);

/// The reports of rank 0; other ranks have none.
pub struct Recorders {
    metrics: MetricsFile,
    control: Control,
    told: Option<Instant>,
    since_line: Window,
    last: Option<StepStatus>,
    remarks: BTreeSet<String>,
}

/// Sums since the last `step` line.
#[derive(Debug, Default)]
struct Window {
    loss: f64,
    images: u64,
    admitted: u64,
    steps: u64,
    data: f64,
    compute: f64,
    collective: f64,
    waiting: f64,
}

/// Where training stands after a step, for a report.
#[derive(Debug, Clone, Copy)]
pub struct StepStatus {
    /// Seconds since the run began.
    pub seconds: f64,
    /// Epoch, from 0, and epochs in all.
    pub epoch: (u64, u64),
    /// Optimiser steps made since the run began, and steps in all.
    pub step: (u64, u64),
    /// Learning rate of the step.
    pub learning_rate: f64,
    /// Images per second of training time, since the run began.
    pub images_per_second: f64,
    /// Pseudo-labels admitted since the run began.
    pub admitted: u64,
}

impl Recorders {
    /// Opens the metrics file, cut back to `metrics_bytes`.
    pub fn open(run_dir: &RunDir, control: Control, metrics_bytes: u64) -> Result<Self, DiskError> {
        let metrics = MetricsFile::open(run_dir, metrics_bytes)?;
        Ok(Self {
            metrics,
            control,
            told: None,
            since_line: Window::default(),
            last: None,
            remarks: BTreeSet::new(),
        })
    }

    /// Writes an event.
    pub fn event(&mut self, seconds: f64, event: Event<'_>) -> Result<(), DiskError> {
        self.metrics.write(seconds, event)
    }

    /// Bytes of metrics so far.
    pub fn metrics_bytes(&mut self) -> Result<u64, DiskError> {
        self.metrics.length()
    }

    /// Takes note of a step, its loss per image, where its time went, and how many seconds of it were spent
    /// `waiting` for threads that decode. Writes a line when `every`
    /// steps have come together.
    pub fn step(
        &mut self,
        report: &StepReport,
        loss: f64,
        status: StepStatus,
        every: u64,
        lap: Lap,
        waiting: f64,
    ) -> Result<(), DiskError> {
        let window = &mut self.since_line;
        window.loss += loss * report.images as f64;
        window.images += report.images;
        window.admitted += report.admitted.len() as u64;
        window.steps += 1;
        window.data += lap.data;
        window.compute += lap.compute;
        window.collective += lap.collective;
        window.waiting += waiting;
        self.last = Some(status);
        self.tell(status);
        if self.since_line.steps < every { Ok(()) } else { self.flush() }
    }

    /// Writes a line for the steps that have none yet, if there are any: before a checkpoint, so that
    /// no step is missing after a resume, and at the end of an epoch.
    pub fn flush(&mut self) -> Result<(), DiskError> {
        let window = std::mem::take(&mut self.since_line);
        let Some(status) = self.last.filter(|_| window.steps > 0) else { return Ok(()) };
        let seconds = window.data + window.compute + window.collective;
        let event = Event::Step {
            epoch: status.epoch.0,
            step: status.step.0,
            loss: window.loss / window.images.max(1) as f64,
            learning_rate: status.learning_rate,
            admitted: window.admitted,
            images_per_second: window.images as f64 / seconds,
            data_seconds: window.data,
            compute_seconds: window.compute,
            collective_seconds: window.collective,
            loader_wait_seconds: window.waiting,
        };
        self.metrics.write(status.seconds, event)
    }

    /// Reports an evaluation to the terminal.
    pub fn score(&self, score: Score) {
        self.control.send(&FromRank::Evaluation(score));
    }

    /// Says a sentence on the terminal.
    pub fn notice(&self, text: String) {
        tracing::warn!("{text}");
        self.control.send(&FromRank::Notice { text });
    }

    /// Says a sentence on the terminal, unless the same was said before.
    pub fn remark(&mut self, text: String) {
        if self.remarks.insert(text.clone()) {
            self.notice(text);
        }
    }

    fn tell(&mut self, status: StepStatus) {
        let due = self.told.is_none_or(|told| told.elapsed() >= PROGRESS_PERIOD);
        let last = status.step.0 == status.step.1;
        if !due && !last {
            return;
        }
        self.told = Some(Instant::now());
        let window = &self.since_line;
        self.control.send(&FromRank::Progress(TrainProgress {
            epoch: status.epoch.0,
            epochs: status.epoch.1,
            step: status.step.0,
            steps: status.step.1,
            loss: window.loss / window.images.max(1) as f64,
            images_per_second: status.images_per_second,
            admitted: status.admitted,
        }));
    }
}
