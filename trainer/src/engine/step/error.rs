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
    #[error("the loss is not finite ({})", losses(*loss_mix, *loss_self))]
    NotFinite {
        /// Loss on the labels, mixed or not, summed over ranks.
        loss_mix: f64,
        /// Self-labelling loss, summed over ranks; 0 where nothing was admitted or can be.
        loss_self: f64,
        /// Whether it arose on this rank.
        here: bool,
    },
}

/// A method without self-labelling has one loss, and so has a step that admitted nothing.
fn losses(loss_mix: f64, loss_self: f64) -> String {
    if loss_self == 0.0 {
        loss_mix.to_string()
    } else {
        format!("mixup {loss_mix}, self-labelling {loss_self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Story: with `--method ce` a run ended by "mixup NaN, self-labelling 0", of which it has neither.
    #[test]
    fn a_loss_that_is_one_loss_is_named_as_one() {
        let text = |loss_mix, loss_self| {
            StepError::NotFinite { loss_mix, loss_self, here: true }.to_string()
        };
        assert_eq!(text(f64::NAN, 0.0), "the loss is not finite (NaN)");
        let both = "the loss is not finite (mixup 1.5, self-labelling inf)";
        assert_eq!(text(1.5, f64::INFINITY), both);
    }
}
