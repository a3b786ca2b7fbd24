//! What the training loop reports, in its own words.

use super::build::Run;
use super::error::TrainError;
use super::recorder::{RunEvent, StepStatus};
use super::steps::BookedStep;
use super::unlabelled;
use lcsl_config::OnFailedCheckpoint;
use lcsl_run_dir::Event;

use crate::run_dir::checkpoint_writer::Outcome;
use crate::run_dir::checkpoints::Position;
use crate::run_dir::metrics;

impl Run<'_> {
    /// Says which checkpoints are broken, a sentence each, so that an older one is gone on from.
    pub(super) fn report_passed_over(&mut self, broken: &[String]) -> Result<(), TrainError> {
        if broken.is_empty() {
            return Ok(());
        }
        let (at, step) = (self.totals.seconds, self.position.step);
        for sentence in broken {
            let text = format!("{sentence}; going back to the one of step {step}");
            self.recorders.notice(at, &text)?;
        }
        Ok(self.recorders.line(at, Event::PassedOver { step, checkpoints: broken })?)
    }

    pub(super) fn report_start(&mut self) -> Result<(), TrainError> {
        let at = self.totals.seconds;
        for notice in &self.data_module.notices {
            self.recorders.notice(at, notice)?;
        }
        let unscored = &self.data_module.unscored;
        if !unscored.is_empty() {
            let text = match unscored.as_slice() {
                [class] => {
                    format!("class {class} has no image to hold out and stays out of the score")
                }
                _ => format!(
                    "{} classes have no image to hold out and stay out of the score: {unscored:?}",
                    unscored.len()
                ),
            };
            self.recorders.notice(at, &text)?;
        }
        if let Some(text) = without_images(&self.data_module.train_counts) {
            self.recorders.notice(at, &text)?;
        }
        let Position { epoch, step, .. } = self.position;
        let event = if step > 0 {
            Event::Resume { epoch, step }
        } else {
            Event::Start {
                train_counts: &self.data_module.train_counts,
                world_size: self.context.world.world_size(),
                virtual_ranks: self.config.run.virtual_ranks,
                steps_per_epoch: self.plan().steps(),
            }
        };
        Ok(self.recorders.line(at, event)?)
    }

    pub(super) fn report_step(&mut self, booked: &BookedStep) -> Result<(), TrainError> {
        let BookedStep { report, position, loss, learning_rate, admitted_total } = booked;
        let (epochs, step) = (self.objective.epochs(), position.step + 1);
        let all_steps = self.plan().steps() * epochs;
        let most = self.config.train.max_steps.map_or(all_steps, |most| most.min(all_steps));
        let status = StepStatus {
            epoch: (position.epoch, epochs),
            step: (step, most),
            learning_rate: *learning_rate,
            images_per_second: self.images_per_second(),
            admitted_total: *admitted_total,
            loss: *loss,
            images: report.images,
            admitted: report.admitted.len() as u64,
            lap: self.context.clock.lap(),
            waiting: self.batches.loader.take_waited().as_secs_f64(),
        };
        let at = self.totals.seconds;
        self.recorders.record(at, &RunEvent::Step(&status))?;
        let every = self.config.train.log_every_steps as u64;
        let buckets = self.context.reducer.bucket_times();
        if self.config.run.bucket_times && step.is_multiple_of(every) && !buckets.is_empty() {
            let buckets = &metrics::spans(buckets);
            self.recorders.line(at, Event::Buckets { step, buckets })?;
        }
        Ok(())
    }

    /// That a checkpoint is on disk; where it is not, that ends the run unless `on_failure` is to go on.
    pub(super) fn report_checkpoint(
        &mut self,
        outcome: Outcome,
        on_failure: OnFailedCheckpoint,
    ) -> Result<(), TrainError> {
        let Outcome { step, seconds: checkpoint_seconds, written } = outcome;
        let (at, stall_seconds) = (self.totals.seconds, self.stall_seconds);
        match written {
            Ok(name) => {
                let name = &name;
                let event = Event::Checkpoint { step, name, stall_seconds, checkpoint_seconds };
                Ok(self.recorders.line(at, event)?)
            }
            Err(error) if on_failure == OnFailedCheckpoint::Warn => {
                let why = &error.to_string();
                self.recorders.notice(at, &format!("no checkpoint of step {step}: {why}"))?;
                Ok(self.recorders.line(at, Event::CheckpointFailed { step, why })?)
            }
            Err(error) => Err(error.into()),
        }
    }

    pub(super) fn report_epoch(&mut self) -> Result<(), TrainError> {
        self.recorders.flush()?;
        let at = self.totals.seconds;
        let Position { epoch, step, .. } = self.position;
        let collapse = self.context.ledger.collapse(self.context.rules.classes());
        if let Some(class) = collapse {
            let name = &self.data_module.class_names[class as usize];
            let text = format!(
                "collapse in epoch {epoch}: class {class} ({name}) took more than half of the admissions"
            );
            self.recorders.notice(at, &text)?;
        }
        let loss = self.totals.epoch_loss / self.totals.epoch_images.max(1) as f64;
        let admitted = &self.context.ledger.epoch;
        let corrupt = self.corrupt.get(epoch as usize).copied().unwrap_or(0);
        if corrupt > 0 {
            let text = left_out(corrupt, self.plan().images as usize, "training");
            self.recorders.remark(at, text)?;
        }
        let event = Event::Epoch {
            epoch,
            step,
            loss,
            admitted,
            collapse,
            corrupt,
            labels: self.labels.of_epoch(epoch),
            unlabelled: unlabelled::of_epoch(&self.data_module, &self.unlabelled),
        };
        Ok(self.recorders.line(at, event)?)
    }
}

/// Which classes cannot be learnt: lists and profiles may give a class no training image.
fn without_images(train_counts: &[u64]) -> Option<String> {
    let classes = train_counts.iter().enumerate().filter(|(_, count)| **count == 0);
    let classes: Vec<usize> = classes.map(|(class, _)| class).collect();
    match classes.as_slice() {
        [] => None,
        [class] => Some(format!("class {class} has no training image")),
        _ => Some(format!("{} classes have no training image: {classes:?}", classes.len())),
    }
}

/// That images are missing from training, or from an accuracy.
pub(super) fn left_out(corrupt: u64, images: usize, purpose: &str) -> String {
    format!(
        "corrupt records are left out: {corrupt} of {images} {purpose} images; logs/rank-N.log names them"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Story: a folder of one's own, cut by a factor that left some classes without an image, trained on
    /// without a word.
    #[test]
    fn classes_without_a_training_image_are_named() {
        assert_eq!(without_images(&[3, 2, 1]), None);
        assert_eq!(without_images(&[3, 0]).unwrap(), "class 1 has no training image");
        let several = without_images(&[0, 5, 0]).unwrap();
        assert_eq!(several, "2 classes have no training image: [0, 2]");
    }
}
