//! What turns features into logits.

use std::ops::Range;

use tch::Tensor;

use super::Architecture;
use super::backbones::layers::Slots;

/// What a classifier computes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum HeadForm {
    /// Products with the rows of a weight, and a bias.
    Linear,
    /// Cosines of the angles between features and the rows of a weight, times a scale; no bias (the head of LDAM,
    /// Cao et al., NeurIPS 2019, section 3.2).
    Cosine {
        /// By what cosines are multiplied: logits lie within it.
        scale: f64,
    },
}

/// What a head computes logits with.
#[derive(Debug, Clone, Copy)]
pub struct Classifier<'a> {
    /// Its rows (classes × features); what τ-normalisation divides.
    pub weight: &'a Tensor,
    /// What is added (classes); a cosine head has none.
    pub bias: Option<&'a Tensor>,
}

/// A classifier: slots of its weight (classes × features) and, if it has one, its bias (classes), the last ones of a
/// network.
#[derive(Debug, Clone, Copy)]
pub struct Head {
    weight: usize,
    form: SlottedForm,
}

#[derive(Debug, Clone, Copy)]
enum SlottedForm {
    Linear { bias: usize },
    Cosine { scale: f64 },
}

/// No vector is divided by less than this length, as in `torch.nn.functional.normalize`.
const SHORTEST: f64 = 1e-12;

impl Head {
    /// Reserves its slots behind those of the backbone, under PyTorch's names.
    pub(super) fn lay_out(slots: &mut Slots, architecture: &Architecture) -> Self {
        let (features, classes) = (architecture.features(), architecture.classes);
        let name = architecture.head_name();
        let weight = slots.parameter(&format!("{name}.weight"), &[classes, features]);
        let form = match architecture.head {
            HeadForm::Linear => {
                SlottedForm::Linear { bias: slots.parameter(&format!("{name}.bias"), &[classes]) }
            }
            HeadForm::Cosine { scale } => SlottedForm::Cosine { scale },
        };
        Self { weight, form }
    }

    /// Logits (images × classes) of features under a classifier, which may be another one than its own.
    pub fn logits(&self, features: &Tensor, classifier: Classifier<'_>) -> Tensor {
        let Classifier { weight, bias } = classifier;
        match self.form {
            SlottedForm::Linear { .. } => features.linear(weight, bias),
            SlottedForm::Cosine { scale } => {
                let unit = |rows: &Tensor| {
                    let length = (rows * rows).sum_dim_intlist(1_i64, true, None).sqrt();
                    rows / length.clamp_min(SHORTEST)
                };
                unit(features).linear(&unit(weight), None::<&Tensor>) * scale
            }
        }
    }

    /// What lies in its slots.
    pub fn classifier<'a>(&self, parameters: &'a [Tensor]) -> Classifier<'a> {
        let bias = match self.form {
            SlottedForm::Linear { bias } => Some(&parameters[bias]),
            SlottedForm::Cosine { .. } => None,
        };
        Classifier { weight: &parameters[self.weight], bias }
    }

    /// Its slots.
    pub fn slots(&self) -> Range<usize> {
        match self.form {
            SlottedForm::Linear { bias } => self.weight..bias + 1,
            SlottedForm::Cosine { .. } => self.weight..self.weight + 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;
    use crate::engine::network::VitForm;

    fn of(weight: &Tensor) -> Classifier<'_> {
        Classifier { weight, bias: None }
    }

    /// As `torch.nn.functional.linear(normalize(x), normalize(w))` computes it; lengths change nothing, so neither
    /// does τ-normalisation, and a teacher's classifier is the one that was trained.
    #[test]
    fn a_cosine_head_sees_directions_only() {
        let mut slots = Slots::default();
        let form = VitForm { image_size: 8, patch: 8, width: 2, depth: 0, heads: 1, hidden: 1 };
        let architecture = Architecture::vit(form, 3).with_head(HeadForm::Cosine { scale: 30.0 });
        let head = Head::lay_out(&mut slots, &architecture);
        assert_eq!(head.slots(), 0..1, "it has no bias");
        let weight = Tensor::from_slice(&[3.0_f64, 4.0, 0.0, 2.0, -1.0, 0.0]).view([3, 2]);
        let features = Tensor::from_slice(&[6.0_f64, 8.0, 0.0, 0.0]).view([2, 2]);
        let logits = head.logits(&features, of(&weight));
        let expected = [30.0, 24.0, -18.0, 0.0, 0.0, 0.0];
        for (found, expected) in
            Vec::<f64>::try_from(logits.view([-1])).unwrap().iter().zip(expected)
        {
            assert!((found - expected).abs() < 1e-12, "{found} and not {expected}");
        }
        let longer = Tensor::from_slice(&[0.1_f64, 7.0, 2.0]).view([3, 1]);
        let again = head.logits(&(&features * 5.0), of(&(&weight * longer)));
        let apart = (&again - &logits).abs().max().double_value(&[]);
        assert!(apart < 1e-12, "apart by {apart}");
        let none = Tensor::zeros([0, 2], (Kind::Double, Device::Cpu));
        assert_eq!(head.logits(&none, of(&weight)).size(), [0, 3]);
    }
}
