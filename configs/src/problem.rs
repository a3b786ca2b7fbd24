//! What is wrong with what the user gave, in a form that can be collected and shown together.

use std::fmt;

/// One thing wrong with what the user gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What is wrong: a lower-case sentence without a full stop.
    pub what: String,
    /// Where it was written, such as "flag --lr" or "run.toml, line 7".
    pub place: String,
    /// What to do about it, where something can be said.
    pub hint: Option<String>,
}

impl Problem {
    pub(crate) fn new(what: impl Into<String>, place: impl fmt::Display) -> Self {
        Self { what: what.into(), place: place.to_string(), hint: None }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// Everything wrong with what the user gave, in the order in which it was found; never empty when
/// returned as an error. Its text shows each problem with its place and hint, and ends without a
/// line break.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl Problems {
    /// The line above the list.
    pub fn title(&self) -> String {
        match self.0.len() {
            1 => "the configuration has a problem".to_owned(),
            count => format!("the configuration has {count} problems"),
        }
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.title())?;
        for problem in &self.0 {
            write!(formatter, "\n  - {}\n    where: {}", problem.what, problem.place)?;
            if let Some(hint) = &problem.hint {
                write!(formatter, "\n    hint: {hint}")?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}
