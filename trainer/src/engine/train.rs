//! The training loop: epochs of steps, and what happens between them.

use std::path::PathBuf;
use std::time::Instant;

use lcsl_collective::CollectiveError;
use lcsl_collective::control::{Phase, Score};
use lcsl_config::Protocol;
use lcsl_run_dir::Event;
use lcsl_run_dir::result::{Corrupt, RunResult};
use thiserror::Error;

use super::batch::Moment;
use super::checkpoint::{self, Tensors};
use super::compare::{State, compare};
use super::digest;
use super::evaluate::{EvaluateError, evaluate};
use super::inspect;
use super::journal::Standing;
use super::run::Run;
use super::step::{StepError, StepReport, global_step};
use super::teacher::{Teacher, with_normalised_classifier};
use crate::material::{MaterialError, labels_itself};
use crate::run_dir::checkpoints::{self, Best, FORMAT, Manifest, Position};
use crate::run_dir::durable::{self, DiskContext, DiskError};
use crate::run_dir::metrics;
use crate::schedule::learning_rate;

/// How training ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// All steps were made and `result.json` is written.
    Finished,
    /// Someone asked for a stop; a checkpoint is written, and the run can go on from it.
    Stopped,
}

/// Why training ended before its time.
#[derive(Debug, Error)]
pub enum TrainError {
    /// There is nothing to learn from.
    #[error(transparent)]
    Material(#[from] MaterialError),
    /// A step failed.
    #[error("step {step} (epoch {epoch}): {source}")]
    Step {
        /// Optimiser steps made before.
        step: u64,
        /// Epoch, from 0.
        epoch: u64,
        /// Why.
        source: StepError,
    },
    /// An evaluation failed.
    #[error("the evaluation after epoch {epoch}: {source}")]
    Evaluate {
        /// Epoch, from 0.
        epoch: u64,
        /// Why.
        source: EvaluateError,
    },
    /// The disk did not do its part.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The ranks no longer hold the same.
    #[error("after step {step}: {source}")]
    Apart {
        /// Optimiser steps made.
        step: u64,
        /// What differs, and where.
        source: CollectiveError,
    },
    /// A checkpoint is whole, but not of this run.
    #[error("cannot go on from checkpoint {}: {why}", path.display())]
    Checkpoint {
        /// Its directory.
        path: PathBuf,
        /// What does not fit.
        why: String,
    },
    /// The ranks could not set up their traffic.
    #[error("before the first step: {0}")]
    Join(lcsl_collective::CollectiveError),
    /// The ranks could not part in good order.
    #[error("leaving the other ranks: {0}")]
    Leave(#[from] CollectiveError),
    /// A GPU was asked for.
    #[error("libtorch sees no CUDA device on this host ({why})")]
    NoDevice {
        /// Why, as far as that is known.
        why: &'static str,
    },
}

impl Run<'_> {
    /// Trains until all epochs are done, `max_steps` is reached, or someone asks for a stop.
    pub fn train(&mut self) -> Result<Ending, TrainError> {
        self.report_start()?;
        let (epochs, steps) = (self.config.train.epochs, self.plan.steps());
        while self.position.epoch < epochs && !self.out_of_steps() {
            if self.position.step_in_epoch == 0 {
                self.rank.ledger.begin_epoch();
            }
            let mut stop = false;
            while self.position.step_in_epoch < steps && !self.out_of_steps() {
                stop = self.step()?;
                let epoch_ends = self.position.step_in_epoch == steps || self.out_of_steps();
                if epoch_ends {
                    break; // its evaluation comes before its checkpoint
                }
                if stop || self.checkpoint_is_due() {
                    self.checkpoint()?;
                } else if self.comparison_is_due() {
                    self.compare()?;
                }
                if stop {
                    return Ok(Ending::Stopped);
                }
            }
            self.end_epoch()?;
            let done = self.position.epoch == epochs || self.out_of_steps();
            if stop && !done {
                return Ok(Ending::Stopped);
            }
        }
        self.finish()?;
        Ok(Ending::Finished)
    }

    /// One optimiser step; whether a stop was asked for.
    fn step(&mut self) -> Result<bool, TrainError> {
        let began = Instant::now();
        let Position { epoch, step_in_epoch, step } = self.position;
        if let Some(injection) = self.injection {
            injection.strike(self.rank.world.rank(), step);
        }
        let train = &self.config.train;
        let rate = learning_rate(train.lr, epoch, train.epochs, train.warmup_epochs);
        let moment = Moment { epoch, step: step_in_epoch, steps: self.plan.steps() };
        let report = global_step(&mut self.rank, &mut self.feed, moment, rate)
            .map_err(|source| TrainError::Step { step, epoch, source })?;

        let loss = report.loss(self.rank.alpha);
        self.admission_digest.record(epoch, step_in_epoch, &report.admitted);
        self.position.step_in_epoch += 1;
        self.position.step += 1;
        let seconds = began.elapsed().as_secs_f64();
        self.tally.seconds += seconds;
        self.tally.step_seconds += seconds;
        self.tally.images += report.images;
        self.tally.epoch_images += report.images;
        self.tally.epoch_loss += loss * report.images as f64;
        self.corrupt.resize(epoch as usize + 1, 0);
        self.corrupt[epoch as usize] += report.left_out;
        self.rank.clock.control().heartbeat().advance(epoch, self.position.step);
        self.report_step(&report, loss, rate)?;
        Ok(report.stop)
    }

    /// What happens when an epoch's steps are done: evaluation, perhaps a new teacher, and a
    /// checkpoint.
    fn end_epoch(&mut self) -> Result<(), TrainError> {
        self.report_epoch()?;
        self.evaluate_and_select()?;
        self.position.epoch += 1;
        self.position.step_in_epoch = 0;
        self.tally.epoch_loss = 0.0;
        self.tally.epoch_images = 0;
        self.checkpoint()
    }

    /// Measures the student, and makes it the best model, and the teacher, when it is good enough:
    /// at least as good in protocol `honest`, strictly better in `paper`. All ranks measure the
    /// same sums and decide alike.
    fn evaluate_and_select(&mut self) -> Result<(), TrainError> {
        let began = Instant::now();
        self.rank.clock.enter(Phase::Evaluation);
        let epoch = self.position.epoch;
        let (exam, split) = self.exams.selection(&self.material);
        let measured = evaluate(&self.rank.student, self.rank.world.as_mut(), exam)
            .map_err(|source| TrainError::Evaluate { epoch, source })?;
        let classes = self.material.class_names.len();
        let accuracy = measured.confusion.balanced_accuracy(classes).unwrap_or(0.0);
        let selected = self.best.as_ref().is_none_or(|(best, _)| {
            let paper = self.config.train.protocol == Protocol::Paper;
            if paper { accuracy > best.accuracy } else { accuracy >= best.accuracy }
        });
        if selected {
            let model = self.rank.student.frozen_copy();
            if labels_itself(self.config.train.method) {
                self.rank.teacher = Some(Teacher::of(&model, self.config.model.fc_norm));
            }
            self.best = Some((Best { epoch, accuracy }, model));
        }
        let evaluation_seconds = began.elapsed().as_secs_f64();
        self.tally.seconds += evaluation_seconds;
        if let Some(journal) = &mut self.journal {
            journal.score(Score { epoch, accuracy, selected, seconds: evaluation_seconds });
            let (step, corrupt) = (self.position.step, measured.corrupt);
            if corrupt > 0 {
                journal.remark(left_out(corrupt, exam.images.indices.len(), split));
            }
            journal.event(
                self.tally.seconds,
                Event::Evaluation {
                    epoch,
                    step,
                    split,
                    accuracy,
                    selected,
                    corrupt,
                    evaluation_seconds,
                },
            )?;
        }
        Ok(())
    }

    /// Compares what the ranks hold. Collective.
    fn compare(&mut self) -> Result<(), TrainError> {
        self.rank.clock.enter(Phase::Compare);
        let state = State {
            tensors: Tensors {
                student: &self.rank.student,
                velocity: &self.rank.optimiser.velocity,
                best: self.best.as_ref().map(|(_, network)| network),
            },
            teacher: self.rank.teacher.as_ref(),
            ledger: &self.rank.ledger,
        };
        let step = self.position.step;
        compare(self.rank.world.as_mut(), &state)
            .map_err(|source| TrainError::Apart { step, source })
    }

    /// Writes a checkpoint; the state is the same on all ranks, which is made sure of, and rank 0
    /// writes it.
    fn checkpoint(&mut self) -> Result<(), TrainError> {
        if self.config.run.compare_every_steps > 0 {
            self.compare()?;
        }
        self.rank.clock.enter(Phase::Checkpoint);
        let began = Instant::now();
        let Some(journal) = &mut self.journal else { return Ok(()) };
        journal.flush()?;
        let manifest = Manifest {
            format: FORMAT,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            position: self.position,
            ledger: self.rank.ledger.clone(),
            admission_digest: self.admission_digest,
            best: self.best.as_ref().map(|(best, _)| *best),
            tally: self.tally,
            corrupt: self.corrupt.clone(),
            metrics_bytes: journal.metrics_bytes()?,
            tensors_digest: String::new(), // known once the tensors are on disk
        };
        let tensors = Tensors {
            student: &self.rank.student,
            velocity: &self.rank.optimiser.velocity,
            best: self.best.as_ref().map(|(_, network)| network),
        };
        let name =
            checkpoints::write(self.run_dir, manifest, |path| checkpoint::write(path, &tensors))?;
        checkpoints::prune(self.run_dir, &name, self.config.checkpoint.keep_last)?;
        let checkpoint_seconds = began.elapsed().as_secs_f64();
        self.tally.seconds += checkpoint_seconds;
        let event = Event::Checkpoint { step: self.position.step, name: &name, checkpoint_seconds };
        journal.event(self.tally.seconds, event)?;
        Ok(())
    }

    /// Measures the best model on the test set, read here for the first time in protocol `honest`,
    /// and writes `result.json`.
    fn finish(&mut self) -> Result<(), TrainError> {
        let began = Instant::now();
        self.rank.clock.enter(Phase::Evaluation);
        let epoch = self.position.epoch;
        let figures = inspect::final_figures(self)
            .map_err(|source| TrainError::Evaluate { epoch, source })?;
        self.tally.seconds += began.elapsed().as_secs_f64();
        let Some(journal) = &mut self.journal else { return Ok(()) };
        if figures.test.corrupt > 0 {
            let images = self.material.test.indices.len();
            journal.remark(left_out(figures.test.corrupt, images, "test"));
        }
        let result = self.result(figures);
        let path = self.run_dir.result();
        let text = serde_json::to_vec_pretty(&result)
            .map_err(std::io::Error::from)
            .or_disk("write", &path)?;
        durable::write(&path, &text)?;
        Ok(())
    }

    /// All of `result.json`.
    fn result(&self, figures: inspect::Final) -> RunResult {
        let (best, network) = self.best.as_ref().expect("an evaluation selects the first model");
        let selected = with_normalised_classifier(network, figures.tau);
        let config = self.config;
        RunResult {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            accuracy: figures.test.accuracy,
            per_class: figures.test.per_class,
            ece: figures.test.ece,
            classifier_tau: figures.tau,
            as_trained: figures.as_trained,
            tau_normalised: figures.tau_normalised,
            selected_on: self.exams.selection(&self.material).1.to_owned(),
            selected_epoch: best.epoch,
            selected_accuracy: best.accuracy,
            unscored_classes: self.material.unscored.clone(),
            protocol: config.train.protocol.to_string(),
            method: config.train.method.to_string(),
            policy: config.admission.policy.to_string(),
            dataset: config.data.name.to_string(),
            model: config.model.name.to_string(),
            seed: config.run.seed,
            train_images: self.plan.images,
            corrupt: Corrupt {
                training: self.corrupt.clone(),
                validation: figures.corrupt_validation,
                test: figures.test.corrupt,
            },
            world_size: self.rank.world.world_size(),
            virtual_ranks: config.run.virtual_ranks,
            threads: config.run.threads,
            steps: self.position.step,
            admitted_total: self.rank.ledger.admitted_total(),
            images_per_second: self.images_per_second(),
            train_seconds: self.tally.seconds,
            weights_digest: digest::weights(&selected),
            last_weights_digest: digest::weights(&self.rank.student),
            admission_digest: self.admission_digest.to_hex(),
        }
    }

    fn out_of_steps(&self) -> bool {
        self.config.train.max_steps.is_some_and(|most| self.position.step >= most)
    }

    fn checkpoint_is_due(&self) -> bool {
        let every = self.config.checkpoint.every_steps;
        every > 0 && self.position.step.is_multiple_of(every)
    }

    fn comparison_is_due(&self) -> bool {
        let every = self.config.run.compare_every_steps;
        every > 0 && self.position.step.is_multiple_of(every)
    }

    fn images_per_second(&self) -> f64 {
        self.tally.images as f64 / self.tally.step_seconds.max(f64::MIN_POSITIVE)
    }

    fn report_start(&mut self) -> Result<(), TrainError> {
        let Some(journal) = &mut self.journal else { return Ok(()) };
        for notice in &self.material.notices {
            journal.notice(notice.clone());
        }
        if !self.material.unscored.is_empty() {
            let classes = &self.material.unscored;
            let count = classes.len();
            journal.notice(format!(
                "{count} classes have no image to hold out and stay out of the score: {classes:?}"
            ));
        }
        let Position { epoch, step, .. } = self.position;
        let event = if step > 0 {
            Event::Resume { epoch, step }
        } else {
            Event::Start {
                train_counts: &self.material.train_counts,
                world_size: self.rank.world.world_size(),
                virtual_ranks: self.config.run.virtual_ranks,
                steps_per_epoch: self.plan.steps(),
            }
        };
        Ok(journal.event(self.tally.seconds, event)?)
    }

    fn report_step(&mut self, report: &StepReport, loss: f64, rate: f64) -> Result<(), TrainError> {
        let images_per_second = self.images_per_second();
        let train = &self.config.train;
        let all_steps = self.plan.steps() * train.epochs;
        let standing = Standing {
            seconds: self.tally.seconds,
            epoch: (self.position.epoch, train.epochs),
            step: (self.position.step, train.max_steps.map_or(all_steps, |n| n.min(all_steps))),
            learning_rate: rate,
            images_per_second,
            admitted: self.rank.ledger.admitted_total(),
        };
        let every = train.log_every_steps as u64;
        let Some(journal) = &mut self.journal else {
            return Ok(());
        };
        let waiting = self.feed.supply.take_waited().as_secs_f64();
        journal.step(report, loss, standing, every, self.rank.clock.lap(), waiting)?;
        let (step, buckets) = (self.position.step, self.rank.reduction.bucket_times());
        if self.config.run.bucket_times && step.is_multiple_of(every) && !buckets.is_empty() {
            let buckets = &metrics::spans(buckets);
            journal.event(self.tally.seconds, Event::Buckets { step, buckets })?;
        }
        Ok(())
    }

    fn report_epoch(&mut self) -> Result<(), TrainError> {
        let Some(journal) = &mut self.journal else { return Ok(()) };
        journal.flush()?;
        let Position { epoch, step, .. } = self.position;
        let collapse = self.rank.ledger.collapse(self.rank.rules.minority());
        if let Some(class) = collapse {
            let name = &self.material.class_names[class as usize];
            journal.notice(format!(
                "collapse in epoch {epoch}: class {class} ({name}) took more than half of the admissions"
            ));
        }
        let loss = self.tally.epoch_loss / self.tally.epoch_images.max(1) as f64;
        let admitted = &self.rank.ledger.epoch;
        let corrupt = self.corrupt.get(epoch as usize).copied().unwrap_or(0);
        if corrupt > 0 {
            journal.remark(left_out(corrupt, self.plan.images as usize, "training"));
        }
        let event = Event::Epoch { epoch, step, loss, admitted, collapse, corrupt };
        Ok(journal.event(self.tally.seconds, event)?)
    }
}

/// That images are missing from training, or from an accuracy.
fn left_out(corrupt: u64, images: usize, purpose: &str) -> String {
    format!(
        "corrupt records are left out: {corrupt} of {images} {purpose} images; logs/rank-N.log names them"
    )
}
