//! What a run minimises, as plain values: a list of stages, each of which chooses by itself what is
//! drawn, mixed, labelled, weighed and trained.
//!
//! * [`stage`]: the choices of one stage, and which stage an epoch belongs to.
//! * [`criterion`]: the loss of one target, and the constants that it needs.
//! * [`cutmix`]: where a rectangle of one image goes into another.
//! * [`prior`]: what is known of a label beforehand, which may follow the admissions.
//! * [`method`]: what `--method` stands for.

pub mod criterion;
pub mod cutmix;
pub mod method;
pub mod prior;
pub mod stage;

pub use criterion::{Criterion, EmptyClasses};
pub use cutmix::Patch;
pub use prior::Prior;
pub use stage::{Input, Mixing, Objective, PseudoLabelling, Schedule, Stage, Trainable};
