//! Everything that is wrong with a dataset, told at once, but never thousands of lines of it.

use std::fmt;

/// Of each kind, this many problems are named; the others are counted.
pub const NAMED_MAX: usize = 20;

/// Problems by kind, in the order in which the kinds were first met.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems {
    kinds: Vec<Kind>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Kind {
    title: &'static str,
    named: Vec<String>,
    count: u64,
}

impl Problems {
    /// Adds a problem under the plural `title` of its kind.
    pub fn add(&mut self, title: &'static str, what: String) {
        let found = self.kinds.iter().position(|kind| kind.title == title);
        let place = found.unwrap_or_else(|| {
            self.kinds.push(Kind { title, named: Vec::new(), count: 0 });
            self.kinds.len() - 1
        });
        let kind = &mut self.kinds[place];
        kind.count += 1;
        if kind.named.len() < NAMED_MAX {
            kind.named.push(what);
        }
    }

    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.kinds.is_empty()
    }

    /// How many problems there are, named or not.
    pub fn count(&self) -> u64 {
        self.kinds.iter().map(|kind| kind.count).sum()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, kind) in self.kinds.iter().enumerate() {
            if number > 0 {
                writeln!(f)?;
            }
            write!(f, "{} {}:", kind.count, kind.title)?;
            for what in &kind.named {
                write!(f, "\n  - {what}")?;
            }
            let more = kind.count - kind.named.len() as u64;
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
        let mut problems = Problems::default();
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
