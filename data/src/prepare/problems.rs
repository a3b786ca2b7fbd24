//! Everything that is wrong with a dataset, told at once, but never thousands of lines of it.

use std::fmt;

/// Of each kind, this many problems are named; the others are counted.
pub const NAMED_MAX: usize = 20;

/// Problems by kind, in the order in which the kinds were first met.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DataProblems {
    groups: Vec<ProblemGroup>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct ProblemGroup {
    title: &'static str,
    named: Vec<String>,
    count: u64,
}

impl DataProblems {
    /// Adds a problem under the plural `title` of its kind.
    pub fn add(&mut self, title: &'static str, what: String) {
        let found = self.groups.iter().position(|group| group.title == title);
        let place = found.unwrap_or_else(|| {
            self.groups.push(ProblemGroup { title, named: Vec::new(), count: 0 });
            self.groups.len() - 1
        });
        let group = &mut self.groups[place];
        group.count += 1;
        if group.named.len() < NAMED_MAX {
            group.named.push(what);
        }
    }

    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// How many problems there are, named or not.
    pub fn count(&self) -> u64 {
        self.groups.iter().map(|group| group.count).sum()
    }
}

impl fmt::Display for DataProblems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, group) in self.groups.iter().enumerate() {
            if number > 0 {
                writeln!(f)?;
            }
            write!(f, "{} {}:", group.count, group.title)?;
            for what in &group.named {
                write!(f, "\n  - {what}")?;
            }
            let more = group.count - group.named.len() as u64;
            if more > 0 {
                write!(f, "\n  … and {more} more")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twenty_are_named_and_the_others_counted() {
        let mut problems = DataProblems::default();
        assert!(problems.is_empty());
        for number in 0..23 {
            problems.add("missing files", format!("file {number}"));
        }
        problems.add("damaged images", "one".to_owned());
        let text = problems.to_string();
        assert!(text.starts_with("23 missing files:\n  - file 0\n"), "{text}");
        assert!(text.ends_with("file 19\n  … and 3 more\n1 damaged images:\n  - one"), "{text}");
        assert_eq!(problems.count(), 24);
    }
}
