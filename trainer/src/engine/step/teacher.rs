//! The preceding network, which labels mixed images.

use tch::Tensor;

use crate::engine::network::{Folded, Network};

/// The copy of the best model so far that labels.
///
/// Its classifier rows are divided by their L2 norm (τ-normalisation with τ = 1, Kang et al., ICLR
/// 2020), so that classes with few images are not at a disadvantage. It is derived once, when the
/// teacher changes; the model as trained is kept by the training loop.
#[derive(Debug)]
pub struct Teacher {
    labelling: Network,
    folded: Folded,
    normalise: bool,
}

/// What the teacher thinks of the images of one logical batch.
#[derive(Debug)]
pub struct PseudoLabels {
    /// Logits (N × classes), averaged over the image and its mirror image.
    pub logits: Tensor,
    /// The most probable class (N), i64.
    pub label: Tensor,
    /// Its probability (N), float32.
    pub confidence: Tensor,
}

impl PseudoLabels {
    /// The same tensors once more.
    #[must_use]
    pub fn shallow_clone(&self) -> Self {
        let Self { logits, label, confidence } = self;
        let [logits, label, confidence] = [logits, label, confidence].map(Tensor::shallow_clone);
        Self { logits, label, confidence }
    }
}

impl Teacher {
    /// Takes a copy of `model`. With `normalise` off, it labels with the classifier as it is.
    pub fn of(model: &Network, normalise: bool) -> Self {
        let tau = if normalise { 1.0 } else { 0.0 };
        let labelling = with_normalised_classifier(model, tau);
        let folded = Folded::of(&labelling);
        Self { labelling, folded, normalise }
    }

    /// From now on it is a copy of `model`, made as the first one was.
    pub fn follow(&mut self, model: &Network) {
        *self = Self::of(model, self.normalise);
    }

    /// The copy with the normalised classifier.
    pub fn labelling(&self) -> &Network {
        &self.labelling
    }

    /// Labels mixed images (N, H, W, 3): running statistics, no gradient, softmax at `temperature`.
    /// Images and mirror images go through the network as one batch. `offsets` (classes), the logarithm of
    /// a prior that the network has learnt, are taken from its logits.
    pub fn label(
        &self,
        mixed: &Tensor,
        temperature: f64,
        offsets: Option<&Tensor>,
    ) -> PseudoLabels {
        let _guard = tch::no_grad_guard();
        let mut logits = self.mirrored_logits(mixed);
        if let Some(offsets) = offsets {
            let _ = logits.g_sub_(offsets);
        }
        let probabilities = (&logits / temperature).softmax(-1, None);
        let (confidence, label) = probabilities.max_dim(1, false);
        PseudoLabels { logits, label, confidence: confidence.to_kind(tch::Kind::Float) }
    }

    /// Logits averaged over an image and its mirror image; N may be 0.
    fn mirrored_logits(&self, images: &Tensor) -> Tensor {
        let (count, network) = (images.size()[0], &self.labelling);
        if count == 0 {
            let classes = network.architecture().classes;
            return Tensor::zeros([0, classes], (images.kind(), images.device()));
        }
        let both = Tensor::cat(&[images, &images.flip([2])], 0);
        let features = self.folded.features(&both);
        let logits = network.classify(&features, network.classifier());
        (logits.narrow(0, 0, count) + logits.narrow(0, count, count)) / 2.0
    }
}

/// A frozen copy of `model` whose classifier is τ-normalised.
pub fn with_normalised_classifier(model: &Network, tau: f64) -> Network {
    let copy = model.frozen_copy();
    let _guard = tch::no_grad_guard();
    let weight = tau_normalise(copy.classifier_weight(), tau);
    copy.classifier_weight().shallow_clone().copy_(&weight);
    copy
}

/// Rows of the classifier divided by their L2 norm to the power τ; a zero row stays zero.
pub fn tau_normalise(weight: &Tensor, tau: f64) -> Tensor {
    let norm = (weight * weight).sum_dim_intlist(1_i64, true, None).sqrt();
    let divided = weight / norm.clamp_min(1e-38).pow_tensor_scalar(tau);
    divided.where_self(&norm.gt(0.0), weight)
}
