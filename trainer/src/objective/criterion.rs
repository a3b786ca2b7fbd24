//! Criteria: how far logits are from a target.

/// The loss of one target, with the constants that follow from class counts, in float64.
///
/// The arithmetic is `engine::step::criterion`, a file for each. A criterion sees logits (N × C) and
/// targets (N × K: the image's class, its partner's, the pseudo-label) and gives losses (N × K);
/// weights (N × K) come after it, so none knows of mixing, pseudo-labels or class weights.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Criterion {
    /// −log softmax of the target's logit.
    CrossEntropy,
}
