//! How long a training step takes: [`start_step`] itself, timed.

use std::time::{Duration, Instant};

use lcsl_collective::buckets::BucketTimes;
use lcsl_collective::control::Control;
use lcsl_collective::delayed::Delayed;
use lcsl_collective::{CollectiveError, Communicator};
use lcsl_config::RunConfig;
use serde::Serialize;
use tch::Device;
use thiserror::Error;

use crate::data_module::{self, DataModuleError};
use crate::engine::data::local_batch::StepIndex;
use crate::engine::network::build::initial_network;
use crate::engine::network::weights::Role;
use crate::engine::run::build;
use crate::engine::step::error::StepError;
use crate::engine::step::step::{Started, start_step};
use crate::engine::step::teacher::Teacher;
use crate::objective::{EmptyClasses, Objective};

/// Steps made before the first that counts: kernels are compiled and memory is taken on the first.
const WARM_UP: u64 = 3;

/// What was measured; `lcsl bench step --json` prints it.
#[derive(Debug, Serialize)]
pub struct StepFigures {
    /// Median over the steps of rank 0.
    pub seconds_per_step: f64,
    /// The fastest step.
    pub seconds_min: f64,
    /// The slowest step.
    pub seconds_max: f64,
    /// Images of all ranks in a median step, per second.
    pub images_per_second: f64,
    /// Seconds of a step, on average, in which rank 0 waited for images.
    pub data_seconds: f64,
    /// In which it computed.
    pub compute_seconds: f64,
    /// In which it did neither: candidates and gradients were on their way, or other ranks late.
    pub collective_seconds: f64,
    /// Steps that were timed.
    pub steps: u64,
    /// Images of a step over all ranks.
    pub batch_size: usize,
    /// Height and width of an image.
    pub image_size: usize,
    /// Of the networks.
    pub model: String,
    /// What is minimised.
    pub method: String,
    /// Arithmetic of forward and backward passes.
    pub precision: String,
    /// Ranks.
    pub world_size: usize,
    /// Threads of a rank.
    pub threads: usize,
    /// When the buckets of the last step were summed over ranks, on rank 0; none where there is one rank.
    pub buckets: Vec<BucketTimes>,
}

/// Why a step could not be timed.
#[derive(Debug, Error)]
pub enum BenchError {
    /// There is nothing to learn from.
    #[error(transparent)]
    DataModule(#[from] DataModuleError),
    /// A class has no image, and the criterion divides by its count.
    #[error(transparent)]
    EmptyClasses(#[from] EmptyClasses),
    /// A step failed.
    #[error(transparent)]
    Step(#[from] StepError),
    /// The ranks could not come together, or part, in good order.
    #[error("before or after the steps: {0}")]
    World(#[from] CollectiveError),
}

/// Makes and times `steps` steps of the run that `config` describes, with a teacher from the first
/// step on where the method has one. Every sum over ranks begins with a `delay`. Collective.
pub fn step(
    config: &RunConfig,
    mut world: Box<dyn Communicator>,
    device: Device,
    steps: u64,
    delay: Duration,
) -> Result<StepFigures, BenchError> {
    if !delay.is_zero() {
        world = Box::new(Delayed::new(world, delay));
    }
    let data_module = data_module::open(config)?;
    let objective = Objective::of(config, &data_module.train_counts)?;
    let mut source = build::batches(config, &objective, &data_module, world.as_ref(), device);
    let mut context =
        build::context(config, &objective, &data_module, world, Control::absent(), device)?;
    if objective.labels_itself() {
        let classes = data_module.class_names.len();
        let network = initial_network(config, classes, device, Role::FirstTeacher);
        context.teacher = Some(Teacher::of(&network, config.model.fc_norm));
    }
    // Whole batches only: the last one of an epoch may be smaller.
    let whole = (source.loader.plan.images / source.loader.plan.batch).max(1);
    let (mut seconds, mut before) = (Vec::new(), None);
    for number in 0..WARM_UP + steps {
        let (epoch, step) = (number / whole, number % whole);
        if step == 0 {
            context.rules.begin_epoch(&mut context.ledger);
        }
        let index = StepIndex { epoch, step, steps: source.loader.plan.steps() };
        let began = Instant::now();
        let started = start_step(&mut context, &mut source, index, config.train.lr)?;
        // As in training, the step before is read while this one is under way.
        if let Some(Started::UnderWay(step)) = before.replace(started) {
            step.finish(&mut context)?;
        }
        if number + 1 == WARM_UP {
            context.clock.lap();
        }
        if number >= WARM_UP {
            seconds.push(began.elapsed().as_secs_f64());
        }
    }
    if let Some(Started::UnderWay(step)) = before {
        step.finish(&mut context)?;
    }
    let lap = context.clock.lap();
    let buckets = context.reducer.bucket_times().to_vec();
    context.leave()?;
    seconds.sort_by(f64::total_cmp);
    let median = seconds[seconds.len() / 2];
    Ok(StepFigures {
        seconds_per_step: median,
        seconds_min: seconds[0],
        seconds_max: seconds[seconds.len() - 1],
        images_per_second: config.train.batch_size as f64 / median,
        data_seconds: lap.data / steps as f64,
        compute_seconds: lap.compute / steps as f64,
        collective_seconds: lap.collective / steps as f64,
        steps,
        batch_size: config.train.batch_size,
        image_size: config.data.image_size,
        model: config.model.name.to_string(),
        method: config.train.method.to_string(),
        precision: config.train.precision.to_string(),
        world_size: config.run.nproc,
        threads: config.run.threads,
        buckets,
    })
}
