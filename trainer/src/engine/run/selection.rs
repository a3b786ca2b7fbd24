//! Which model is the best so far, and who labels: decided where an epoch ends.

use std::time::Instant;

use lcsl_collective::control::{Phase, Score};
use lcsl_config::{Protocol, TeacherName};
use lcsl_run_dir::Event;

use super::build::Run;
use super::error::TrainError;
use super::recorder::RunEvent;
use super::reports::left_out;
use crate::engine::evaluation::evaluate::evaluate;
use crate::engine::optim::average::WeightAverage;
use crate::engine::step::context::StepContext;
use crate::engine::step::teacher::Teacher;
use crate::run_dir::checkpoints::Best;

impl Run<'_> {
    /// Whether the epoch that ends is one after which the models are compared: every so many of a stage, and its last
    /// one, so that a stage which begins with the best model knows it, and so does the end of the run.
    pub(super) fn evaluation_is_due(&self) -> bool {
        let epoch = self.position.epoch;
        let (stage, before) = self.objective.at(epoch);
        let is_last = before + 1 == stage.epochs || self.out_of_steps();
        is_last || (before + 1).is_multiple_of(self.config.evaluation.every_epochs)
    }

    /// Measures the student, and makes it the best model, and the teacher, when it is good enough:
    /// at least as good in protocol `honest`, strictly better in `paper`. All ranks measure the
    /// same sums and decide alike.
    pub(super) fn evaluate_and_select(&mut self) -> Result<(), TrainError> {
        let began = Instant::now();
        self.context.clock.enter(Phase::Evaluation);
        let epoch = self.position.epoch;
        let (eval_set, split) = self.eval_sets.selection(&self.data_module);
        let StepContext { student, average, world, clock, .. } = &mut self.context;
        let student = average.as_ref().map_or(&*student, WeightAverage::network);
        let heartbeat = clock.control().heartbeat();
        let measured = evaluate(student, world.as_mut(), eval_set, heartbeat)
            .map_err(|source| TrainError::Evaluate { epoch, source })?;
        let images = eval_set.images.indices.len();
        let classes = self.data_module.class_names.len();
        let accuracy = measured.confusion.balanced_accuracy(classes).unwrap_or(0.0);
        let selected = self.best.as_ref().is_none_or(|(best, _)| {
            let paper = self.config.train.protocol == Protocol::Paper;
            if paper { accuracy > best.accuracy } else { accuracy >= best.accuracy }
        });
        self.change_teacher(selected, epoch);
        if selected {
            let model = self.context.measured().frozen_copy();
            self.best = Some((Best { epoch, accuracy }, model));
        }
        let evaluation_seconds = began.elapsed().as_secs_f64();
        self.totals.seconds += evaluation_seconds;
        let (step, corrupt, at) = (self.position.step, measured.corrupt, self.totals.seconds);
        let score = Score { epoch, accuracy, selected, seconds: evaluation_seconds };
        self.recorders.record(at, &RunEvent::Score(score))?;
        if corrupt > 0 {
            let text = left_out(corrupt, images, split);
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

    /// From the next step on the model that was measured labels, where it was selected, or labels in any case.
    fn change_teacher(&mut self, selected: bool, epoch: u64) {
        let latest_labels = self.context.latest.is_some();
        if !self.objective.labels_itself() || !(selected || latest_labels) {
            return;
        }
        let model = self.context.measured();
        let latest = latest_labels.then(|| model.frozen_copy());
        self.context.teacher = Some(Teacher::of(model, self.config.model.fc_norm));
        self.context.latest = latest;
        let moves_with_each_step = self.config.admission.teacher == TeacherName::Ema;
        self.labels.teacher_epoch = (!moves_with_each_step).then_some(epoch);
    }
}
