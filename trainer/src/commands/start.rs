//! What commands have in common before they begin: the configuration, and the world.

use std::path::Path;
use std::process::ExitCode;

use lcsl_backends::MpiWorld;
use lcsl_collective::control::{ADDRESS_VARIABLE, Hello, SECRET_VARIABLE};
use lcsl_collective::solo::Solo;
use lcsl_collective::{Checked, CollectiveError, Communicator};
use lcsl_config::{Devices, RunConfig};
use lcsl_run_dir::RunDir;
use lcsl_run_dir::exit::USAGE;
use lcsl_trainer::engine::cuda;
use lcsl_trainer::engine::run::build;
use lcsl_trainer::preflight;

use super::refusal::refuse_start;

/// Reads the configuration and sets libtorch up for it.
pub(super) fn prepare(run_dir: &RunDir) -> Result<RunConfig, ExitCode> {
    let path = run_dir.config();
    if std::env::var_os(ADDRESS_VARIABLE).is_some() && !path.exists() {
        let what = format!("{} does not exist on host {}", path.display(), host_name());
        let hint = "the launcher has written it on its own host: --run_dir must be on a file system that all hosts \
                    share";
        return Err(refuse_start(&what, Some(hint.to_owned()), USAGE));
    }
    let config = lcsl_config::load(&path).map_err(|problems| {
        eprintln!("{problems}");
        ExitCode::from(USAGE)
    })?;
    build::set_up_libtorch(config.run.threads);
    Ok(config)
}

/// The world that this process was started into, and its rank among the processes of its host. A
/// run of one rank needs no MPI.
pub(super) fn join_world(
    config: &RunConfig,
) -> Result<(Box<dyn Communicator>, usize), CollectiveError> {
    let nproc = config.run.nproc;
    if nproc == 1 {
        return Ok((Box::new(Solo), 0));
    }
    let mut world = MpiWorld::init()?;
    if world.world_size() != nproc {
        let started = match world.world_size() {
            1 => "1 rank was started".to_owned(),
            several => format!("{several} ranks were started"),
        };
        let what = format!("{started} for a run of {nproc}; start it through `lcsl train`");
        return Err(CollectiveError::Unsupported { what });
    }
    let (local_rank, _) = world.local_rank()?;
    let mut world: Box<dyn Communicator> = Box::new(world);
    if config.run.check_collectives {
        world = Box::new(Checked::new(world));
    }
    let version = preflight::version(env!("CARGO_PKG_VERSION"), Path::new("/proc/self/exe"));
    preflight::compare_start(world.as_mut(), &version, config)?;
    if config.run.gpu != Devices::Cpu {
        cuda::check_placement(world.as_mut(), &host_name())?;
    }
    Ok((world, local_rank))
}

/// How this process introduces itself to the launcher, as a rank of a world on a device.
pub(super) fn hello(rank: usize, world_size: usize, device: String) -> Hello {
    Hello {
        secret: std::env::var(SECRET_VARIABLE).unwrap_or_default(),
        rank,
        world_size,
        host: host_name(),
        pid: std::process::id(),
        device,
        version: env!("CARGO_PKG_VERSION").to_owned(),
    }
}

/// The name of this host.
pub(super) fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}
