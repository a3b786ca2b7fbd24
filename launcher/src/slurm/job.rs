//! What a job asks Slurm for.

use std::ffi::OsString;
use std::time::Duration;

/// A job that trains.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Its name, also of its output.
    pub name: String,
    /// Nodes.
    pub nodes: usize,
    /// GPUs of each node; none for CPUs alone.
    pub gpus_per_node: usize,
    /// Ranks on each node.
    pub ranks_per_node: usize,
    /// Cores of each rank.
    pub cpus_per_task: usize,
    /// Longest time, as Slurm writes it.
    pub time: String,
    /// Seconds before the end of that time at which a checkpoint is saved and the job requeued.
    pub save_seconds: u64,
    /// Options that are passed on as they are: `--partition` and the like.
    pub passed_on: Vec<(&'static str, String)>,
    /// Keys of the configuration with the values that the tasks of an array take, every combination once.
    pub array: Vec<(String, Vec<String>)>,
    /// Tasks of an array that run at a time; 0 for no limit.
    pub array_limit: usize,
    /// Whether the job may be requeued; where a site forbids it, a chain of jobs goes on instead.
    pub requeue: bool,
    /// Arguments of `lcsl train`.
    pub train: Vec<OsString>,
}

impl Job {
    /// Tasks of the array; none without one.
    pub fn tasks(&self) -> Option<usize> {
        let sizes = self.array.iter().map(|(_, values)| values.len());
        (!self.array.is_empty()).then(|| sizes.product())
    }

    /// What is wrong with it, a sentence each.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        match seconds(&self.time) {
            None => problems.push(format!(
                "--time={} is no time: write minutes, HH:MM:SS or D-HH:MM:SS",
                self.time
            )),
            Some(limit) if limit.as_secs() <= self.save_seconds => problems.push(format!(
                "--time={} leaves nothing to train in: {} s of it are for the checkpoint (--save_seconds)",
                self.time, self.save_seconds
            )),
            Some(_) => {}
        }
        if self.gpus_per_node > 0 && self.ranks_per_node != self.gpus_per_node {
            problems.push(format!(
                "{} ranks on a node of {} GPUs: NCCL wants one for each",
                self.ranks_per_node, self.gpus_per_node
            ));
        }
        for (key, values) in &self.array {
            if values.iter().any(String::is_empty) {
                problems.push(format!("--array={key}= has an empty value"));
            }
        }
        problems
    }
}

/// A time limit as Slurm takes it: minutes, minutes:seconds, hours:minutes:seconds, days-hours, days-hours:minutes,
/// days-hours:minutes:seconds (sbatch(1), `--time`). None where it is none of these.
pub fn seconds(text: &str) -> Option<Duration> {
    let (days, rest) = match text.split_once('-') {
        Some((days, rest)) => (Some(days.parse::<u64>().ok()?), rest),
        None => (None, text),
    };
    let parts: Vec<u64> =
        rest.split(':').map(|part| part.parse().ok()).collect::<Option<Vec<_>>>()?;
    let seconds = match (days, parts.as_slice()) {
        (None, [minutes]) => minutes * 60,
        (None, [minutes, seconds]) => minutes * 60 + seconds,
        (None, [hours, minutes, seconds]) => (hours * 60 + minutes) * 60 + seconds,
        (Some(days), [hours]) => (days * 24 + hours) * 3600,
        (Some(days), [hours, minutes]) => ((days * 24 + hours) * 60 + minutes) * 60,
        (Some(days), [hours, minutes, seconds]) => {
            ((days * 24 + hours) * 60 + minutes) * 60 + seconds
        }
        _ => return None,
    };
    Some(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_slurm_reads_them() {
        let cases = [
            ("5", 300),
            ("5:30", 330),
            ("1:00:00", 3600),
            ("1-0", 86_400),
            ("1-2:30", 95_400),
            ("0-0:0:9", 9),
        ];
        for (text, expected) in cases {
            assert_eq!(seconds(text), Some(Duration::from_secs(expected)), "{text}");
        }
        for text in ["", "soon", "1:2:3:4", "-5", "1-", "1-2:3:4:5"] {
            assert_eq!(seconds(text), None, "{text:?}");
        }
    }
}
