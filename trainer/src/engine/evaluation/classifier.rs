//! The classifiers that may end on top of a run's network.

use tch::Tensor;

use crate::engine::network::{Classifier, Network};
use crate::engine::step::teacher::{tau_normalise, with_normalised_classifier};

/// What is done with a classifier that has been trained.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum FinalClassifier {
    /// Nothing.
    AsTrained,
    /// Its rows are divided by their length to the power τ (Kang et al., ICLR 2020, section 4).
    Normalised {
        /// τ, over 0.
        tau: f64,
    },
    /// τ · ln n of each class's n training images is taken from its logits (Menon et al., ICLR 2021, section 4.1).
    Adjusted {
        /// τ, over 0.
        tau: f64,
    },
}

impl FinalClassifier {
    /// As `result.json` tells it: two exponents, of which at most one is over 0.
    pub(crate) fn of_exponents(normalisation: f64, adjustment: f64) -> Self {
        if normalisation > 0.0 {
            Self::Normalised { tau: normalisation }
        } else if adjustment > 0.0 {
            Self::Adjusted { tau: adjustment }
        } else {
            Self::AsTrained
        }
    }

    /// Exponents of normalisation and adjustment, the other way round.
    pub(crate) fn exponents(self) -> (f64, f64) {
        match self {
            Self::AsTrained => (0.0, 0.0),
            Self::Normalised { tau } => (tau, 0.0),
            Self::Adjusted { tau } => (0.0, tau),
        }
    }

    /// A network with this classifier; `counts` are training images by class.
    pub(crate) fn on(self, network: Network, counts: &[u64]) -> Network {
        match self {
            Self::AsTrained => network,
            Self::Normalised { tau } => with_normalised_classifier(&network, tau),
            Self::Adjusted { tau } => {
                let copy = network.frozen_copy();
                if let Some(bias) = copy.classifier().bias {
                    let _guard = tch::no_grad_guard();
                    bias.shallow_clone().copy_(&adjusted(bias, tau, counts));
                }
                copy
            }
        }
    }
}

/// A bias (classes) less τ · ln n.
fn adjusted(bias: &Tensor, tau: f64, counts: &[u64]) -> Tensor {
    let less: Vec<f64> = counts.iter().map(|n| tau * (*n as f64).ln()).collect();
    let less = Tensor::from_slice(&less).to_device(bias.device());
    (bias.to_kind(less.kind()) - less).to_kind(bias.kind())
}

/// The tensors of a classifier that has been changed.
pub(super) struct Changed {
    weight: Tensor,
    bias: Option<Tensor>,
}

impl Changed {
    /// `counts` are training images by class, none of which is 0 where logits are adjusted; then there is a bias.
    fn of(how: FinalClassifier, own: Classifier<'_>, counts: &[u64]) -> Self {
        let _guard = tch::no_grad_guard();
        let (mut weight, mut bias) =
            (own.weight.shallow_clone(), own.bias.map(Tensor::shallow_clone));
        match how {
            FinalClassifier::AsTrained => {}
            FinalClassifier::Normalised { tau } => weight = tau_normalise(&weight, tau),
            FinalClassifier::Adjusted { tau } => {
                bias = bias.map(|bias| adjusted(&bias, tau, counts));
            }
        }
        Self { weight, bias }
    }

    /// One of each of these.
    pub(super) fn each(
        forms: &[FinalClassifier],
        own: Classifier<'_>,
        counts: &[u64],
    ) -> Vec<Self> {
        forms.iter().map(|form| Self::of(*form, own, counts)).collect()
    }

    /// To compute logits with.
    pub(super) fn as_classifier(&self) -> Classifier<'_> {
        Classifier { weight: &self.weight, bias: self.bias.as_ref() }
    }
}
