//! A run from its configuration to a rank that is ready for its first step, or for the step after
//! its checkpoint.

use std::sync::Arc;

use lcsl_collective::control::{Control, Phase};
use lcsl_collective::order::SumOrder;
use lcsl_collective::placement;
use lcsl_collective::{CollectiveError, Communicator};
use lcsl_config::{Admission, Devices, Method, Protocol, QuotaRate, RunConfig};
use tch::{Device, Kind};

use super::checkpoint;
use super::cuda;
use super::evaluate::Exams;
use super::feed::{DatasetFeed, Mixing, Normaliser};
use super::journal::Journal;
use super::network::weights::{self, Role};
use super::network::{Architecture, Network};
use super::overlap;
use super::pinned::Pinner;
use super::reduction::Reduction;
use super::sgd::Sgd;
use super::shim;
use super::step::Rank;
use super::supply::{Decoding, Supply};
use super::teacher::Teacher;
use super::train::TrainError;
use crate::admission::{AdmissionDigest, Ledger, Rules, Settings};
use crate::clock::Clock;
use crate::injection::Injection;
use crate::material::{self, Material};
use crate::plan::{self, EpochPlan};
use crate::run_dir::RunDir;
use crate::run_dir::checkpoints::{self, Best, Position, Tally};

/// Everything that one rank's training consists of.
pub struct Run<'a> {
    /// What was asked for.
    pub config: &'a RunConfig,
    /// Where it goes.
    pub run_dir: &'a RunDir,
    /// Images and classes.
    pub material: Material,
    /// How an epoch is cut.
    pub plan: EpochPlan,
    /// Networks, optimiser, admission, world.
    pub rank: Rank,
    /// Training images.
    pub feed: DatasetFeed,
    /// How models are measured.
    pub exams: Exams,
    /// The best model so far, as trained.
    pub best: Option<(Best, Network)>,
    /// The next step.
    pub position: Position,
    /// Sums for the reports.
    pub tally: Tally,
    /// Training images left out because their records are corrupt, by epoch and over all ranks.
    pub corrupt: Vec<u64>,
    /// Chain of admission decisions.
    pub admission_digest: AdmissionDigest,
    /// A fault that a test has asked for.
    pub injection: Option<Injection>,
    /// Reports; rank 0 alone.
    pub journal: Option<Journal>,
}

/// Sets how many threads libtorch uses in this process, whose own default is all cores, and lets it
/// keep the memory that it frees between two steps.
pub fn set_up_libtorch(threads: usize) {
    if !shim::keep_freed_memory() {
        tracing::warn!("the allocator gives freed memory back to the system; steps will be slower");
    }
    tch::set_num_threads(threads as i32);
    tch::set_num_interop_threads(1);
}

/// The device of a rank: its GPU among those that this process sees.
pub fn device(config: &RunConfig, local_rank: usize) -> Result<Device, TrainError> {
    let Devices::Gpus(listed) = &config.run.gpu else {
        return Ok(Device::Cpu);
    };
    let visible = tch::Cuda::device_count().max(0) as usize;
    match placement::ordinal(local_rank, listed, visible, is_narrowed()) {
        Some(ordinal) => Ok(Device::Cuda(ordinal)),
        None => {
            Err(TrainError::NoDevice { why: cuda::trouble().unwrap_or("the driver shows none") })
        }
    }
}

/// What a person calls a device: `cpu`, or the number of a GPU in the list that was given.
pub fn device_name(config: &RunConfig, device: Device) -> String {
    match (device, &config.run.gpu) {
        (Device::Cuda(ordinal), Devices::Gpus(listed)) => {
            placement::device_name(ordinal, listed, is_narrowed())
        }
        _ => "cpu".to_owned(),
    }
}

/// Whether a launcher has left this process only the GPUs listed.
fn is_narrowed() -> bool {
    std::env::var_os(placement::NARROWED_VARIABLE).is_some()
}

/// The network of a configuration, with its initial weights.
pub fn initial_network(config: &RunConfig, classes: usize, device: Device, role: Role) -> Network {
    let architecture = Architecture::named(config.model.name, classes as i64);
    let trains = role == Role::Student;
    let mut network = Network::zeros(&architecture, Kind::Float, device, trains);
    weights::initialise(&mut network, config.run.seed, role);
    network
}

impl<'a> Run<'a> {
    /// Opens data and builds networks; on resume goes back to the newest whole checkpoint.
    /// Collective in effect: all ranks see the same files and come to the same state.
    pub fn open(
        config: &'a RunConfig,
        run_dir: &'a RunDir,
        world: Box<dyn Communicator>,
        control: Control,
        device: Device,
    ) -> Result<Self, TrainError> {
        let material = material::open(config)?;
        let classes = material.class_names.len();
        let feed = feed(config, &material, world.as_ref(), device);
        let exams_normaliser = normaliser(&material, device, feed.normaliser.pinner.clone());
        let is_first = world.rank() == 0;
        let mut run = Self {
            config,
            run_dir,
            exams: Exams::new(config, material.shape, exams_normaliser),
            rank: rank(config, &material, world, control.clone(), device)
                .map_err(TrainError::Join)?,
            plan: feed.plan,
            feed,
            best: None,
            position: Position::default(),
            tally: Tally::default(),
            corrupt: Vec::new(),
            admission_digest: AdmissionDigest::default(),
            injection: Injection::from_environment(),
            journal: None,
            material,
        };
        let metrics_bytes = run.restore(classes)?;
        if is_first {
            run.journal = Some(Journal::open(run_dir, control, metrics_bytes)?);
        }
        Ok(run)
    }

