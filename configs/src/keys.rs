//! What a key is. The table itself is in [`KEYS`]; the command line, the type checks, the help and
//! the completeness test of `default.toml` all follow from it, so that a new setting is one entry
//! there and one field in its struct.

mod table;

use std::fmt;
use std::ops::Bound;

pub use table::KEYS;

/// One setting.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// Its path in TOML and for `--set`, such as `train.lr`.
    pub path: &'static str,
    /// What values it takes.
    pub kind: KeyKind,
    /// Whether `"auto"` may stand for the value.
    pub auto: bool,
    /// The names of its flags, the preferred one first; empty where only `--set` and files reach
    /// it.
    pub flags: &'static [&'static str],
    /// One line of help.
    pub help: &'static str,
}

impl Key {
    const fn new(path: &'static str, kind: KeyKind, help: &'static str) -> Self {
        Self { path, kind, auto: false, flags: &[], help }
    }

    const fn or_auto(mut self) -> Self {
        self.auto = true;
        self
    }

    const fn flags(mut self, flags: &'static [&'static str]) -> Self {
        self.flags = flags;
        self
    }

    /// The table of TOML that holds the key, which is also its group in the help: `train` for
    /// `train.lr`.
    pub fn section(&self) -> &'static str {
        self.path.split_once('.').map_or(self.path, |(section, _)| section)
    }

    /// The key's name inside its section: `lr` for `train.lr`.
    pub fn name(&self) -> &'static str {
        self.path.split_once('.').map_or(self.path, |(_, name)| name)
    }
}

/// What values a key takes.
#[derive(Debug, Clone, Copy)]
pub enum KeyKind {
    /// `true` or `false`; a bare flag means `true`.
    Switch,
    /// A switch that may also be written as a number, which is on when above 0 (the published
    /// `fc_norm`).
    SwitchOrNumber,
    /// A whole number from the first to the second, both included.
    Integer(u64, u64),
    /// A finite number in a range.
    Number(Range),
    /// Any text.
    Text,
    /// Text that is not empty.
    Path,
    /// One of these words; `-` and `_`, capitals and small letters are alike.
    Choice(&'static [&'static str]),
    /// `cpu`, or ordinals separated by commas; in TOML a single ordinal may be a number.
    Devices,
}

impl KeyKind {
    /// The kind in a word or two, as help and messages write it: "float", "integer", "one of lcsl,
    /// mixup, ce".
    pub fn expected(&self) -> String {
        match self {
            Self::Switch => "true or false".into(),
            Self::SwitchOrNumber => "true, false or a float".into(),
            Self::Integer(..) => "an integer".into(),
            Self::Number(_) => "a float".into(),
            Self::Text | Self::Path => "text".into(),
            Self::Choice([word]) => (*word).into(),
            Self::Choice(words) => format!("one of {}", words.join(", ")),
            Self::Devices => "cpu or ordinals separated by commas, such as 0,1".into(),
        }
    }
}

/// The numbers between two bounds.
#[derive(Debug, Clone, Copy)]
pub struct Range {
    /// The lower end.
    pub low: Bound<f64>,
    /// The upper end.
    pub high: Bound<f64>,
}

impl Range {
    /// Whether `number` lies between the bounds.
    pub fn contains(&self, number: f64) -> bool {
        std::ops::RangeBounds::contains(&(self.low, self.high), &number)
    }
}

impl fmt::Display for Range {
    /// Completes "must be …": "above 0", "at least 0", "in (0, 1]".
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.low, self.high) {
            (Bound::Unbounded, Bound::Unbounded) => formatter.write_str("a number"),
            (Bound::Excluded(low), Bound::Unbounded) => write!(formatter, "above {low}"),
            (Bound::Included(low), Bound::Unbounded) => write!(formatter, "at least {low}"),
            (Bound::Unbounded, Bound::Excluded(high)) => write!(formatter, "below {high}"),
            (Bound::Unbounded, Bound::Included(high)) => write!(formatter, "at most {high}"),
            (Bound::Excluded(low), Bound::Excluded(high)) => {
                write!(formatter, "in ({low}, {high})")
            }
            (Bound::Excluded(low), Bound::Included(high)) => {
                write!(formatter, "in ({low}, {high}]")
            }
            (Bound::Included(low), Bound::Excluded(high)) => {
                write!(formatter, "in [{low}, {high})")
            }
            (Bound::Included(low), Bound::Included(high)) => {
                write!(formatter, "in [{low}, {high}]")
            }
        }
    }
}

/// Keys that came after runs had been made, whose default is what these runs did. Where the configuration of a run
/// lacks them, they have their default, so that it can be gone on with.
pub(crate) const ADDED: &[&str] = &[
    "run.min_ranks",
    "data.stage",
    "data.largest",
    "data.unlabelled",
    "data.unlabelled_ratio",
    "data.unlabelled_largest",
    "data.unlabelled_imb_factor",
    "data.unlabelled_aug",
    "model.init",
    "train.trainable",
    "train.nesterov",
    "train.adam_beta1",
    "train.adam_beta2",
    "train.adam_epsilon",
    "train.layer_decay",
    "train.clip_grad_norm",
    "train.schedule",
    "train.decay_epochs",
    "train.decay_rate",
    "train.ema_decay",
    "train.sam_rho",
    "loss.prior_admissions",
    "admission.classes",
    "admission.mixed",
    "admission.teacher",
    "admission.after_epochs",
    "admission.agreement",
    "admission.quantile",
    "admission.alignment",
    "evaluation.tau_sweep",
    "evaluation.adjustment_sweep",
    "evaluation.many_above",
    "evaluation.few_below",
    "evaluation.every_epochs",
];

/// The key at `path`.
pub fn find(path: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.path == path)
}

/// The key that the flag `name`, without dashes and with underscores, sets.
pub fn find_flag(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.flags.contains(&name))
}
