//! What turns features into logits.

use std::ops::Range;

use tch::Tensor;

use super::backbones::layers::Slots;

/// A linear classifier: slots of its weight (classes × features) and bias (classes), the last ones of a
/// network.
#[derive(Debug, Clone, Copy)]
pub struct Head {
    weight: usize,
    bias: usize,
}

impl Head {
    /// Reserves its slots behind those of the backbone, under PyTorch's names.
    pub(super) fn lay_out(slots: &mut Slots, features: i64, classes: i64) -> Self {
        let weight = slots.parameter("fc.weight", &[classes, features]);
        let bias = slots.parameter("fc.bias", &[classes]);
        Self { weight, bias }
    }

    /// Logits (images × classes) of features, with this weight (classes × features) in place of its own.
    pub fn logits(&self, features: &Tensor, weight: &Tensor, parameters: &[Tensor]) -> Tensor {
        features.linear(weight, Some(&parameters[self.bias]))
    }

    /// Its weight (classes × features); the rows are what τ-normalisation divides.
    pub fn weight<'a>(&self, parameters: &'a [Tensor]) -> &'a Tensor {
        &parameters[self.weight]
    }

    /// Its slots.
    pub fn slots(&self) -> Range<usize> {
        self.weight..self.bias + 1
    }
}
