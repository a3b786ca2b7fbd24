//! A run from its configuration to a rank that is ready for its first step, or for the step after
//! its checkpoint.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use lcsl_collective::control::{Control, Phase};
use lcsl_collective::order::SumOrder;
use lcsl_collective::{CollectiveError, Communicator};
use lcsl_config::{Admission, Protocol, QuotaRate, RefitMethod, RunConfig, TeacherName};
use tch::Device;

use crate::admission::{AdmissionDigest, AdmissionSettings, Ledger, Rules};
use crate::clock::Clock;
use crate::data_module::{self, DataModule};
use crate::engine::data::eval_set::EvalSets;
use crate::engine::data::normaliser::Normaliser;
use crate::engine::data::pinned::Pinner;
use crate::engine::data::train_batches::DatasetBatches;
use crate::engine::data::train_loader::{Decoding, TrainLoader};
use crate::engine::data::unlabelled::UnlabelledLoader;
use crate::engine::gradients::overlapped::BucketSettings;
use crate::engine::gradients::reducer::Reducer;
use crate::engine::network::Network;
use crate::engine::network::build::initial_network;
use crate::engine::network::initial;
use crate::engine::network::weights::Role;
use crate::engine::optim::Optimiser;
use crate::engine::optim::average::WeightAverage;
use crate::engine::run::error::TrainError;
use crate::engine::run::recorder::Recorders;
use crate::engine::run::restored;
use crate::engine::run::state::TrainState;
use crate::engine::run::steps::OpenStep;
use crate::engine::step::context::{StepContext, Task};
use crate::engine::step::teacher::Teacher;
use crate::faults::Faults;
use crate::objective::Objective;
use crate::plan::{self, EpochPlan};
use crate::run_dir::RunDir;
use crate::run_dir::checkpoint_writer::CheckpointWriter;
use crate::run_dir::checkpoints::{self, Best, Marks, Position};
use crate::run_dir::durable;
use crate::run_dir::totals::{LabelCounts, RunningTotals, UnlabelledCounts};

/// Everything that one rank's training consists of.
pub struct Run<'a> {
    /// What was asked for.
    pub config: &'a RunConfig,
    /// Where it goes.
    pub run_dir: &'a RunDir,
    /// What is minimised.
    pub objective: Objective,
    /// Whether the epoch at hand was set up; not yet where a run has just been opened.
    pub(super) is_set_up: bool,
    /// Images and classes.
    pub data_module: DataModule,
    /// Networks, optimiser, admission, world.
    pub context: StepContext,
    /// Training images.
    pub batches: DatasetBatches,
    /// How models are measured.
    pub eval_sets: EvalSets,
    /// The best model so far, as trained.
    pub best: Option<(Best, Network)>,
    /// The next step.
    pub position: Position,
    /// The last step, while what it came to is not in the books.
    pub(super) open_step: Option<OpenStep>,
    /// When a step was last put into the books.
    pub(super) booked_at: Instant,
    /// Sums for the reports.
    pub totals: RunningTotals,
    /// Training images skipped because their records are corrupt, by epoch and over all ranks.
    pub corrupt: Vec<u64>,
    /// How many unlabelled images were admitted.
    pub unlabelled: UnlabelledCounts,
    /// What the teacher's labels are like in the epoch at hand.
    pub labels: LabelCounts,
    /// Chain of admission decisions.
    pub admission_digest: AdmissionDigest,
    /// What is to go wrong; nothing, but in a test.
    pub faults: Faults,
    /// Where reports go.
    pub recorders: Recorders,
    /// Writes checkpoints.
    pub(super) writer: CheckpointWriter,
    /// When the last checkpoint was begun, or this attempt.
    pub(super) saved_at: Instant,
    /// How long training stood still for the checkpoint that is being written.
    pub(super) stall_seconds: f64,
}

impl<'a> Run<'a> {
    /// Opens the data of the configuration, and a run on it.
    pub fn open(
        config: &'a RunConfig,
        run_dir: &'a RunDir,
        world: Box<dyn Communicator>,
        control: Control,
        device: Device,
    ) -> Result<Self, TrainError> {
        Self::on_data(config, run_dir, data_module::open(config)?, world, control, device)
    }

