//! Where a value came from: remembered for each key, named in messages and written beside the
//! value.

use std::collections::BTreeMap;
use std::fmt;

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The embedded `configs/default.toml`.
    Default,
    /// An embedded preset.
    Preset {
        /// The preset's name.
        name: String,
        /// The line of the value, counted from 1.
        line: usize,
    },
    /// A configuration file.
    File {
        /// The file as the user named it.
        path: String,
        /// The line of the value, counted from 1.
        line: usize,
    },
    /// A flag, by its name without dashes and with underscores.
    Flag(String),
    /// `--set`, with the key's path.
    Set(String),
    /// The value was `"auto"` and something else decided it.
    Auto {
        /// Where `"auto"` was written.
        asked: Box<Origin>,
        /// What decided, such as "dataset cifar100".
        because: String,
    },
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => formatter.write_str("default"),
            Self::Preset { name, line } => write!(formatter, "preset {name}, line {line}"),
            Self::File { path, line } => write!(formatter, "{path}, line {line}"),
            Self::Flag(name) => write!(formatter, "flag --{name}"),
            Self::Set(path) => write!(formatter, "flag --set {path}"),
            Self::Auto { asked, because } if **asked == Self::Default => {
                write!(formatter, "auto, by {because}")
            }
            Self::Auto { asked, because } => write!(formatter, "{asked}: auto, by {because}"),
        }
    }
}

/// The origin of every key's value, by the key's path.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origins(pub(crate) BTreeMap<&'static str, Origin>);

impl Origins {
    /// The origin of the value at `path`, such as `train.lr`; none where there is no such key.
    pub fn get(&self, path: &str) -> Option<&Origin> {
        self.0.get(path)
    }

    /// Notes that the value at `path` became another one while the run was under way, and by what.
    pub fn change(&mut self, path: &'static str, because: &str) {
        if let Some(origin) = self.0.get_mut(path) {
            let asked = Box::new(std::mem::replace(origin, Origin::Default));
            *origin = Origin::Auto { asked, because: because.to_owned() };
        }
    }

    /// Notes what has decided the value at `path` in the end, which was asked for as `"auto"`.
    pub fn decide(&mut self, path: &str, because: &str) {
        if let Some(Origin::Auto { because: undecided, .. }) = self.0.get_mut(path) {
            because.clone_into(undecided);
        }
    }

    /// Names the places of `paths` that a person wrote, for a problem between several keys.
    pub(crate) fn places(&self, paths: &[&str]) -> String {
        let mut places: Vec<String> = Vec::new();
        for origin in paths.iter().filter_map(|path| self.get(path)) {
            let written = match origin {
                Origin::Default => continue,
                Origin::Auto { asked, .. } if **asked == Origin::Default => continue,
                Origin::Auto { asked, .. } => asked.to_string(),
                other => other.to_string(),
            };
            if !places.contains(&written) {
                places.push(written);
            }
        }
        if places.is_empty() { "defaults".into() } else { places.join(" and ") }
    }
}
