//! What is known of a run and its ranks, whatever is done about it and said of it.

use lcsl_collective::calls::CallStatus;
use lcsl_collective::control::{Failure, Hello, Phase};
use lcsl_config::HostSlots;

/// Everything that a verdict is made from.
#[derive(Debug)]
pub(super) struct Facts {
    /// A status for each rank.
    pub(super) ranks: Vec<RankStatus>,
    /// Ranks that failed by themselves, the first first.
    pub(super) culprits: Vec<usize>,
    /// Ranks that failed because of another rank.
    pub(super) bystanders: Vec<usize>,
    /// Ranks whose connection closed without a last word.
    pub(super) lost: Vec<usize>,
    /// A rank that cannot belong to this run.
    pub(super) misfit: Option<Misfit>,
    /// The hosts that were asked for; none for this one alone.
    pub(super) hosts: Vec<HostSlots>,
    /// How the started program ended, once it has.
    pub(super) child: Option<ChildEnd>,
}

impl Facts {
    /// Of a run of so many ranks, of which nothing was heard yet.
    pub(super) fn of(ranks: usize, hosts: Vec<HostSlots>) -> Self {
        Self {
            ranks: vec![RankStatus::default(); ranks],
            culprits: Vec::new(),
            bystanders: Vec::new(),
            lost: Vec::new(),
            misfit: None,
            hosts,
            child: None,
        }
    }
}

/// What is known of one rank.
#[derive(Debug, Clone, Default)]
pub(super) struct RankStatus {
    /// Who it said it is, once it has connected.
    pub(super) hello: Option<Hello>,
    /// Optimiser steps that it had made when it was last heard of.
    pub(super) step: u64,
    /// What it was doing then.
    pub(super) phase: Option<Phase>,
    /// How much of that was done.
    pub(super) done: u64,
    /// Its last call on each communicator.
    pub(super) calls: Vec<CallStatus>,
    /// What it said before it left.
    pub(super) last_word: Option<LastWord>,
    /// Whether its connection is open.
    pub(super) connected: bool,
}

/// What a rank said before it left.
#[derive(Debug, Clone)]
pub(super) enum LastWord {
    Failed(Failure),
    Finished(i32),
}

/// Why a rank cannot belong to a run.
#[derive(Debug, Clone)]
pub(super) enum Misfit {
    /// It is of another version of the program than `ours`.
    Version { hello: Hello, ours: &'static str },
    /// It counts itself into another world, or is there twice.
    World { hello: Hello },
    /// It runs on another host than was asked for: a sentence.
    Place { what: String },
}

/// How the started program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChildEnd {
    /// With this exit code.
    Code(i32),
    /// By this signal.
    Signal(i32),
}