    /// Goes back to the newest whole checkpoint, if there is one. Returns how much of
    /// `metrics.jsonl` is older than it.
    fn restore(&mut self, classes: usize) -> Result<u64, TrainError> {
        let (found, broken) = checkpoints::newest(self.run_dir)?;
        for sentence in broken {
            tracing::warn!("{sentence}; going back to an older one");
        }
        let Some(found) = found else { return Ok(0) };
        let unusable = |why| TrainError::Checkpoint { path: found.directory.clone(), why };
        let fits = found.manifest.ledger.fits(classes)
            && found.manifest.position.step_in_epoch <= self.plan.steps();
        if !fits {
            return Err(unusable("its manifest is not of this dataset".to_owned()));
        }
        let tensors = checkpoint::read(&found).map_err(unusable)?;
        tensors.load("student", &mut self.rank.student).map_err(unusable)?;
        let optimiser = &mut self.rank.optimiser;
        tensors.load_velocity(&mut optimiser.velocity, &self.rank.student).map_err(unusable)?;
        if let Some(best) = found.manifest.best {
            let device = self.rank.student.parameters.buffer.device();
            let mut network = initial_network(self.config, classes, device, Role::FirstTeacher);
            tensors.load("best", &mut network).map_err(unusable)?;
            if material::labels_itself(self.config.train.method) {
                self.rank.teacher = Some(Teacher::of(&network, self.config.model.fc_norm));
            }
            self.best = Some((best, network));
        }
        self.rank.ledger = found.manifest.ledger;
        self.position = found.manifest.position;
        self.tally = found.manifest.tally;
        self.corrupt = found.manifest.corrupt;
        self.admission_digest = found.manifest.admission_digest;
        Ok(found.manifest.metrics_bytes)
    }
}

fn normaliser(material: &Material, device: Device, pinner: Option<Arc<Pinner>>) -> Normaliser {
    Normaliser::new(&material.normalisation, material.shape.channels, device, pinner)
}

/// The training images of one rank.
pub(super) fn feed(
    config: &RunConfig,
    material: &Material,
    world: &dyn Communicator,
    device: Device,
) -> DatasetFeed {
    let (logical_ranks, seed) = (config.run.virtual_ranks, config.run.seed);
    let images = material.train.indices.len() as u64;
    let plan = EpochPlan { images, batch: config.train.batch_size as u64, logical_ranks };
    let block = plan::block(logical_ranks, world.world_size(), world.rank());
    let (decoding, pinner) = (Decoding::of(&config.data), Pinner::of(device));
    DatasetFeed {
        plan,
        supply: Supply::new(material, plan, block.clone(), seed, decoding, pinner.clone()),
        block,
        mixing: if config.train.method == Method::Ce { Mixing::None } else { Mixing::Mixup },
        seed,
        normaliser: normaliser(material, device, pinner),
        sent: Vec::new(),
    }
}

/// Networks, optimiser and admission of one rank before its first step.
pub(super) fn rank(
    config: &RunConfig,
    material: &Material,
    mut world: Box<dyn Communicator>,
    control: Control,
    device: Device,
) -> Result<Rank, CollectiveError> {
    let classes = material.class_names.len();
    let mut student = initial_network(config, classes, device, Role::Student);
    if config.train.sync_bn && world.world_size() > 1 {
        student.normalise_across(world.duplicate()?);
    }
    let paper = config.train.protocol == Protocol::Paper;
    let labels_from_the_start = paper && material::labels_itself(config.train.method);
    let teacher = labels_from_the_start.then(|| {
        Teacher::of(
            &initial_network(config, classes, device, Role::FirstTeacher),
            config.model.fc_norm,
        )
    });
    let (momentum, weight_decay) = (config.train.momentum, config.train.weight_decay);
    let mut clock = Clock::new(control);
    clock.enter(Phase::Starting);
    let order = if config.run.deterministic { SumOrder::Tree } else { SumOrder::Library };
    let mib = |mib: usize| mib << 20;
    let buckets = overlap::Settings {
        ends_bytes: mib(config.run.first_bucket_mib),
        bytes: mib(config.run.bucket_mib),
    };
    Ok(Rank {
        reduction: Reduction::new(&student, world.as_mut(), order, buckets)?,
        world,
        optimiser: Sgd::new(&student.parameters.buffer, momentum, weight_decay),
        student,
        teacher,
        rules: Rules::new(&material.train_counts, settings(&config.admission)),
        ledger: Ledger::new(classes),
        alpha: config.train.alpha,
        temperature: config.admission.temperature,
        clean_forward: paper,
        clock,
    })
}

fn settings(admission: &Admission) -> Settings {
    Settings {
        policy: admission.policy,
        confidence: admission.conf,
        quota_rate: match admission.quota_rate {
            QuotaRate::Auto => None,
            QuotaRate::Millionths(rate) => Some(rate),
        },
        burst_steps: admission.burst_steps,
        share: admission.share.0,
        crest_alpha: admission.crest_alpha,
    }
}
