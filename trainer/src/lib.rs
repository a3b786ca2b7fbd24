//! Long-tailed classification via self-labelling (Vu et al., IEEE TCSVT 2024) on one device per
//! process.
//!
//! In the order in which a newcomer should read:
//!
//! * `engine::step`: one optimiser step, every stage named in order. The rest is what it calls.
//! * [`long_tail`]: which classes are minority classes, and the groups that tables report.
//! * [`data_module`]: the dataset, cut into training, validation and test images.
//! * [`preflight`]: what ranks compare before they begin.
//! * [`readiness`]: what each finds on its host, said all at once.
//! * [`plan`]: which positions of an epoch belong to which step and logical rank.
//! * [`admission`]: which self-labelled candidates enter the loss; the same on every rank.
//! * [`corrupt`]: records that are skipped, by name.
//! * [`objective`]: what a run minimises, stage by stage.
//! * [`schedule`]: the learning rate of an epoch.
//! * [`metrics`]: accuracies from a confusion matrix.
//! * [`run_dir`]: what a run leaves behind.
//! * [`clock`]: where a rank is, and where its time goes.
//! * [`faults`]: where a test's program lets something go wrong.
//! * `last_words`: what a rank says when a signal ends it (feature `engine`).
//! * `engine`: networks, teacher, optimiser, training loop: everything that touches libtorch
//!   (feature `engine`).

pub mod admission;
pub mod clock;
pub mod corrupt;
pub mod data_module;
#[cfg(feature = "engine")]
pub mod engine;
pub mod faults;
#[cfg(feature = "engine")]
pub mod last_words;
pub mod long_tail;
pub mod metrics;
pub mod objective;
pub mod plan;
pub mod preflight;
pub mod readiness;
pub mod run_dir;
pub mod schedule;
