//! What a run minimises, as plain values: a list of stages, each of which chooses by itself what is
//! drawn, mixed, labelled, weighed and trained.
//!
//! * [`stage`]: the choices of one stage, and which stage an epoch belongs to.
//! * [`criterion`]: the loss of one target, and the constants that it needs.
//! * [`method`]: what `--method` stands for.

pub mod criterion;
pub mod method;
pub mod stage;

pub use criterion::Criterion;
pub use stage::{Input, Mixing, Objective, PseudoLabelling, Schedule, Stage, Trainable};
