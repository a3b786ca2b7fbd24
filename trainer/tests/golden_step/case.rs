//! A stored case: its configuration, its tensors, and what has to come out.

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;

use lcsl_config::{AdmittedClasses, Policy};
use lcsl_data::DataError;
use lcsl_trainer::admission::AdmissionSettings;
use lcsl_trainer::engine::data::local_batch::{BatchSource, LogicalBatch, StepIndex};
#[cfg(feature = "winograd")]
use lcsl_trainer::engine::native::winograd;
use lcsl_trainer::engine::network::{Architecture, Shortcut};
use serde::Deserialize;
use tch::{Kind, Tensor};

use crate::device::device;

/// All cases; a missing one is a failure.
pub(crate) const NAMES: [&str; 12] = [
    "one_rank",
    "one_rank_clean_forward",
    "one_rank_option_b",
    "four_ranks",
    "three_ranks_uneven",
    "empty_part",
    "four_ranks_quota",
    "four_ranks_rate",
    "two_epochs",
    "accumulate",
    "temperature_alpha",
    "wide",
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Precision {
    Single,
    Double,
}

impl Precision {
    pub(crate) fn kind(self) -> Kind {
        if self == Precision::Double { Kind::Double } else { Kind::Float }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Precision::Double { "float64" } else { "float32" })
    }
}

#[derive(Debug, Deserialize)]
pub(crate) struct CaseConfig {
    pub(crate) alpha: f64,
    pub(crate) conf: f32,
    pub(crate) temperature: f64,
    pub(crate) lr: f64,
    pub(crate) momentum: f64,
    pub(crate) weight_decay: f64,
    pub(crate) policy: String,
    pub(crate) quota_rate: u64,
    pub(crate) burst_steps: u64,
    pub(crate) share: u64,
    pub(crate) crest_alpha: f64,
    pub(crate) clean_forward: bool,
    pub(crate) option: String,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Expected {
    pub(crate) loss_mix: f64,
    pub(crate) loss_self: f64,
    pub(crate) loss: f64,
    pub(crate) admitted_keys: Vec<u64>,
    pub(crate) admitted_epoch: Vec<u64>,
    pub(crate) admitted_total: Vec<u64>,
    pub(crate) tokens: Vec<u64>,
    pub(crate) credit: Vec<u64>,
}

#[derive(Debug, Deserialize)]
struct Sheet {
    config: CaseConfig,
    ranks: usize,
    classes: i64,
    counts: Vec<u64>,
    depth_n: usize,
    width: i64,
    accumulate: usize,
    epoch_steps: u64,
    steps: Vec<Expected>,
    steps_f64: Vec<Expected>,
}

pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) precision: Precision,
    pub(crate) config: CaseConfig,
    pub(crate) logical_ranks: usize,
    pub(crate) counts: Vec<u64>,
    pub(crate) architecture: Architecture,
    pub(crate) accumulate: usize,
    pub(crate) epoch_steps: u64,
    pub(crate) steps: Vec<Expected>,
    pub(crate) tensors: HashMap<String, Tensor>,
    /// Images of each micro-batch that were planned and never come.
    pub(crate) missing: u64,
}

pub(crate) fn folder() -> PathBuf {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden");
    std::env::var_os("LCSL_GOLDEN_DIR").map_or_else(|| PathBuf::from(beside), PathBuf::from)
}

/// The world sizes that divide a case's logical ranks; one where the case cannot even be read, so
/// that the trial exists and fails.
pub(crate) fn world_sizes(name: &str) -> Vec<usize> {
    let ranks = sheet(name).map_or(1, |sheet| sheet.ranks);
    (1..=ranks).filter(|size| ranks.is_multiple_of(*size)).collect()
}

/// Whose convolutions all stages of a network meet, to be read in the name of the trial; nothing where only
/// the last ones are wide enough for fast ones, or the precision has none.
pub(crate) fn convolutions(name: &str, precision: Precision) -> &'static str {
    let width = sheet(name).map_or(0, |sheet| sheet.width);
    if precision == Precision::Double || width == 0 || width % 16 != 0 {
        return "";
    }
    #[cfg(feature = "winograd")]
    if winograd::suits(&[width, width, 3, 3], 1, precision.kind(), device()) {
        return "_by_winograd";
    }
    "_by_libtorch"
}

fn sheet(name: &str) -> Result<Sheet, String> {
    let path = folder().join(format!("{name}.json"));
    let text = std::fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    serde_json::from_slice(&text).map_err(|error| format!("{}: {error}", path.display()))
}

impl Case {
    pub(crate) fn load(name: &str, precision: Precision) -> Result<Self, String> {
        let Sheet { config, ranks, classes, counts, depth_n, width, .. } = sheet(name)?;
        let Sheet { accumulate, epoch_steps, steps, steps_f64, .. } = sheet(name)?;
        let (suffix, steps) = match precision {
            Precision::Single => ("", steps),
            Precision::Double => (".f64", steps_f64),
        };
        let path = folder().join(format!("{name}{suffix}.safetensors"));
        let tensors = Tensor::read_safetensors(&path)
            .map_err(|error| format!("{}: {error}", path.display()))?;
        let shortcut = if config.option == "A" { Shortcut::Pad } else { Shortcut::SHORTCUT };
        Ok(Self {
            name: name.to_owned(),
            precision,
            config,
            logical_ranks: ranks,
            counts,
            architecture: Architecture::cifar(depth_n, width, shortcut, classes),
            accumulate,
            epoch_steps,
            steps,
            tensors: tensors.into_iter().map(|(name, it)| (name, it.to_device(device()))).collect(),
            missing: 0,
        })
    }

