//! The variables that ranks are started with, and what they depend on.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use lcsl_collective::control::{ADDRESS_VARIABLE, SECRET_VARIABLE};
use lcsl_collective::placement;
use lcsl_config::{Devices, RunConfig};

use super::interface::Interface;
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
    /// The network interface between hosts, where it is known.
    pub interface: Option<&'a Interface>,
}

impl<'a> LaunchEnvironment<'a> {
    /// That of ranks which answer once and are not watched.
    pub fn uncontrolled(rank: &'a Path, libtorch: &'a Path, inherited: &'a Inherited) -> Self {
        let (libtorch, interface) = (Some(libtorch), None);
        Self { rank, libtorch, control: "", secret: "", inherited, interface }
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
    /// Names of the variables by which a person sets up the libraries that move data between hosts, Open MPI's among
    /// them.
    pub network: Vec<String>,
    /// Whether it is part of a Slurm job.
    pub in_slurm: bool,
    /// Whether a person has said how threads wait for each other.
    pub has_wait_policy: bool,
    /// How many threads of others compute on the cores that the ranks want.
    pub competitors: usize,
}

impl Inherited {
    /// What this process has.
    pub fn here() -> Self {
        Self {
            library_path: std::env::var_os("LD_LIBRARY_PATH"),
            devices: machine::visible_devices(),
            is_root: rustix::process::getuid().is_root(),
            session: leftovers::session_here(),
            network: network_variables(
                std::env::vars_os().filter_map(|(name, _)| name.into_string().ok()),
            ),
            in_slurm: std::env::var_os("SLURM_JOB_ID").is_some(),
            has_wait_policy: ["OMP_WAIT_POLICY", SPINS]
                .iter()
                .any(|name| std::env::var_os(name).is_some()),
            competitors: 0,
        }
    }

    /// What a process in a bare environment has.
    #[cfg(test)]
    pub(super) fn nothing() -> Self {
        Self {
            library_path: None,
            devices: None,
            is_root: false,
            session: "/tmp/lcsl-0-h-9".into(),
            network: Vec::new(),
            in_slurm: false,
            has_wait_policy: false,
            competitors: 0,
        }
    }

    /// What this process has, where so many threads of others compute on the cores that its ranks want.
    pub fn beside(competitors: usize) -> Self {
        Self { competitors, ..Self::here() }
    }
}

/// Those of the variables that set up NCCL, UCX, libfabric and Open MPI.
fn network_variables(names: impl Iterator<Item = String>) -> Vec<String> {
    let families = ["NCCL_", "UCX_", "FI_", OPEN_MPI];
    let mut names: Vec<String> =
        names.filter(|name| families.iter().any(|family| name.starts_with(family))).collect();
    names.sort();
    names
}

/// How Open MPI's settings begin. They reach other hosts by themselves.
const OPEN_MPI: &str = "OMPI_MCA_";

impl Inherited {
    /// Variables that other hosts get only by name.
    pub(super) fn to_pass_on(&self) -> impl Iterator<Item = &str> {
        self.network.iter().map(String::as_str).filter(|name| !name.starts_with(OPEN_MPI))
    }

