//! Everything that is wrong with a dataset, told at once, but never thousands of lines of it.

use std::borrow::Cow;
use std::fmt;

use lcsl_text::printable;

/// Of each kind, this many problems are shown; the others are counted.
pub const SHOWN_MAX: usize = 20;

/// Of each kind, this many can be listed: what memory allows on any machine.
pub const LISTED_MAX: usize = 1_000_000;

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
        if group.named.len() < LISTED_MAX {
            group.named.push(match printable(&what) {
                Cow::Borrowed(_) => what,
                Cow::Owned(safe) => safe,
            });
        }
    }

    /// Every problem, kind by kind, a line each.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        self.groups.iter().flat_map(|group| {
            group.named.iter().map(move |what| format!("{}: {what}", group.title))
        })
    }

    /// Whether more were found than are shown.
    pub fn are_cut(&self) -> bool {
        self.groups.iter().any(|group| group.count > SHOWN_MAX as u64)
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
            write!(f, "{} ({}):", group.title, group.count)?;
            let shown = &group.named[..group.named.len().min(SHOWN_MAX)];
            for what in shown {
                write!(f, "\n  - {what}")?;
            }
            let more = group.count - shown.len() as u64;
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
    fn twenty_are_shown_the_others_counted_and_all_listed() {
        let mut problems = DataProblems::default();
        assert!(problems.is_empty());
        for number in 0..23 {
            problems.add("missing files", format!("file {number}"));
        }
        problems.add("damaged images", "one".to_owned());
        let text = problems.to_string();
        assert!(text.starts_with("missing files (23):\n  - file 0\n"), "{text}");
        assert!(text.ends_with("file 19\n  … and 3 more\ndamaged images (1):\n  - one"), "{text}");
        assert_eq!(problems.count(), 24);
        assert!(problems.are_cut());
        let lines: Vec<String> = problems.lines().collect();
        assert_eq!((lines.len(), lines[22].as_str()), (24, "missing files: file 22"));
    }
}
