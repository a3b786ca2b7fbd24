//! The training loop: epochs of steps, and what happens between them.

use std::time::Instant;

use lcsl_collective::control::{Phase, Score};
use lcsl_config::Protocol;
use lcsl_run_dir::Event;
use lcsl_run_dir::names::METRICS;
use lcsl_run_dir::result::{Corrupt, RunResult};

use crate::engine::data::local_batch::StepIndex;
use crate::engine::evaluation::evaluate::evaluate;
use crate::engine::evaluation::final_figures::{FinalFigures, final_figures};
use crate::engine::run::build::Run;
use crate::engine::run::checkpoint;
use crate::engine::run::consistency::compare;
use crate::engine::run::digest;
use crate::engine::run::error::TrainError;
use crate::engine::run::recorder::RunEvent;
use crate::engine::run::reports::left_out;
use crate::engine::run::state::TrainState;
use crate::engine::step::context::StepContext;
use crate::engine::step::step::global_step;
use crate::engine::step::teacher::{Teacher, with_normalised_classifier};
use crate::run_dir::checkpoints::{self, Best, FORMAT, Manifest, Position};
use crate::run_dir::durable::{self, DiskContext};

/// How training ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// All steps were made and `result.json` is written.
    Finished,
    /// Someone asked for a stop; a checkpoint is written, and the run can go on from it.
    Stopped,
}

