//! Why a step could not be made.

use lcsl_collective::CollectiveError;
use lcsl_data::DataError;
use thiserror::Error;

use crate::admission::candidate::CandidateError;

/// Why a step could not be made.
#[derive(Debug, Error)]
pub enum StepError {
    /// An image could not be read.
    #[error(transparent)]
    Data(#[from] DataError),
    /// Ranks could not talk.
    #[error(transparent)]
    Collective(#[from] CollectiveError),
    /// Another rank sent nonsense.
    #[error(transparent)]
    Candidates(#[from] CandidateError),
    /// The loss is finite and its gradient is not: the next weights would be useless.
    #[error("the gradient is not finite, though the loss is ({loss})")]
    GradientNotFinite {
        /// Mixup loss and self-labelling loss (without α) together.
        loss: f64,
    },
    /// Batch normalisation would remember something that is not a number.
    #[error("{name} is not finite after {images} images")]
    StatisticsNotFinite {
        /// The first such buffer of the network.
        name: String,
        /// Images of the micro-batch over all ranks.
        images: u64,
    },
    /// The loss is infinite or not a number.
    #[error("the loss is not finite (mixup {loss_mix}, self-labelling {loss_self})")]
    NotFinite {
        /// Mixup loss, summed over ranks.
        loss_mix: f64,
        /// Self-labelling loss, summed over ranks.
        loss_self: f64,
        /// Whether it arose on this rank.
        here: bool,
    },
}