    /// Builds networks; on resume goes back to the newest whole checkpoint. Collective in effect: all ranks see the
    /// same files and come to the same state.
    pub fn on_data(
        config: &'a RunConfig,
        run_dir: &'a RunDir,
        data_module: DataModule,
        world: Box<dyn Communicator>,
        control: Control,
        device: Device,
    ) -> Result<Self, TrainError> {
        let objective = Objective::of(config, &data_module.train_counts)?;
        plan::check_normalisation(config, data_module.train.indices.len() as u64)?;
        let classes = data_module.class_names.len();
        let batches = batches(config, &objective, &data_module, world.as_ref(), device);
        let eval_normaliser = normaliser(&data_module, device, batches.normaliser.pinner.clone());
        let is_first = world.rank() == 0;
        let mut run = Self {
            config,
            run_dir,
            eval_sets: EvalSets::new(config, data_module.shape, eval_normaliser),
            context: context(config, &objective, &data_module, world, control.clone(), device)
                .map_err(TrainError::Join)?,
            batches,
            best: None,
            is_set_up: false,
            position: Position::default(),
            open_step: None,
            booked_at: Instant::now(),
            totals: RunningTotals::default(),
            corrupt: Vec::new(),
            unlabelled: UnlabelledCounts::default(),
            labels: LabelCounts::default(),
            admission_digest: AdmissionDigest::default(),
            faults: Faults::NONE,
            recorders: Recorders::default(),
            writer: CheckpointWriter::new(run_dir, config.checkpoint.keep_last),
            saved_at: Instant::now(),
            stall_seconds: 0.0,
            objective,
            data_module,
        };
        let (marks, passed_over) = run.restore(classes)?;
        let redrawn = run.begin_with_weights()?;
        let log_every_steps = config.train.log_every_steps as u64;
        if is_first {
            let checkpoint = run.state().largest_bytes();
            durable::require_room(run_dir.root(), checkpoint, "write a checkpoint to")?;
            run.recorders = Recorders::open(run_dir, control, log_every_steps, &marks)?;
            run.report_passed_over(&passed_over)?;
            if let Some(text) = redrawn {
                run.recorders.notice(run.totals.seconds, &text)?;
            }
        }
        Ok(run)
    }

    /// Takes the first weights from a file, where that was asked for and no step was made; what a person should know
    /// of them.
    fn begin_with_weights(&mut self) -> Result<Option<String>, TrainError> {
        let path = &self.config.model.init;
        if path.is_empty() || self.position != Position::default() {
            return Ok(None);
        }
        let redrawn = initial::load(Path::new(path), &mut self.context.student)
            .map_err(|why| TrainError::InitialWeights { why })?;
        let trains_it = match self.config.refit.method {
            RefitMethod::Crt | RefitMethod::Balanced => true,
            RefitMethod::None | RefitMethod::Lws => self.config.train.epochs > 0,
        };
        match redrawn {
            Some(text) if !trains_it => {
                let why = format!("{text}, and nothing would train it");
                Err(TrainError::InitialWeights { why })
            }
            redrawn => Ok(redrawn),
        }
    }

    /// Goes back to the newest whole checkpoint, if there is one. Returns how much of
    /// `metrics.jsonl` is older than it, and why newer ones were passed over, a sentence each.
    ///
    /// Where there are checkpoints and none is whole, nothing is begun: the first step would cut the
    /// metrics to nothing, and the first checkpoint would remove what can perhaps be put back.
    fn restore(&mut self, classes: usize) -> Result<(Marks, Vec<String>), TrainError> {
        let (found, broken) = checkpoints::newest(self.run_dir)?;
        let Some(found) = found else {
            let nothing_lost = broken.is_empty();
            return nothing_lost
                .then(|| (Marks::default(), Vec::new()))
                .ok_or(TrainError::NoneWhole { broken });
        };
        let unusable = |why| TrainError::Checkpoint { path: found.directory.clone(), why };
        let fits = found.manifest.ledger.fits(classes)
            && found.manifest.position.step_in_epoch <= self.plan().steps();
        if !fits {
            return Err(unusable("its manifest is not of this dataset".to_owned()));
        }
        let tensors = restored::read(&found).map_err(unusable)?;
        self.best = found.manifest.best.map(|best| (best, self.context.student.frozen_copy()));
        self.state().restore(&tensors).map_err(unusable)?;
        if let Some(average) = &mut self.context.average {
            average.go_on();
        }
        if let Some((_, best)) = self.best.as_ref().filter(|_| self.objective.labels_itself()) {
            let network = self.context.latest.as_ref().unwrap_or(best);
            self.context.teacher = Some(Teacher::of(network, self.config.model.fc_norm));
        }
        let marks = found.manifest.all_marks();
        self.context.ledger = found.manifest.ledger;
        self.position = found.manifest.position;
        self.totals = found.manifest.totals;
        self.corrupt = found.manifest.corrupt;
        self.unlabelled = found.manifest.unlabelled;
        self.labels = found.manifest.labels;
        self.admission_digest = found.manifest.admission_digest;
        Ok((marks, broken))
    }
}

