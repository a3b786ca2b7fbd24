//! The messages of the control connection.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::calls::CallStatus;

/// What a rank tells its launcher.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "message", rename_all = "snake_case")]
pub enum FromRank {
    /// First message of a connection.
    Hello(Hello),
    /// Every second: where the rank is.
    Heartbeat {
        /// Epoch, counted from 0.
        epoch: u64,
        /// Optimiser steps finished since the run began.
        step: u64,
        /// What the rank is doing.
        phase: Phase,
        /// How much of that is done: batches of an evaluation, files of a copy; 0 where nobody counts.
        #[serde(default)]
        done: u64,
        /// Its last call on each communicator; none where ranks do not talk to each other.
        #[serde(default)]
        calls: Vec<CallStatus>,
    },
    /// How training goes, for the progress bar. Rank 0 only.
    Progress(TrainProgress),
    /// An evaluation has ended. Rank 0 only.
    Evaluation(Score),
    /// A sentence that a person should see now. Rank 0 only.
    Notice {
        /// The sentence.
        text: String,
    },
    /// The rank ends because of an error.
    Failed(Failure),
    /// The rank has done all it was asked for and ends with this exit code (0, or 75 after a
    /// requested stop).
    Finished {
        /// Its exit code.
        exit_code: i32,
    },
}

/// Who a rank is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The run's secret, from the environment; to another host, the [`super::proof`] of it.
    pub secret: String,
    /// Its number, `0..world_size`.
    pub rank: usize,
    /// How many ranks it believes there are.
    pub world_size: usize,
    /// Host name.
    pub host: String,
    /// Process id on that host.
    pub pid: u32,
    /// `cpu` or `cuda:N`.
    pub device: String,
    /// Version of the program.
    pub version: String,
}

/// What a rank is doing: the stages of a step that can take long, in order, and what stands around
/// the steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Phase {
    /// Opening data, building the network.
    Starting,
    /// Copying the dataset to the host's own disk.
    Staging,
    /// Assembling a batch.
    Data,
    /// The teacher labels the mixed images.
    Teacher,
    /// Candidates are gathered from all ranks.
    Gather,
    /// Forward and backward pass of the student.
    Compute,
    /// Gradients are summed over ranks.
    AllReduce,
    /// The optimiser moves the parameters.
    Optimiser,
    /// Accuracy is measured.
    Evaluation,
    /// What was measured is added up over ranks.
    Counts,
    /// The ranks compare what they hold.
    Compare,
    /// A checkpoint is written.
    Checkpoint,
    /// Nothing is left to do.
    Leaving,
}

impl Phase {
    /// All phases, indexed by their number.
    pub const ALL: [Phase; 13] = [
        Phase::Starting,
        Phase::Staging,
        Phase::Data,
        Phase::Teacher,
        Phase::Gather,
        Phase::Compute,
        Phase::AllReduce,
        Phase::Optimiser,
        Phase::Evaluation,
        Phase::Counts,
        Phase::Compare,
        Phase::Checkpoint,
        Phase::Leaving,
    ];
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Phase::Starting => "starting",
            Phase::Staging => "copying the dataset",
            Phase::Data => "assembling a batch",
            Phase::Teacher => "labelling with the teacher",
            Phase::Gather => "gathering candidates",
            Phase::Compute => "in the forward and backward pass",
            Phase::AllReduce => "summing gradients",
            Phase::Optimiser => "in the optimiser",
            Phase::Evaluation => "evaluating",
            Phase::Counts => "adding up an evaluation",
            Phase::Compare => "comparing the ranks",
            Phase::Checkpoint => "writing a checkpoint",
            Phase::Leaving => "leaving",
        })
    }
}

/// How training goes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct TrainProgress {
    /// Epoch, counted from 0.
    pub epoch: u64,
    /// Epochs in all.
    pub epochs: u64,
    /// Optimiser steps finished since the run began.
    pub step: u64,
    /// Optimiser steps of the whole run.
    pub steps: u64,
    /// Mean training loss of the last steps.
    pub loss: f64,
    /// Training images per second over the whole world, lately.
    pub images_per_second: f64,
    /// Pseudo-labels admitted since the run began.
    pub admitted: u64,
}

/// The result of an evaluation, as shown on the terminal.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// Epoch after which it was measured, counted from 0.
    pub epoch: u64,
    /// Mean of per-class accuracies, 0..1.
    pub accuracy: f64,
    /// Whether this model has become the teacher.
    pub selected: bool,
    /// Seconds that the evaluation took.
    pub seconds: f64,
}

/// Why a rank ends before its time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What happened and where, a lower-case sentence.
    pub what: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// The exit code it will end with.
    pub exit_code: i32,
    /// Whether this rank only suffers from another rank's end: then it is not the one to name.
    pub bystander: bool,
}

/// What the launcher tells a rank.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "message", rename_all = "snake_case")]
pub enum ToRank {
    /// Finish the step, save a checkpoint, leave with 75.
    Stop,
    /// The run has failed: end at once.
    Leave,
    /// First message to a rank of another host: prove that you know the secret, by [`super::proof`] of this.
    Challenge {
        /// Another one for every connection.
        nonce: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calls::{CallKind, Element, Operation};

    #[test]
    fn phases_are_numbered_in_the_order_of_the_table() {
        for (number, phase) in Phase::ALL.iter().enumerate() {
            assert_eq!(*phase as usize, number);
        }
    }

    #[test]
    fn every_message_survives_its_journey() {
        let messages = [
            FromRank::Heartbeat {
                epoch: 1,
                step: 2,
                phase: Phase::AllReduce,
                done: 3,
                calls: vec![CallStatus {
                    communicator: 1,
                    number: 7,
                    kind: CallKind::new(Operation::Sum, Element::F32, 9),
                    waiting: true,
                }],
            },
            FromRank::Notice { text: "a line\nand another".to_owned() },
            FromRank::Finished { exit_code: 75 },
            FromRank::Failed(Failure {
                what: "the loss is not finite".to_owned(),
                hint: None,
                exit_code: 4,
                bystander: false,
            }),
        ];
        for message in messages {
            let line = serde_json::to_string(&message).unwrap();
            assert!(!line.contains('\n'), "one message, one line: {line}");
            assert_eq!(serde_json::from_str::<FromRank>(&line).unwrap(), message);
        }
    }
}