    pub(crate) fn tensor(&self, name: &str) -> Result<Tensor, String> {
        let found = self.tensors.get(name).map(Tensor::shallow_clone);
        found.ok_or_else(|| format!("{}: there is no tensor {name}", self.name))
    }

    pub(crate) fn settings(&self) -> AdmissionSettings {
        let config = &self.config;
        AdmissionSettings {
            classes: AdmittedClasses::Minority,
            policy: config
                .policy
                .parse::<Policy>()
                .expect("the specification names policies as we do"),
            confidence: config.conf,
            quantile: 0,
            alignment: 0,
            quota_rate: Some(config.quota_rate),
            burst_steps: config.burst_steps,
            share: config.share,
            crest_alpha: config.crest_alpha,
        }
    }

    pub(crate) fn index(&self, step: usize) -> StepIndex {
        let step = step as u64;
        StepIndex {
            epoch: step / self.epoch_steps,
            step: step % self.epoch_steps,
            steps: self.epoch_steps,
        }
    }

    pub(crate) fn prefix(step: usize, micro: usize, logical_rank: usize) -> String {
        format!("step{step}.micro{micro}.rank{logical_rank}.")
    }

    fn logical_size(&self, step: usize, micro: usize, logical_rank: usize) -> u64 {
        let name = Self::prefix(step, micro, logical_rank) + "labels";
        self.tensors.get(&name).map_or(0, |labels| labels.size()[0] as u64)
    }

    fn micro_size(&self, step: usize, micro: usize) -> u64 {
        (0..self.logical_ranks).map(|rank| self.logical_size(step, micro, rank)).sum()
    }

    /// Keys count up from 0 at the start of each epoch, over ranks, micro-batches and steps.
    fn first_key(&self, step: usize, micro: usize, logical_rank: usize) -> u64 {
        let epoch_start = step - step % self.epoch_steps as usize;
        let earlier_steps: u64 = (epoch_start..step)
            .flat_map(|step| (0..self.accumulate).map(move |micro| (step, micro)))
            .map(|(step, micro)| self.micro_size(step, micro))
            .sum();
        let earlier_micros: u64 = (0..micro).map(|micro| self.micro_size(step, micro)).sum();
        let earlier_ranks: u64 =
            (0..logical_rank).map(|rank| self.logical_size(step, micro, rank)).sum();
        earlier_steps + earlier_micros + earlier_ranks
    }
}

/// Supplies a rank with the stored logical batches of its logical ranks.
pub(crate) struct StoredBatches<'a> {
    pub(crate) case: &'a Case,
    pub(crate) block: std::ops::Range<usize>,
}

impl StoredBatches<'_> {
    fn step_of(&self, index: StepIndex) -> usize {
        (index.epoch * self.case.epoch_steps + index.step) as usize
    }

    fn logical_batch(
        &self,
        step: usize,
        micro: usize,
        logical_rank: usize,
    ) -> Result<LogicalBatch, String> {
        let prefix = Case::prefix(step, micro, logical_rank);
        let tensor = |name: &str| self.case.tensor(&format!("{prefix}{name}"));
        let labels = tensor("labels")?;
        let first_key = self.case.first_key(step, micro, logical_rank);
        Ok(LogicalBatch {
            images: tensor("images")?.permute([0, 2, 3, 1]).contiguous(),
            keys: (first_key..).take(labels.size()[0] as usize).collect(),
            permutation: tensor("perm")?,
            patch: None,
            unlabelled: None,
            mixing: mixing(tensor("lam")?.double_value(&[]), labels.size()[0], self.case.precision),
            labels,
        })
    }
}

/// Weights of each image and of its partner (N × 2).
fn mixing(lambda: f64, images: i64, precision: Precision) -> Tensor {
    let weights = Tensor::from_slice(&[lambda, 1.0 - lambda]).expand([images, 2], false);
    weights.to_kind(precision.kind()).to_device(device())
}

impl BatchSource for StoredBatches<'_> {
    fn micro_batches(&self) -> usize {
        self.case.accumulate
    }

    fn global_images(&self, index: StepIndex, micro: usize) -> u64 {
        self.case.micro_size(self.step_of(index), micro) + self.case.missing
    }

    fn batches(&mut self, index: StepIndex, micro: usize) -> Result<Vec<LogicalBatch>, DataError> {
        let step = self.step_of(index);
        let parts = self.block.clone().map(|logical| self.logical_batch(step, micro, logical));
        Ok(parts.collect::<Result<_, _>>().expect("the case was checked to be complete"))
    }
}
