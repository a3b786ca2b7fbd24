//! `[admission]`: which self-labelled candidates are taken into the loss.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::choice::choice;

/// Which self-labelled candidates are taken into the loss. All decisions are made in integers, so
/// that every rank and every language comes to the same ones.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Admission {
    /// How many of the confident candidates of a minority class are taken.
    pub policy: Policy,
    /// Which labels can be admitted.
    pub classes: AdmittedClasses,
    /// Whether mixed training images are candidates; without unlabelled images they are the only ones.
    pub mixed: bool,
    /// Who labels, once a model was selected.
    pub teacher: TeacherName,
    /// Epochs from the first in which nobody labels.
    pub after_epochs: u64,
    /// Whether a mixed image is a candidate only where its label is one of the two classes that were mixed.
    pub agreement: bool,
    /// A candidate's confidence is at least this, in [0, 1]; the published `lambda_init`.
    #[serde(serialize_with = "shortest")]
    pub conf: f32,
    /// Each class has a gate of its own besides: the confidence that this part of its candidates of the epoch before
    /// did not have, in [0, 1); 0 is none.
    pub quantile: Millionths,
    /// How much of what a class is given too often as a label, as a logarithm, is taken from its logits at an epoch's
    /// end, in [0, 1]; 0 is nothing (Berthelot et al., ICLR 2020, section 3.1).
    pub alignment: Millionths,
    /// The teacher's logits are divided by this before the softmax, above 0; the published `tau`.
    pub temperature: f64,
    /// Policy `quota`: the share of a class's deficit to the largest class that may be admitted in
    /// one epoch.
    pub quota_rate: QuotaRate,
    /// Policy `quota`: a class's bucket holds at most this many steps' worth of tokens, at least 1.
    pub burst_steps: u64,
    /// Policy `quota`: the part of a batch that all minority classes together may fill, in (0, 1]
    /// as written.
    pub share: Millionths,
    /// Policy `rate`: the exponent of the class's rate (Wei et al., CVPR 2021, section 3.3), at
    /// least 0.
    pub crest_alpha: f64,
}

choice! {
    /// How many of the confident candidates of a minority class are taken.
    Policy {
        /// All of them, as the published code does.
        Reference = "reference",
        /// As many as the class's token bucket holds.
        Quota = "quota",
        /// The class's rate of Wei et al., CVPR 2021, section 3.3, with exact integer credit.
        Rate = "rate",
    }
}

choice! {
    /// Which labels can be admitted.
    AdmittedClasses {
        /// Those of classes with fewer training images than the mean.
        Minority = "minority",
        /// All, as in `FixMatch` (Sohn et al., NeurIPS 2020) and `CReST` (Wei et al., CVPR 2021).
        All = "all",
    }
}

choice! {
    /// Who labels.
    TeacherName {
        /// The best model so far; it changes only at the end of an epoch.
        Best = "best",
        /// The model of the newest evaluation, good or not; with an evaluation after each epoch, that of the last
        /// epoch.
        Latest = "latest",
        /// The moving average of the weights, as it is at each step (`train.ema_decay`).
        Ema = "ema",
    }
}

/// A number of millionths. Written in TOML and on the command line as a fraction: 0.25 is
/// `Millionths(250_000)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Millionths(pub u64);

impl Millionths {
    /// One whole.
    pub const ONE: Self = Self(1_000_000);

    /// The nearest number of millionths to `fraction`, which is finite and not negative.
    pub fn from_fraction(fraction: f64) -> Self {
        Self((fraction * 1e6).round() as u64)
    }

    /// The fraction as it is written.
    pub fn fraction(self) -> f64 {
        self.0 as f64 / 1e6
    }
}

impl Serialize for Millionths {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_f64(self.fraction())
    }
}

impl<'de> Deserialize<'de> for Millionths {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Ok(Self::from_fraction(f64::deserialize(from)?))
    }
}

/// Policy `quota`: the share of a class's deficit that may be admitted in one epoch. Written
/// `"auto"` or a fraction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QuotaRate {
    /// Resolved where the class counts are known: all budgets together are at most half the training
    /// set.
    Auto,
    /// A fixed share, at most one whole.
    Millionths(u64),
}

impl Serialize for QuotaRate {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Auto => to.serialize_str("auto"),
            Self::Millionths(millionths) => Millionths(*millionths).serialize(to),
        }
    }
}

impl<'de> Deserialize<'de> for QuotaRate {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(QuotaRateVisitor)
    }
}

struct QuotaRateVisitor;

impl serde::de::Visitor<'_> for QuotaRateVisitor {
    type Value = QuotaRate;

    fn expecting(&self, formatter: &mut std::fmt::Formatter) -> std::fmt::Result {
        formatter.write_str("\"auto\" or a fraction")
    }

    fn visit_str<E: serde::de::Error>(self, word: &str) -> Result<QuotaRate, E> {
        match word {
            "auto" => Ok(QuotaRate::Auto),
            other => Err(E::invalid_value(serde::de::Unexpected::Str(other), &self)),
        }
    }

    fn visit_f64<E: serde::de::Error>(self, fraction: f64) -> Result<QuotaRate, E> {
        Ok(QuotaRate::Millionths(Millionths::from_fraction(fraction).0))
    }
}

/// Writes 0.1 as 0.1, where widening the float first would give 0.10000000149011612.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn shortest<S: Serializer>(value: &f32, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_f64(value.to_string().parse().expect("a float's own text is a float"))
}
