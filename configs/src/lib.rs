//! The configuration of a run, from what a person writes to what every rank reads.
//!
//! In reading order:
//!
//! - [`run_config`]: the typed, resolved result, [`RunConfig`], with one file for each of its
//!   parts; `choice` makes the enums of closed word lists in it.
//! - [`keys`]: the one table of settings from which flags, help, type checks and the test of
//!   `default.toml` follow.
//! - `value`: one written value, checked by its key's kind; `suggest` finds the nearest known name
//!   to a wrong one.
//! - `layers`: default file, preset or file, flags and `--set`, the later over the earlier, with
//!   their [`Origin`]s.
//! - `resolve`: what `"auto"` means, given the dataset, the [`Machine`] and what a scheduler has allocated;
//!   `hosts`: the hosts of a run.
//! - `validate`: what must hold between keys; `notes`: what is accepted, but does less than one
//!   might think.
//! - `flags`, `arguments` and `command`: from the arguments of `lcsl train` to a [`TrainCommand`],
//!   or to all [`Problems`] at once.
//! - `dump`: `RUN_DIR/config.toml`, written by [`to_toml`] and read back by [`load`].
//! - `rim`: the only file access, and the two doors [`parse_train`] and [`load`].
//!
//! Everything but `rim` is plain values in, plain values out: this crate looks at no clock, no
//! environment variable and no device, and knows nothing of tensors, ranks or datasets beyond their
//! names.

mod arguments;
mod choice;
mod command;
mod dump;
mod flags;
mod hosts;
pub mod keys;
mod layers;
mod machine;
mod notes;
mod origin;
mod presets;
mod problem;
mod resolve;
mod rim;
pub mod run_config;
mod suggest;
mod validate;
mod value;
mod zoo;

pub use arguments::given_keys;
pub use command::{Stop, TrainCommand, train_command};
pub use dump::{Difference, differences, from_toml, lasting_settings, settings, to_toml};
pub use flags::{train_clap_command, train_completion_command};
pub use hosts::{Allocation, HostSlots, host_list, host_slots, repeated_counts};
pub use machine::Machine;
pub use origin::{Origin, Origins};
pub use presets::PRESETS;
pub use problem::{Problem, Problems};
pub use rim::{load, parse_train, parse_train_in};
pub use run_config::{
    Admission, AdmittedClasses, AdmittedLoss, Checkpoint, CriterionName, Data, DataAugmentation,
    DatasetName, Devices, Evaluation, Head, ImbalanceKind, Loss, Method, Millionths, MixingName,
    Model, ModelName, OnCorrupt, OnFailedCheckpoint, Optimizer, Policy, Precision, Protocol,
    QuotaRate, Refit, RefitMethod, Resume, Run, RunConfig, SamplerName, ScheduleName,
    StrongAugmentation, TeacherName, Train, TrainableName, Unlabelled,
};
pub use zoo::{Initialisation, ModelEntry, ZOO, network_listing, published_network};