impl Run<'_> {
    /// How an epoch is cut.
    pub fn plan(&self) -> EpochPlan {
        self.batches.loader.plan
    }

    /// What checkpoints hold and ranks compare.
    pub fn state(&self) -> TrainState<'_> {
        TrainState::of(&self.context, self.best.as_ref())
    }
}

fn normaliser(data_module: &DataModule, device: Device, pinner: Option<Arc<Pinner>>) -> Normaliser {
    Normaliser::new(&data_module.normalisation, data_module.shape.channels, device, pinner)
}

/// The training images of one rank.
pub(crate) fn batches(
    config: &RunConfig,
    objective: &Objective,
    data_module: &DataModule,
    world: &dyn Communicator,
    device: Device,
) -> DatasetBatches {
    let (logical_ranks, seed) = (config.run.virtual_ranks, config.run.seed);
    let images = data_module.train.indices.len() as u64;
    let plan = EpochPlan::of(config, images);
    let block = plan::block(logical_ranks, world.world_size(), world.rank());
    let (decoding, pinner) = (Decoding::of(&config.data), Pinner::of(device));
    DatasetBatches {
        loader: TrainLoader::new(data_module, plan, block, seed, decoding, pinner.as_ref()),
        unlabelled: UnlabelledLoader::new(
            data_module,
            (config.data.unlabelled_ratio, images),
            seed,
            decoding,
            pinner.as_ref(),
        ),
        labels_unlabelled: objective.at(0).0.pseudo_labels.is_some(),
        mixing: objective.at(0).0.mixing,
        seed,
        normaliser: normaliser(data_module, device, pinner),
        sent: Vec::new(),
    }
}

/// Networks, optimiser and admission of one rank before its first step.
pub(crate) fn context(
    config: &RunConfig,
    objective: &Objective,
    data_module: &DataModule,
    mut world: Box<dyn Communicator>,
    control: Control,
    device: Device,
) -> Result<StepContext, CollectiveError> {
    let classes = data_module.class_names.len();
    let mut student = initial_network(config, classes, device, Role::Student);
    if config.train.sync_bn && world.world_size() > 1 {
        student.sync_batch_norm_over(world.as_mut())?;
    }
    let paper = config.train.protocol == Protocol::Paper;
    let labels_from_the_start = paper && objective.labels_itself();
    let teacher = labels_from_the_start.then(|| {
        Teacher::of(
            &initial_network(config, classes, device, Role::FirstTeacher),
            config.model.fc_norm,
        )
    });
    let latest_labels =
        objective.labels_itself() && config.admission.teacher == TeacherName::Latest;
    let latest = latest_labels.then(|| student.frozen_copy());
    let mut clock = Clock::new(control);
    clock.enter(Phase::Starting);
    let ledger = Ledger::new(classes);
    let admitted = vec![0.0; classes];
    let layout = (student.parameters.buffer.kind(), device);
    let task =
        Task::of(objective.at(0).0, paper, layout, (&data_module.train_counts, &admitted), &[]);
    Ok(StepContext {
        reducer: reducer(config, &student, world.as_mut())?,
        world,
        optimiser: Optimiser::of(
            &config.train,
            &student.parameters.buffer,
            student.layer_rates(config.train.layer_decay),
        ),
        clip_grad_norm: config.train.clip_grad_norm,
        sam_rho: config.train.sam_rho,
        average: (config.train.ema_decay > 0.0)
            .then(|| WeightAverage::of(&student, config.train.ema_decay)),
        student,
        teacher,
        latest,
        rules: Rules::new(&data_module.train_counts, settings(&config.admission)),
        ledger,
        task,
        clock,
        wants_checkpoint: false,
        reads_late: device.is_cuda(),
    })
}

