//! What an epoch sets up, as its stage of the objective says.

use super::build::{self, Run};
use super::error::TrainError;
use crate::data_module::{self, DataModuleError};
use crate::engine::network::{Folded, weights};
use crate::engine::step::context::Task;
use crate::objective::{Input, Trainable};

impl Run<'_> {
    /// Sets up the epoch at hand as its stage says: what is drawn, mixed, weighed, and what trains. Every
    /// epoch derives the task anew, so that a prior may follow the ledger. At the first step of a stage
    /// also what begins anew; a run that goes on in the middle of one finds that in its checkpoint.
    /// Collective.
    pub(super) fn set_up_epoch(&mut self) -> Result<(), TrainError> {
        let epoch = self.position.epoch;
        let (stage, before) = self.objective.at(epoch);
        let (stage, first) = (stage.clone(), epoch - before);
        let Input::Images = stage.input;
        let begins = self.objective.begins_at(epoch) && self.position.step_in_epoch == 0;
        let context = &mut self.context;
        if begins
            && stage.from_best
            && let Some((_, best)) = &self.best
        {
            context.student.copy_from(best);
        }
        if begins && stage.restart_classifier {
            weights::draw_classifier(&mut context.student, self.config.run.seed, epoch);
            // Nothing but the classifier trains from here on. A count of steps would be of another one.
            context.optimiser.forget_all();
        }
        let moved = epoch == 0 || stage.from_best || stage.restart_classifier;
        if let Some(average) = context.average.as_mut().filter(|_| begins && moved) {
            average.begin_anew(); // of weights that came from elsewhere, or were drawn anew
        }
        let before = context.student.trainable();
        context.student.train_only(stage.trainable);
        if context.student.trainable() != before {
            context.reducer.leave().map_err(TrainError::Join)?;
            let world = context.world.as_mut();
            context.reducer =
                build::reducer(self.config, &context.student, world).map_err(TrainError::Join)?;
        }
        if begins && epoch > 0 && self.objective.at(epoch - 1).0.trainable != stage.trainable {
            context.optimiser.forget_all();
        }
        let flat = &context.student.parameters.buffer;
        let epochs = self.objective.labelled_before(epoch).max(1) as f64;
        let admitted = context.ledger.admitted_before_epoch();
        let admitted: Vec<f64> = admitted.iter().map(|count| *count as f64 / epochs).collect();
        context.task = Task::of(
            &stage,
            context.task.clean_forward,
            (flat.kind(), flat.device()),
            (&self.data_module.train_counts, &admitted),
            &context.ledger.alignment,
        );
        if stage.trainable != Trainable::All {
            context.task.frozen = Some(Folded::of(&context.student));
        }
        self.batches.mixing = stage.mixing;
        self.batches.labels_unlabelled = stage.pseudo_labels.is_some();
        let is_configured = self.objective.stages().len() == 1 && self.config.train.epochs > 0;
        if !is_configured && (begins || !self.is_set_up) {
            let train = &self.data_module.train;
            let seed = self.config.run.seed;
            // What changes over the epochs does so over those of its schedule.
            let start = first - stage.schedule.before;
            let epochs = start..start + stage.schedule.epochs;
            let sampler = data_module::sampler(stage.sampler, epochs, seed, train);
            let sampler = sampler.map_err(DataModuleError::Data)?;
            self.batches.loader.draw_with(sampler);
        }
        self.is_set_up = true;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::path::Path;

    use lcsl_collective::control::Control;
    use lcsl_collective::solo::Solo;
    use lcsl_config::{Machine, RunConfig, SamplerName, parse_train};
    use tch::{Device, Tensor};

    use super::*;
    use crate::objective::{Objective, Prior, Stage};
    use crate::run_dir::RunDir;
    use crate::run_dir::checkpoints::Best;

    fn config(reduction: &str) -> RunConfig {
        let flags = [
            "--dataset=synthetic",
            "--set=data.synthetic_classes=3",
            "--set=data.synthetic_largest=16",
            "--imb_factor=0.5",
            "--image_size=16",
            "--model=resnet20",
            "--method=ce",
            "--batch_size=8",
            "--epochs=2",
            "--gpu=cpu",
            "--set=checkpoint.every_steps=1",
            "--set=checkpoint.keep_last=100",
            reduction,
        ];
        let machine = Machine { cores: 1, gpus: None };
        parse_train(&flags.map(Into::into), &machine).unwrap().config
    }

    /// Everything for an epoch, then the classifier, drawn anew, on balanced classes.
    fn in_two_stages<'a>(config: &'a RunConfig, run_dir: &'a RunDir) -> Run<'a> {
        let (world, control) = (Box::new(Solo), Control::absent());
        let mut run = Run::open(config, run_dir, world, control, Device::Cpu).unwrap();
        let first = Stage { epochs: 1, ..run.objective.stages()[0].clone() };
        let second = Stage {
            restart_classifier: true,
            trainable: Trainable::Classifier,
            sampler: SamplerName::ClassBalanced,
            ..first.clone()
        };
        run.objective = Objective::new(vec![first, second]);
        run
    }

    fn student(checkpoint: &Path) -> HashMap<String, Tensor> {
        let tensors = Tensor::read_safetensors(checkpoint.join("model.safetensors")).unwrap();
        tensors.into_iter().filter(|(name, _)| name.starts_with("student.")).collect()
    }

    fn trained_in_two_stages(reduction: &str) {
        let folder = tempfile::tempdir().unwrap();
        let run_dir = RunDir::at(folder.path());
        let config = config(reduction);
        let mut run = in_two_stages(&config, &run_dir);
        let steps = run.plan().steps();
        run.train().unwrap();
        let checkpoint = |step: u64| run_dir.checkpoints().join(format!("step-{step:010}"));
        let (between, last) = (student(&checkpoint(steps)), student(&checkpoint(2 * steps)));
        for (name, before) in &between {
            assert_eq!(*before == last[name], !name.starts_with("student.fc."), "{name}");
        }

        // A run that goes on in the middle of the second stage draws no classifier again.
        for step in steps + 2..=2 * steps {
            std::fs::remove_dir_all(checkpoint(step)).unwrap();
        }
        in_two_stages(&config, &run_dir).train().unwrap();
        let again = student(&checkpoint(2 * steps));
        assert!(last.iter().all(|(name, tensor)| *tensor == again[name]), "resumed otherwise");
    }

    /// The prior of the second epoch counts what the first has admitted, for student and teacher; a run
    /// that goes on in the middle of that epoch finds the same.
    #[test]
    fn a_prior_follows_the_admissions_at_an_epochs_end() {
        let folder = tempfile::tempdir().unwrap();
        let run_dir = RunDir::at(folder.path());
        let config = config("--deterministic=false");
        let (world, control) = (Box::new(Solo), Control::absent());
        let mut run = Run::open(&config, &run_dir, world, control, Device::Cpu).unwrap();
        let prior = Prior { scale: 1.0, admissions: 1.0, corrects_teacher: true };
        let stage = Stage { prior: Some(prior), ..run.objective.stages()[0].clone() };
        run.objective = Objective::new(vec![stage]);
        run.set_up_epoch().unwrap();
        let offsets = |run: &Run<'_>| {
            let task = &run.context.task;
            assert_eq!(task.student_offsets, task.teacher_offsets);
            Vec::<f32>::try_from(task.student_offsets.as_ref().unwrap()).unwrap()
        };
        let first = offsets(&run);
        assert!(first[0] > first[2], "class 0 is the largest: {first:?}");

        run.context.ledger.total[2] = 1000;
        run.position.epoch = 1;
        run.set_up_epoch().unwrap();
        let second = offsets(&run);
        assert!(second[2] > second[0], "class 2 has been admitted a thousand times: {second:?}");

        run.context.ledger.total[2] += 7;
        run.context.ledger.epoch[2] = 7;
        run.position.step_in_epoch = 1;
        run.set_up_epoch().unwrap();
        assert_eq!(offsets(&run), second);
    }

    /// The last epochs of a short run are seldom its best.
    #[test]
    fn a_stage_may_begin_with_the_best_model_so_far() {
        let folder = tempfile::tempdir().unwrap();
        let (config, run_dir) = (config("--deterministic=false"), RunDir::at(folder.path()));
        for from_best in [true, false] {
            let mut run = in_two_stages(&config, &run_dir);
            let [first, second] = run.objective.stages() else { panic!("two stages") };
            let second = Stage { from_best, restart_classifier: false, ..second.clone() };
            run.objective = Objective::new(vec![first.clone(), second]);
            let best = run.context.student.frozen_copy();
            let _ = tch::no_grad(|| best.parameters.buffer.shallow_clone().fill_(0.5));
            run.best = Some((Best { epoch: 0, accuracy: 0.9 }, best));
            run.position.epoch = 1;
            run.set_up_epoch().unwrap();
            let buffer = run.context.student.parameters.buffer.detach();
            assert_eq!(buffer.eq(0.5).all().int64_value(&[]) == 1, from_best);
        }
    }

    #[test]
    fn a_stage_of_the_classifier_leaves_the_backbone_as_it_is() {
        trained_in_two_stages("--deterministic=false");
    }

    /// Learnable weight scaling (Kang et al., ICLR 2020) turns no row, and touches neither bias nor backbone, whatever
    /// momentum and weight decay remember.
    #[test]
    fn a_stage_of_row_lengths_turns_no_row() {
        let folder = tempfile::tempdir().unwrap();
        let run_dir = RunDir::at(folder.path());
        let config = config("--refit=lws");
        let mut run =
            Run::open(&config, &run_dir, Box::new(Solo), Control::absent(), Device::Cpu).unwrap();
        let (steps, epochs) = (run.plan().steps(), run.objective.epochs());
        run.train().unwrap();
        let checkpoint = |step: u64| run_dir.checkpoints().join(format!("step-{step:010}"));
        // The first step of the refit begins with the best model so far; what is compared lies behind it.
        let (before, after) =
            (student(&checkpoint(steps * 2 + 1)), student(&checkpoint(steps * epochs)));
        for (name, before) in &before {
            assert_eq!(*before == after[name], name != "student.fc.weight", "{name}");
        }
        let [before, after] = [before, after].map(|tensors| tensors["student.fc.weight"].copy());
        let length = |rows: &Tensor| (rows * rows).sum_dim_intlist(1_i64, false, None).sqrt();
        let cosines = (&before * &after).sum_dim_intlist(1_i64, false, None)
            / (length(&before) * length(&after));
        assert!((cosines - 1.0).abs().max().double_value(&[]) < 1e-5);
        let moved = (length(&before) - length(&after)).abs().min().double_value(&[]);
        assert!(moved > 1e-4, "the length of a row stayed: {moved}");
    }

    #[test]
    fn so_it_does_when_sums_are_ordered() {
        trained_in_two_stages("--deterministic=true");
    }
}
