//! The variables that ranks are started with, and what they depend on.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use lcsl_collective::placement;
use lcsl_config::{Devices, RunConfig};

use super::leftovers;
use super::libtorch::library_path;
use crate::machine;

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
    /// What the launcher has from where it was started.
    pub inherited: &'a Inherited,
}

impl<'a> LaunchEnvironment<'a> {
    /// That of ranks which answer once and are not watched.
    pub fn uncontrolled(rank: &'a Path, libtorch: &'a Path, inherited: &'a Inherited) -> Self {
        Self { rank, libtorch: Some(libtorch), control: "", secret: "", inherited }
    }
}

/// What the launcher has from the shell or the scheduler that started it.
#[derive(Debug, Clone)]
pub struct Inherited {
    /// `LD_LIBRARY_PATH`.
    pub library_path: Option<OsString>,
    /// `CUDA_VISIBLE_DEVICES`, as a scheduler may have set it.
    pub devices: Option<String>,
    /// Whether it runs as root, which mpirun refuses unless told otherwise.
    pub is_root: bool,
    /// The folder that its mpirun makes for its session, and removes.
    pub session: PathBuf,
}

impl Inherited {
    /// What this process has.
    pub fn here() -> Self {
        Self {
            library_path: std::env::var_os("LD_LIBRARY_PATH"),
            devices: machine::visible_devices(),
            is_root: rustix::process::getuid().is_root(),
            session: leftovers::session_here(),
        }
    }
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
        let devices = placement::visible_devices(ordinals, on.inherited.devices.as_deref());
        environment.push(("CUDA_VISIBLE_DEVICES", devices.into()));
        environment.push((placement::NARROWED_VARIABLE, "1".into()));
    }
    environment.extend(of_libtorch(on));
    environment
}

/// Where a rank finds libtorch.
pub(super) fn of_libtorch(on: &LaunchEnvironment<'_>) -> Variables {
    let inherited = on.inherited.library_path.as_deref();
    let path = on.libtorch.map(|libtorch| library_path(libtorch, inherited));
    path.map(|path| ("LD_LIBRARY_PATH", path)).into_iter().collect()
}

/// What mpirun needs itself.
pub(super) fn of_mpirun(on: &LaunchEnvironment<'_>) -> Variables {
    let mut environment: Variables =
        MPIRUN_SETTINGS.iter().map(|(name, value)| (*name, (*value).into())).collect();
    // By default all mpirun of a user share a folder on each host, and one that ends removes it while another begins.
    environment.push(("OMPI_MCA_orte_top_session_dir", on.inherited.session.clone().into()));
    if on.inherited.is_root {
        environment.push(("OMPI_ALLOW_RUN_AS_ROOT", "1".into()));
        environment.push(("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1".into()));
    }
    environment
}
