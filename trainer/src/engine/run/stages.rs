//! What changes when a stage of the objective begins.

use super::build::{self, Run};
use super::error::TrainError;
use crate::engine::network::weights;
use crate::engine::step::context::Task;

impl Run<'_> {
    /// Sets up the stage of the epoch at hand: what is drawn, mixed, weighed, and what trains. At the
    /// first step of a stage also what begins anew; a run that goes on in the middle of one finds that in
    /// its checkpoint. Collective.
    pub(super) fn set_up_stage(&mut self) -> Result<(), TrainError> {
        let epoch = self.position.epoch;
        let stage = self.objective.at(epoch).0.clone();
        let begins = self.objective.begins_at(epoch) && self.position.step_in_epoch == 0;
        let context = &mut self.context;
        if begins && stage.restart_classifier {
            weights::draw_classifier(&mut context.student, self.config.run.seed, epoch);
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
            let _ = context.optimiser.velocity.zero_();
        }
        let flat = &context.student.parameters.buffer;
        context.task = Task::of(&stage, context.task.clean_forward, (flat.kind(), flat.device()));
        self.batches.mixing = stage.mixing;
        Ok(())
    }
}
