//! One step of the training loop, and the books that are kept of it.

use std::time::Instant;

use super::build::Run;
use super::error::TrainError;
use crate::engine::data::local_batch::StepIndex;
use crate::engine::step::report::StepReport;
use crate::engine::step::step::{Started, start_step};
use crate::engine::step::sums::Wishes;
use crate::run_dir::checkpoints::Position;

/// A step whose outcome is not in the books yet.
pub(super) struct OpenStep {
    started: Started,
    /// Where it stands.
    position: Position,
    learning_rate: f64,
    /// Admissions of the run, with its own.
    admitted_total: u64,
    began: Instant,
}

/// A step that is in the books, for a report of it.
pub(super) struct BookedStep {
    pub(super) report: StepReport,
    /// Where it stands.
    pub(super) position: Position,
    /// The loss that was minimised.
    pub(super) loss: f64,
    pub(super) learning_rate: f64,
    /// Admissions of the run, with its own.
    pub(super) admitted_total: u64,
}

impl Run<'_> {
    /// One optimiser step; what any rank wishes to happen after it. Where the device is read late, the step before is
    /// put into the books while this one is under way.
    pub(super) fn step(&mut self) -> Result<Wishes, TrainError> {
        let began = Instant::now();
        self.context.wants_checkpoint = self.minutes_are_over();
        let position = self.position;
        let Position { epoch, step_in_epoch, step } = position;
        (self.faults.before_step)(self.context.world.rank(), step);
        let learning_rate = self.objective.learning_rate(epoch);
        let index = StepIndex { epoch, step: step_in_epoch, steps: self.plan().steps() };
        let started = start_step(&mut self.context, &mut self.batches, index, learning_rate);
        let before = self.book_open_step()?; // an error of the step before comes first
        let started = started.map_err(|source| TrainError::Step { step, epoch, source })?;
        self.position.step_in_epoch += 1;
        self.position.step += 1;
        let admitted_total = self.context.ledger.admitted_total();
        let is_done = matches!(started, Started::Done(_));
        self.open_step = Some(OpenStep { started, position, learning_rate, admitted_total, began });
        if is_done { Ok(before.or(self.book_open_step()?)) } else { Ok(before) }
    }

    /// Puts the last step into the books, if it is not there yet: waits until the device is done with it. What any rank
    /// wishes to happen after it.
    pub(super) fn book_open_step(&mut self) -> Result<Wishes, TrainError> {
        let Some(open) = self.open_step.take() else { return Ok(Wishes::default()) };
        let OpenStep { started, position, learning_rate, admitted_total, began } = open;
        let Position { epoch, step, .. } = position;
        let report = match started {
            Started::Done(report) => *report,
            Started::UnderWay(under_way) => under_way
                .finish(&mut self.context)
                .map_err(|source| TrainError::Step { step, epoch, source })?,
        };
        let loss = report.loss(self.context.task.alpha());
        self.admission_digest.record(epoch, position.step_in_epoch, &report.admitted);
        self.count_unlabelled(epoch, &report.admitted)?;
        self.labels.count(&report.passing, report.agreeing, report.student);
        let now = Instant::now();
        let seconds = now.duration_since(began.max(self.booked_at)).as_secs_f64();
        self.booked_at = now;
        self.totals.seconds += seconds;
        self.totals.step_seconds += seconds;
        self.totals.images += report.images;
        self.totals.epoch_images += report.images;
        self.totals.epoch_loss += loss * report.images as f64;
        self.corrupt.resize(epoch as usize + 1, 0);
        self.corrupt[epoch as usize] += report.skipped;
        self.context.clock.control().heartbeat().advance(epoch, step + 1);
        let wishes = report.wishes;
        self.report_step(&BookedStep { report, position, loss, learning_rate, admitted_total })?;
        if let Some(outcome) = self.writer.poll() {
            self.report_checkpoint(outcome, self.config.checkpoint.on_failure)?;
        }
        Ok(wishes)
    }
}
