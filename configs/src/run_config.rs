//! The resolved configuration of one run. Each part lives in its own file; this one only gathers.

mod admission;
mod checkpoint;
mod data;
mod evaluation;
mod loss;
mod model;
mod refit;
mod run;
mod train;

use serde::{Deserialize, Serialize};

pub use admission::{Admission, AdmittedClasses, Millionths, Policy, QuotaRate, TeacherName};
pub use checkpoint::{Checkpoint, OnFailedCheckpoint};
pub use data::{
    Data, DataAugmentation, DatasetName, ImbalanceKind, OnCorrupt, SamplerName, StrongAugmentation,
    Unlabelled,
};
pub use evaluation::Evaluation;
pub use loss::{AdmittedLoss, Loss};
pub use model::{Head, Model, ModelName};
pub use refit::{Refit, RefitMethod};
pub use run::{Devices, Resume, Run};
pub use train::{
    CriterionName, Method, MixingName, Optimizer, Precision, Protocol, ScheduleName, Train,
    TrainableName,
};

/// Everything that one run needs to know, fully resolved: no `"auto"` is left, except
/// `admission.quota_rate`, which depends on the class counts and is resolved where these are known.
///
/// A value of this type comes from [`crate::parse_train`] or [`crate::load`], which check it; every
/// rank of a run loads the same `RUN_DIR/config.toml`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunConfig {
    /// Where and on what the run takes place.
    pub run: Run,
    /// Which images are learnt, and how they are selected.
    pub data: Data,
    /// The network.
    pub model: Model,
    /// The optimisation.
    pub train: Train,
    /// The constants of the criteria.
    pub loss: Loss,
    /// The last stage, in which the classifier alone trains.
    pub refit: Refit,
    /// Which self-labelled candidates are taken into the loss.
    pub admission: Admission,
    /// When the state is saved, and how much of it is kept.
    pub checkpoint: Checkpoint,
    /// How accuracy is measured.
    pub evaluation: Evaluation,
}