/// How the gradients of what trains in `student` are summed over ranks. Collective.
pub(super) fn reducer(
    config: &RunConfig,
    student: &Network,
    world: &mut dyn Communicator,
) -> Result<Reducer, CollectiveError> {
    let order = if config.run.deterministic { SumOrder::Tree } else { SumOrder::Library };
    let mib = |mib: usize| mib << 20;
    let buckets = BucketSettings {
        ends_bytes: mib(config.run.first_bucket_mib),
        bytes: mib(config.run.bucket_mib),
    };
    Reducer::new(student, world, order, buckets)
}

fn settings(admission: &Admission) -> AdmissionSettings {
    AdmissionSettings {
        policy: admission.policy,
        classes: admission.classes,
        confidence: admission.conf,
        quantile: admission.quantile.0,
        alignment: admission.alignment.0,
        quota_rate: match admission.quota_rate {
            QuotaRate::Auto => None,
            QuotaRate::Millionths(rate) => Some(rate),
        },
        burst_steps: admission.burst_steps,
        share: admission.share.0,
        crest_alpha: admission.crest_alpha,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use lcsl_collective::solo::Solo;
    use lcsl_config::{Machine, parse_train};
    use lcsl_run_dir::exit::BAD_DATA;

    use super::*;
    use crate::engine::run::failure;

    fn config() -> RunConfig {
        let flags = [
            "--dataset=synthetic",
            "--set=data.synthetic_classes=3",
            "--set=data.synthetic_largest=16",
            "--imb_factor=0.5",
            "--image_size=16",
            "--method=ce",
            "--batch_size=8",
            "--epochs=1",
            "--gpu=cpu",
            "--set=checkpoint.every_steps=1",
            "--set=checkpoint.keep_last=2",
        ];
        parse_train(&flags.map(Into::into), &Machine { cores: 1, gpus: None }).unwrap().config
    }

    fn open<'a>(config: &'a RunConfig, run_dir: &'a RunDir) -> Result<Run<'a>, TrainError> {
        Run::open(config, run_dir, Box::new(Solo), Control::absent(), Device::Cpu)
    }

    /// Story: every checkpoint of a run was broken. With `--resume auto` it began at step 1, cut its
    /// metrics to nothing and removed the old checkpoints, and not a word was said.
    #[test]
    fn broken_checkpoints_are_passed_over_aloud_and_never_all_of_them() {
        let folder = tempfile::tempdir().unwrap();
        let (config, run_dir) = (config(), RunDir::at(folder.path()));
        open(&config, &run_dir).unwrap().train().unwrap();
        let mut kept: Vec<_> = fs::read_dir(run_dir.checkpoints())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        kept.sort();
        let [older, newer] = kept.as_slice() else { panic!("{kept:?}") };
        fs::write(newer.join("model.safetensors"), "cut").unwrap();
        drop(open(&config, &run_dir).unwrap());
        let metrics = fs::read_to_string(run_dir.metrics()).unwrap();
        let last: serde_json::Value =
            serde_json::from_str(metrics.lines().last().unwrap()).unwrap();
        assert_eq!(last["event"], "passed_over");
        let why = last["checkpoints"][0].as_str().unwrap();
        assert!(why.contains(newer.to_str().unwrap()) && why.contains("not whole"), "{why}");

        fs::remove_file(older.join("manifest.json")).unwrap();
        let Err(error) = open(&config, &run_dir) else { panic!("it began anew") };
        let failure = failure::of_training(&error);
        assert_eq!(failure.exit_code, i32::from(BAD_DATA));
        assert_eq!(failure.what.matches("is not whole").count(), 2, "{}", failure.what);
        assert_eq!(fs::read_to_string(run_dir.metrics()).unwrap(), metrics, "metrics were cut");
        assert!(older.exists() && newer.exists());
    }
}
