//! The training loop: epochs of steps, and what happens between them.

use std::time::{Duration, Instant};

use lcsl_collective::control::Phase;
use lcsl_config::OnFailedCheckpoint;
use lcsl_run_dir::names::METRICS;
use lcsl_run_dir::result::{Corrupt, PeakMemory, RunResult};

use crate::engine::evaluation::final_figures::{FinalFigures, final_figures};
use crate::engine::optim::average::WeightAverage;
use crate::engine::run::build::Run;
use crate::engine::run::checkpoint::Snapshot;
use crate::engine::run::consistency::compare;
use crate::engine::run::digest;
use crate::engine::run::error::TrainError;
use crate::engine::run::memory;
use crate::engine::run::reports::left_out;
use crate::engine::run::state::TrainState;
use crate::engine::step::context::StepContext;
use crate::engine::step::sums::Wishes;
use crate::run_dir::checkpoints::{FORMAT, Manifest};
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
        if epochs == 0 && self.best.is_none() {
            self.evaluate_and_select()?; // weights of somebody else, which are only measured
            self.checkpoint()?;
        }
        while self.position.epoch < epochs && !self.out_of_steps() {
            let begins = self.position.step_in_epoch == 0;
            if begins {
                self.context.rules.begin_epoch(&mut self.context.ledger);
                self.unlabelled.begin_epoch();
            }
            if begins || !self.is_set_up {
                self.set_up_epoch()?;
            }
            let mut wishes = Wishes::default();
            while self.position.step_in_epoch < steps && !self.out_of_steps() {
                wishes = self.step()?;
                let epoch_ends = self.position.step_in_epoch == steps || self.out_of_steps();
                let wished = wishes.stop || wishes.save;
                let saves = wished || self.checkpoint_is_due();
                if epoch_ends || saves || self.comparison_is_due() {
                    wishes = wishes.or(self.book_open_step()?); // nobody looks at a step that may have gone wrong
                }
                if epoch_ends {
                    break; // its evaluation comes before its checkpoint
                }
                if saves {
                    self.checkpoint()?;
                } else if self.comparison_is_due() {
                    self.compare()?;
                }
                if wishes.stop {
                    return self.stop();
                }
            }
            self.end_epoch()?;
            let done = self.position.epoch == epochs || self.out_of_steps();
            if wishes.stop && !done {
                return self.stop();
            }
        }
        self.finish()?;
        Ok(Ending::Finished)
    }

    /// Ends behind a checkpoint, which is on disk by then.
    fn stop(&mut self) -> Result<Ending, TrainError> {
        self.finish_checkpoint(OnFailedCheckpoint::Stop)?;
        Ok(Ending::Stopped)
    }

    /// What happens when an epoch's steps are done: evaluation, perhaps a new teacher, and a
    /// checkpoint.
    fn end_epoch(&mut self) -> Result<(), TrainError> {
        self.report_epoch()?;
        if self.evaluation_is_due() {
            self.evaluate_and_select()?;
        }
        self.position.epoch += 1;
        self.position.step_in_epoch = 0;
        self.totals.epoch_loss = 0.0;
        self.totals.epoch_images = 0;
        self.labels.begin_epoch();
        self.checkpoint()
    }

    /// Compares what the ranks hold. Collective.
    fn compare(&mut self) -> Result<(), TrainError> {
        self.context.clock.enter(Phase::Compare);
        let step = self.position.step;
        let StepContext { world, student, average, optimiser, teacher, latest, ledger, .. } =
            &mut self.context;
        let state = TrainState {
            student,
            average: average.as_ref().map(WeightAverage::network),
            moments: optimiser.moments(),
            best: self.best.as_ref().map(|(_, network)| network),
            latest: latest.as_ref(),
            teacher: teacher.as_ref(),
        };
        compare(world.as_mut(), &state, ledger).map_err(|source| TrainError::Apart { step, source })
    }

    /// Begins a checkpoint; the state is the same on all ranks, which is made sure of, and rank 0
    /// writes it. Training stands still while the state is copied, and where the one before is not on disk yet.
    fn checkpoint(&mut self) -> Result<(), TrainError> {
        if self.config.run.compare_every_steps > 0 {
            self.compare()?;
        }
        self.context.clock.enter(Phase::Checkpoint);
        let began = Instant::now();
        self.saved_at = began;
        if self.context.world.rank() != 0 {
            return Ok(());
        }
        self.finish_checkpoint(self.config.checkpoint.on_failure)?;
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
            unlabelled: self.unlabelled.clone(),
            labels: self.labels.clone(),
            metrics_bytes: marks.remove(METRICS).unwrap_or(0),
            marks,
            tensors_digest: String::new(), // known once the tensors are on disk
        };
        let snapshot = Snapshot::of(&self.state());
        self.writer.start(manifest, move |path| snapshot.write(path))?;
        self.stall_seconds = began.elapsed().as_secs_f64();
        self.totals.seconds += self.stall_seconds;
        Ok(())
    }

    /// Waits until the last checkpoint that was begun is on disk.
    fn finish_checkpoint(&mut self, on_failure: OnFailedCheckpoint) -> Result<(), TrainError> {
        self.context.clock.enter(Phase::Checkpoint);
        match self.writer.wait() {
            Some(outcome) => self.report_checkpoint(outcome, on_failure),
            None => Ok(()),
        }
    }

    pub(super) fn minutes_are_over(&self) -> bool {
        let minutes = self.config.checkpoint.every_minutes;
        let is_first = self.context.world.rank() == 0; // the clocks of others may differ
        is_first && minutes > 0 && self.saved_at.elapsed() >= Duration::from_secs(60 * minutes)
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
            (self.config.train.protocol, &self.config.evaluation),
            &self.context.ledger.total,
            self.context.clock.control().heartbeat(),
        )
        .map_err(|source| TrainError::Evaluate { epoch, source })?;
        let device = self.context.student.parameters.buffer.device();
        let peak_memory = memory::peak(self.context.world.as_mut(), device)
            .map_err(|source| TrainError::Evaluate { epoch, source: source.into() })?;
        self.totals.seconds += began.elapsed().as_secs_f64();
        if figures.test.corrupt > 0 {
            let images = self.data_module.test.indices.len();
            let text = left_out(figures.test.corrupt, images, "test");
            self.recorders.remark(self.totals.seconds, text)?;
        }
        if self.context.world.rank() != 0 {
            return Ok(());
        }
        self.finish_checkpoint(self.config.checkpoint.on_failure)?;
        let result = self.result(figures, peak_memory);
        let path = self.run_dir.result();
        let text = serde_json::to_vec_pretty(&result)
            .map_err(std::io::Error::from)
            .or_disk("write", &path)?;
        durable::write(&path, &text)?;
        Ok(())
    }

    /// All of `result.json`.
    fn result(&self, figures: FinalFigures, peak_memory: Option<PeakMemory>) -> RunResult {
        let (best, network) = self.best.as_ref().expect("an evaluation selects the first model");
        let selected = figures.classifier.on(network.frozen_copy(), &self.data_module.train_counts);
        let (classifier_tau, classifier_adjustment) = figures.classifier.exponents();
        let config = self.config;
        RunResult {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            accuracy: figures.test.accuracy,
            per_class: figures.test.per_class,
            ece: figures.test.ece,
            ece_groups: figures.ece_groups,
            calibrated: figures.calibrated,
            classifier_tau,
            classifier_adjustment,
            as_trained: figures.as_trained,
            tau_normalised: figures.tau_normalised,
            tau_sweep: figures.tau_sweep,
            adjusted: figures.adjusted,
            adjustment_sweep: figures.adjustment_sweep,
            selected_on: self.eval_sets.selection(&self.data_module).1.to_owned(),
            selected_epoch: best.epoch,
            selected_accuracy: best.accuracy,
            unscored_classes: self.data_module.unscored.clone(),
            protocol: config.train.protocol.to_string(),
            method: config.train.method.to_string(),
            criterion: config.train.criterion.to_string(),
            mixing: config.train.mixing.to_string(),
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
            peak_memory,
            weights_digest: digest::weights(&selected),
            last_weights_digest: digest::weights(&self.context.student),
            admission_digest: self.admission_digest.to_hex(),
            unlabelled: self.unlabelled_totals(),
        }
    }

    pub(super) fn out_of_steps(&self) -> bool {
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

#[cfg(test)]
mod tests {
    use std::fs;

    use lcsl_collective::control::Control;
    use lcsl_collective::solo::Solo;
    use lcsl_config::{Machine, RunConfig, parse_train};
    use serde_json::Value;
    use tch::Device;

    use super::*;
    use crate::run_dir::{RunDir, checkpoints};

    fn config(extra: &str) -> RunConfig {
        let flags = "--dataset=synthetic --set=data.synthetic_classes=3 --set=data.synthetic_largest=24 \
                     --imb_factor=0.5 --image_size=16 --model=resnet20 --method=ce --batch_size=8 --epochs=1 --gpu=cpu";
        let flags = flags.split_whitespace().chain(extra.split_whitespace());
        let flags: Vec<_> = flags.map(Into::into).collect();
        parse_train(&flags, &Machine { cores: 1, gpus: None }).unwrap().config
    }

    fn open<'a>(config: &'a RunConfig, run_dir: &'a RunDir) -> Run<'a> {
        Run::open(config, run_dir, Box::new(Solo), Control::absent(), Device::Cpu).unwrap()
    }

    fn events(run_dir: &RunDir, event: &str) -> Vec<Value> {
        let text = fs::read_to_string(run_dir.metrics()).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.filter(|line| line["event"] == event).collect()
    }

    /// A checkpoint that cannot be written ends the run, or is said and tried again later; a run that is asked to stop
    /// never claims one that is not there.
    #[test]
    fn a_checkpoint_that_cannot_be_written_ends_the_run_or_is_said() {
        let trained = |extra: &str, stops: bool| {
            let folder = tempfile::tempdir().unwrap();
            let (config, run_dir) = (config(extra), RunDir::at(folder.path()));
            let mut run = open(&config, &run_dir);
            fs::write(run_dir.checkpoints(), "in the way").unwrap();
            if stops {
                run.context.clock.control().request_stop();
            }
            let ending = run.train();
            drop(run);
            (ending, events(&run_dir, "checkpoint_failed").len())
        };
        let (ending, failures) = trained("--set=checkpoint.every_steps=2", false);
        assert!(matches!(ending, Err(TrainError::Disk(_))) && failures == 0, "{ending:?}");
        let warn = "--set=checkpoint.every_steps=2 --set=checkpoint.on_failure=warn";
        let (ending, failures) = trained(warn, false);
        assert_eq!(ending.unwrap(), Ending::Finished);
        assert!(failures > 1, "{failures}");
        let (ending, _) = trained(warn, true);
        assert!(matches!(ending, Err(TrainError::Disk(_))), "{ending:?}");
    }

    /// On large sets an evaluation costs as much as a part of an epoch. Stages have a last one each, and so has a run
    /// that is cut off by its steps.
    #[test]
    fn evaluations_come_every_so_many_epochs_and_at_the_end_of_each_stage() {
        let evaluated = |extra: &str| -> Vec<u64> {
            let folder = tempfile::tempdir().unwrap();
            let config = config(&format!("--set=evaluation.every_epochs=3 {extra}"));
            let run_dir = RunDir::at(folder.path());
            open(&config, &run_dir).train().unwrap();
            let of = |event: &Value| event["epoch"].as_u64().unwrap();
            events(&run_dir, "evaluation").iter().map(of).collect()
        };
        assert_eq!(evaluated("--epochs=7"), [2, 5, 6]);
        assert_eq!(evaluated("--epochs=4 --refit=balanced --set=refit.epochs=2"), [2, 3, 5]);
        let steps = "--epochs=7 --max_steps=8"; // in the second epoch
        assert_eq!(evaluated(steps), [1]);
    }

    #[test]
    fn a_checkpoint_is_due_after_some_minutes() {
        let folder = tempfile::tempdir().unwrap();
        let config = config("--set=checkpoint.every_minutes=1 --set=checkpoint.keep_last=9");
        let run_dir = RunDir::at(folder.path());
        let mut run = open(&config, &run_dir);
        run.saved_at = Instant::now().checked_sub(Duration::from_secs(61)).unwrap();
        run.train().unwrap();
        let steps: Vec<_> =
            events(&run_dir, "checkpoint").iter().map(|it| it["step"].clone()).collect();
        let last = run.plan().steps();
        assert_eq!(steps, [1, last], "the first step after a minute, and the end of the epoch");
        let newest = checkpoints::newest(&run_dir).unwrap().0.unwrap();
        assert_eq!(newest.manifest.position.step, last);
    }
}