impl Run<'_> {
    /// Trains until all epochs are done, `max_steps` is reached, or someone asks for a stop.
    pub fn train(&mut self) -> Result<Ending, TrainError> {
        self.report_start()?;
        let (epochs, steps) = (self.objective.epochs(), self.plan().steps());
        while self.position.epoch < epochs && !self.out_of_steps() {
            let begins = self.position.step_in_epoch == 0;
            if begins {
                self.context.ledger.begin_epoch();
            }
            if begins || !self.is_set_up {
                self.set_up_epoch()?;
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
            injection.strike(self.context.world.rank(), step);
        }
        let rate = self.objective.learning_rate(epoch);
        let index = StepIndex { epoch, step: step_in_epoch, steps: self.plan().steps() };
        let report = global_step(&mut self.context, &mut self.batches, index, rate)
            .map_err(|source| TrainError::Step { step, epoch, source })?;

        let loss = report.loss(self.context.task.alpha());
        self.admission_digest.record(epoch, step_in_epoch, &report.admitted);
        self.position.step_in_epoch += 1;
        self.position.step += 1;
        let seconds = began.elapsed().as_secs_f64();
        self.totals.seconds += seconds;
        self.totals.step_seconds += seconds;
        self.totals.images += report.images;
        self.totals.epoch_images += report.images;
        self.totals.epoch_loss += loss * report.images as f64;
        self.corrupt.resize(epoch as usize + 1, 0);
        self.corrupt[epoch as usize] += report.skipped;
        self.context.clock.control().heartbeat().advance(epoch, self.position.step);
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
        self.totals.epoch_loss = 0.0;
        self.totals.epoch_images = 0;
        self.checkpoint()
    }

    /// Measures the student, and makes it the best model, and the teacher, when it is good enough:
    /// at least as good in protocol `honest`, strictly better in `paper`. All ranks measure the
    /// same sums and decide alike.
    fn evaluate_and_select(&mut self) -> Result<(), TrainError> {
        let began = Instant::now();
        self.context.clock.enter(Phase::Evaluation);
        let epoch = self.position.epoch;
        let (eval_set, split) = self.eval_sets.selection(&self.data_module);
        let measured = evaluate(&self.context.student, self.context.world.as_mut(), eval_set)
            .map_err(|source| TrainError::Evaluate { epoch, source })?;
        let classes = self.data_module.class_names.len();
        let accuracy = measured.confusion.balanced_accuracy(classes).unwrap_or(0.0);
        let selected = self.best.as_ref().is_none_or(|(best, _)| {
            let paper = self.config.train.protocol == Protocol::Paper;
            if paper { accuracy > best.accuracy } else { accuracy >= best.accuracy }
        });
        if selected {
            let model = self.context.student.frozen_copy();
            if self.objective.labels_itself() {
                self.context.teacher = Some(Teacher::of(&model, self.config.model.fc_norm));
            }
            self.best = Some((Best { epoch, accuracy }, model));
        }
        let evaluation_seconds = began.elapsed().as_secs_f64();
        self.totals.seconds += evaluation_seconds;
        let (step, corrupt, at) = (self.position.step, measured.corrupt, self.totals.seconds);
        let score = Score { epoch, accuracy, selected, seconds: evaluation_seconds };
        self.recorders.record(at, &RunEvent::Score(score))?;
        if corrupt > 0 {
            let text = left_out(corrupt, eval_set.images.indices.len(), split);
            self.recorders.remark(at, text)?;
        }
        let event = Event::Evaluation {
            epoch,
            step,
            split,
            accuracy,
            selected,
            corrupt,
            evaluation_seconds,
        };
        Ok(self.recorders.line(at, event)?)
    }

    /// Compares what the ranks hold. Collective.
    fn compare(&mut self) -> Result<(), TrainError> {
        self.context.clock.enter(Phase::Compare);
        let step = self.position.step;
        let StepContext { world, student, optimiser, teacher, ledger, .. } = &mut self.context;
        let state = TrainState::of(student, optimiser, self.best.as_ref(), teacher.as_ref());
        compare(world.as_mut(), &state, ledger).map_err(|source| TrainError::Apart { step, source })
    }

    /// Writes a checkpoint; the state is the same on all ranks, which is made sure of, and rank 0
    /// writes it.
    fn checkpoint(&mut self) -> Result<(), TrainError> {
        if self.config.run.compare_every_steps > 0 {
            self.compare()?;
        }
        self.context.clock.enter(Phase::Checkpoint);
        let began = Instant::now();
        if self.context.world.rank() != 0 {
            return Ok(());
        }
        self.recorders.flush()?;
        let mut marks = self.recorders.marks()?;
        let manifest = Manifest {
            format: FORMAT,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            position: self.position,
            ledger: self.context.ledger.clone(),
            admission_digest: self.admission_digest,
            best: self.best.as_ref().map(|(best, _)| *best),
            totals: self.totals,
            corrupt: self.corrupt.clone(),
            metrics_bytes: marks.remove(METRICS).unwrap_or(0),
            marks,
            tensors_digest: String::new(), // known once the tensors are on disk
        };
        let state = self.state();
        let name =
            checkpoints::write(self.run_dir, manifest, |path| checkpoint::write(path, &state))?;
        checkpoints::prune(self.run_dir, &name, self.config.checkpoint.keep_last)?;
        let checkpoint_seconds = began.elapsed().as_secs_f64();
        self.totals.seconds += checkpoint_seconds;
        let event = Event::Checkpoint { step: self.position.step, name: &name, checkpoint_seconds };
        Ok(self.recorders.line(self.totals.seconds, event)?)
    }

    /// Measures the best model on the test set, read here for the first time in protocol `honest`,
    /// and writes `result.json`.
    fn finish(&mut self) -> Result<(), TrainError> {
        let began = Instant::now();
        self.context.clock.enter(Phase::Evaluation);
        let epoch = self.position.epoch;
        let (_, network) = self.best.as_ref().expect("an evaluation selects the first model");
        let figures = final_figures(
            network,
            self.context.world.as_mut(),
            (&self.eval_sets, &self.data_module),
            (self.config.train.protocol, self.config.evaluation.tau_norm),
            &self.context.ledger.total,
        )
        .map_err(|source| TrainError::Evaluate { epoch, source })?;
        self.totals.seconds += began.elapsed().as_secs_f64();
        if figures.test.corrupt > 0 {
            let images = self.data_module.test.indices.len();
            let text = left_out(figures.test.corrupt, images, "test");
            self.recorders.remark(self.totals.seconds, text)?;
        }
        if self.context.world.rank() != 0 {
            return Ok(());
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
    fn result(&self, figures: FinalFigures) -> RunResult {
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
            selected_on: self.eval_sets.selection(&self.data_module).1.to_owned(),
            selected_epoch: best.epoch,
            selected_accuracy: best.accuracy,
            unscored_classes: self.data_module.unscored.clone(),
            protocol: config.train.protocol.to_string(),
            method: config.train.method.to_string(),
            policy: config.admission.policy.to_string(),
            dataset: config.data.name.to_string(),
            model: config.model.name.to_string(),
            seed: config.run.seed,
            train_images: self.plan().images,
            corrupt: Corrupt {
                training: self.corrupt.clone(),
                validation: figures.corrupt_validation,
                test: figures.test.corrupt,
            },
            world_size: self.context.world.world_size(),
            virtual_ranks: config.run.virtual_ranks,
            threads: config.run.threads,
            steps: self.position.step,
            admitted_total: self.context.ledger.admitted_total(),
            images_per_second: self.images_per_second(),
            train_seconds: self.totals.seconds,
            weights_digest: digest::weights(&selected),
            last_weights_digest: digest::weights(&self.context.student),
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

    pub(super) fn images_per_second(&self) -> f64 {
        self.totals.images as f64 / self.totals.step_seconds.max(f64::MIN_POSITIVE)
    }
}
