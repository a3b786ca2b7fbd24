//! The variables that ranks are started with, and what they depend on.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use lcsl_collective::placement;
use lcsl_config::{Devices, RunConfig};

use super::libtorch::library_path;

/// Names and values, in the order in which they are shown.
pub type Variables = Vec<(&'static str, OsString)>;

/// What the command and its variables depend on besides the configuration.
#[derive(Debug, Clone, Copy)]
pub struct LaunchEnvironment<'a> {
    /// The program of one rank.
    pub rank: &'a Path,
    /// The directory of libtorch's libraries, when it was found.
    pub libtorch: Option<&'a Path>,
    /// `host:port` where the launcher listens.
    pub control: &'a str,
    /// What a rank has to show there.
    pub secret: &'a str,
    /// `LD_LIBRARY_PATH` of the launcher.
    pub inherited_library_path: Option<&'a OsStr>,
    /// `CUDA_VISIBLE_DEVICES` of the launcher, as a scheduler may have set it.
    pub inherited_devices: Option<&'a str>,
    /// Whether the launcher runs as root, which mpirun refuses unless told otherwise.
    pub is_root: bool,
}

/// Names of Open MPI's settings that every multi-rank run gets, with the reason for each.
const MPIRUN_SETTINGS: &[(&str, &str)] = &[
    ("OMPI_MCA_rmaps_base_oversubscribe", "1"), // more ranks than cores are allowed
    ("OMPI_MCA_hwloc_base_binding_policy", "none"), // bound ranks of several jobs share core 0
    // A host that is cut off is noticed after 5 + 3 × 2 seconds instead of after eight minutes.
    ("OMPI_MCA_oob_tcp_keepalive_time", "5"),
    ("OMPI_MCA_oob_tcp_keepalive_intvl", "2"),
    ("OMPI_MCA_oob_tcp_keepalive_probes", "3"),
];

/// What every rank needs, wherever it runs.
pub(super) fn of_rank(config: &RunConfig, on: &LaunchEnvironment<'_>) -> Variables {
    let threads = config.run.threads.to_string();
    let mut environment: Variables =
        vec![("OMP_NUM_THREADS", threads.clone().into()), ("MKL_NUM_THREADS", threads.into())];
    if let Devices::Gpus(ordinals) = &config.run.gpu {
        let devices = placement::visible_devices(ordinals, on.inherited_devices);
        environment.push(("CUDA_VISIBLE_DEVICES", devices.into()));
        environment.push((placement::NARROWED_VARIABLE, "1".into()));
    }
    environment.extend(of_libtorch(on));
    environment
}

/// Where a rank finds libtorch.
pub(super) fn of_libtorch(on: &LaunchEnvironment<'_>) -> Variables {
    let path = on.libtorch.map(|libtorch| library_path(libtorch, on.inherited_library_path));
    path.map(|path| ("LD_LIBRARY_PATH", path)).into_iter().collect()
}

/// What mpirun needs itself.
pub(super) fn of_mpirun(on: &LaunchEnvironment<'_>) -> Variables {
    let mut environment: Variables =
        MPIRUN_SETTINGS.iter().map(|(name, value)| (*name, (*value).into())).collect();
    if on.is_root {
        environment.push(("OMPI_ALLOW_RUN_AS_ROOT", "1".into()));
        environment.push(("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1".into()));
    }
    environment
}
