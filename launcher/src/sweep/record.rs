//! A file that remembers the finished runs of a sweep, a JSON object in each line, so that another machine goes on
//! where this one was. A run is the same where its settings are, and the code that it was trained with.

use lcsl_config::{RunConfig, lasting_settings};
use lcsl_run_dir::result::RunResult;
use serde::{Deserialize, Serialize};

use crate::run_dir::may_differ;

/// A finished run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recorded {
    /// What a person calls it.
    pub name: String,
    /// Digest of its settings: [`digest`].
    pub config: String,
    /// What it was trained with: the version of the program, and the commit where that is known.
    pub code: String,
    /// All of its `result.json`.
    pub result: Box<RunResult>,
}

/// Everything that a file remembers.
///
/// # Errors
/// A sentence, with the number of the line that cannot be read.
pub fn read(text: &str) -> Result<Vec<Recorded>, String> {
    let line = |(number, line): (usize, &str)| {
        serde_json::from_str(line)
            .map_err(|error| format!("line {number} is no finished run: {error}"))
    };
    (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty()).map(line).collect()
}

/// BLAKE3 digest, in hexadecimal, of all settings that a run's figures depend on: where it runs, and how it saves,
/// are left out, and so is what a later version can do and this run does not.
pub fn digest(config: &RunConfig) -> String {
    let deterministic = config.run.deterministic;
    let mut hasher = blake3::Hasher::new();
    for (path, value) in lasting_settings(config) {
        if !may_differ(path, deterministic) {
            hasher.update(format!("{path} = {value}\n").as_bytes());
        }
    }
    hasher.finalize().to_hex().to_string()
}

/// The run with these settings, trained with a code that counts; the newest, where there are several.
pub fn find<'a>(
    recorded: &'a [Recorded],
    config: &str,
    counts: impl Fn(&str) -> bool,
) -> Option<&'a Recorded> {
    recorded.iter().rev().find(|run| run.config == config && counts(&run.code))
}

#[cfg(test)]
mod tests {
    use lcsl_config::{Machine, parse_train};

    use super::*;

    fn of(line: &str) -> String {
        let flags: Vec<_> = line.split_whitespace().map(Into::into).collect();
        digest(&parse_train(&flags, &Machine { cores: 4, gpus: None }).unwrap().config)
    }

    /// Another place, other threads and other checkpoints are the same run; another seed is not.
    #[test]
    fn a_run_is_known_by_what_its_figures_depend_on() {
        let base = of("--dataset=synthetic");
        let elsewhere = "--dataset=synthetic --run_dir=elsewhere --threads=2 --gpu=cpu --resume=auto \
                         --set=checkpoint.every_steps=7";
        assert_eq!(of(elsewhere), base);
        assert_ne!(of("--dataset=synthetic --seed=1"), base);
        assert_ne!(of("--dataset=synthetic --epochs=7"), base);
        assert_ne!(of("--dataset=synthetic --deterministic --threads=1"), base);
    }

    #[test]
    fn a_line_that_is_no_run_is_named() {
        assert_eq!(read("\n"), Ok(Vec::new()));
        let error = read("\n{\"name\": 1}\n").unwrap_err();
        assert!(error.starts_with("line 2 is no finished run: invalid type"), "{error}");
    }
}