    fn has(&self, name: &str) -> bool {
        self.network.iter().any(|set| set == name)
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
    // A scheduler's TERM reaches Open MPI's daemons, too. They wait so long before they pass it on, and again before
    // they kill: 10 s for a rank to save, as its launcher has told it to by then, and not 2. So long they may outlive
    // a run.
    ("OMPI_MCA_odls_base_sigkill_timeout", "5"),
];

/// How often a thread of libtorch's pool (GNU's OpenMP) looks before it sleeps until the others are done. Left alone it
/// looks for longer than a step takes when another program has the core that the others wait for, and keeps that core
/// from them: a step then takes 3 to 4 times as long.
const SPINS: &str = "GOMP_SPINCOUNT";

/// How often it looks: 3,000 times costs nothing that can be measured where the machine is quiet, and not looking at
/// all costs a sixth there. Where others compute when the run starts, not looking is what costs least.
const fn spins(competitors: usize) -> &'static str {
    if competitors > 0 { "0" } else { "3000" }
}

/// What every rank needs, wherever it runs.
pub(super) fn of_rank(config: &RunConfig, on: &LaunchEnvironment<'_>) -> Variables {
    let threads = config.run.threads.to_string();
    let mut environment: Variables =
        vec![("OMP_NUM_THREADS", threads.clone().into()), ("MKL_NUM_THREADS", threads.into())];
    if config.run.threads > 1 && !on.inherited.has_wait_policy {
        environment.push((SPINS, spins(on.inherited.competitors).into()));
    }
    if config.run.deterministic && config.run.gpu != Devices::Cpu {
        // With other workspaces cuBLAS adds in an order that changes from run to run.
        environment.push(("CUBLAS_WORKSPACE_CONFIG", ":4096:8".into()));
    }
    // What a scheduler has granted may have another number on every host, so there each rank looks for itself.
    let alone = config.run.hosts.is_empty();
    if let Devices::Gpus(ordinals) = &config.run.gpu
        && alone
    {
        let devices = placement::visible_devices(ordinals, on.inherited.devices.as_deref());
        environment.push(("CUDA_VISIBLE_DEVICES", devices.into()));
        environment.push((placement::NARROWED_VARIABLE, "1".into()));
    }
    environment.extend(of_libtorch(on));
    environment
}

/// Where a rank finds its launcher, and what it has to show there; nothing where it is not watched.
pub(super) fn of_control(on: &LaunchEnvironment<'_>) -> Variables {
    match on.control {
        "" => Variables::new(),
        control => vec![(ADDRESS_VARIABLE, control.into()), (SECRET_VARIABLE, on.secret.into())],
    }
}

/// Where a rank finds libtorch.
pub(super) fn of_libtorch(on: &LaunchEnvironment<'_>) -> Variables {
    let inherited = on.inherited.library_path.as_deref();
    let path = on.libtorch.map(|libtorch| library_path(libtorch, inherited));
    path.map(|path| ("LD_LIBRARY_PATH", path)).into_iter().collect()
}

/// What NCCL needs between hosts: the interface, where a person has named it here and not to NCCL.
pub(super) fn of_nccl(on: &LaunchEnvironment<'_>) -> Variables {
    const INTERFACE: &str = "NCCL_SOCKET_IFNAME";
    let named = on.interface.filter(|interface| interface.named && !on.inherited.has(INTERFACE));
    named.map(|interface| (INTERFACE, format!("={}", interface.name).into())).into_iter().collect()
}

/// Whether a rank that waits for another one leaves its core to whoever wants it, between looks. Beside one other
/// program on two cores that takes a tenth off a step.
const YIELDS: &str = "OMPI_MCA_mpi_yield_when_idle";

/// What mpirun needs itself; `everywhere` where it starts ranks on other hosts.
pub(super) fn of_mpirun(on: &LaunchEnvironment<'_>, everywhere: bool) -> Variables {
    let mut environment: Variables =
        MPIRUN_SETTINGS.iter().map(|(name, value)| (*name, (*value).into())).collect();
    if everywhere {
        environment.extend(between_hosts(on));
    }
    if on.inherited.competitors > 0 && !on.inherited.has(YIELDS) {
        environment.push((YIELDS, "1".into()));
    }
    // By default all mpirun of a user share a folder on each host, and one that ends removes it while another begins.
    environment.push(("OMPI_MCA_orte_top_session_dir", on.inherited.session.clone().into()));
    if on.inherited.is_root {
        environment.push(("OMPI_ALLOW_RUN_AS_ROOT", "1".into()));
        environment.push(("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1".into()));
    }
    environment
}

/// What mpirun needs to reach other hosts. What a person has set is left as it is.
fn between_hosts(on: &LaunchEnvironment<'_>) -> Variables {
    let mut settings: Variables = vec![
        // A question that ssh asks where nobody can answer would stop it for ever.
        ("OMPI_MCA_plm_rsh_args", "-o BatchMode=yes -o ConnectTimeout=15".into()),
    ];
    if let Some(Interface { network, .. }) = on.interface {
        settings.push(("OMPI_MCA_oob_tcp_if_include", network.into()));
        settings.push(("OMPI_MCA_btl_tcp_if_include", network.into()));
    }
    // A choice of another kind is a choice, too: Open MPI takes one of the two.
    let excludes = |name: &str| on.inherited.has(&name.replace("_include", "_exclude"));
    settings.retain(|(name, _)| !on.inherited.has(name) && !excludes(name));
    if on.inherited.in_slurm {
        // mpirun starts its daemons by srun: beside the step that it may itself run in, and with its variables.
        settings.extend([("SLURM_OVERLAP", "1".into()), ("SLURM_EXPORT_ENV", "ALL".into())]);
    }
    settings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_of_the_network_travel() {
        let set = ["NCCL_DEBUG", "HOME", "UCX_TLS", "OMPI_MCA_btl", "NCCLX"].map(str::to_owned);
        let network = network_variables(set.into_iter());
        assert_eq!(network, ["NCCL_DEBUG", "OMPI_MCA_btl", "UCX_TLS"]);
        let inherited = Inherited { network, ..Inherited::nothing() };
        assert_eq!(inherited.to_pass_on().collect::<Vec<_>>(), ["NCCL_DEBUG", "UCX_TLS"]);
    }
}
