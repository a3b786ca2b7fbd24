//! What commands have in common before they begin: the configuration, and the world.

use std::path::Path;
use std::process::ExitCode;

use lcsl_backends::MpiWorld;
use lcsl_collective::control::{ADDRESS_VARIABLE, Failure, Hello, SECRET_VARIABLE};
use lcsl_collective::placement;
use lcsl_collective::solo::Solo;
use lcsl_collective::{Checked, CollectiveError, Communicator};
use lcsl_config::{Devices, RunConfig};
use lcsl_run_dir::RunDir;
use lcsl_run_dir::exit::{BAD_DATA, RANK_FAILED, USAGE};
use lcsl_trainer::data_module::DataModule;
use lcsl_trainer::engine::cuda;
use lcsl_trainer::engine::run::device;
use lcsl_trainer::{preflight, readiness};

use super::refusal::{WORLD_SIZE, refuse_start};

/// Reads the configuration and sets libtorch up for it.
pub(super) fn prepare(run_dir: &RunDir) -> Result<RunConfig, ExitCode> {
    let config = read(run_dir)?;
    device::set_up_libtorch(&config);
    Ok(config)
}

/// Reads the configuration.
pub(super) fn read(run_dir: &RunDir) -> Result<RunConfig, ExitCode> {
    let path = run_dir.config();
    let has_launcher =
        [ADDRESS_VARIABLE, WORLD_SIZE].iter().any(|name| std::env::var_os(name).is_some());
    if has_launcher && !path.exists() {
        let what = format!("{} does not exist on host {}", path.display(), host_name());
        let hint = "the launcher has written it on its own host: --run_dir must be on a file system that all hosts \
                    share";
        return Err(refuse_start(&what, Some(hint.to_owned()), USAGE));
    }
    lcsl_config::load(&path).map_err(|problems| {
        eprintln!("{problems}");
        ExitCode::from(USAGE)
    })
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
    if let Devices::Gpus(listed) = &config.run.gpu {
        let ordinal = |gpus| placement::ordinal(local_rank, listed, gpus, device::is_narrowed());
        cuda::check_placement(world.as_mut(), &host_name(), ordinal)?;
    }
    Ok((world, local_rank))
}

/// Whether all ranks can go on, none of which may have an `obstacle`; `say` tells a person what there is to know.
pub(super) fn all_can(
    world: &mut dyn Communicator,
    obstacle: Option<Failure>,
    say: &mut dyn FnMut(String),
) -> Result<(), Failure> {
    let clock_off = (crate::FAULTS.clock_off_seconds)(world.rank());
    let found = readiness::compare(world, &host_name(), obstacle, clock_off)
        .map_err(|error| differs(&error))?;
    if let Some(failure) = found.failure {
        return Err(failure);
    }
    if world.rank() == 0 {
        found.notes.into_iter().for_each(say);
    }
    Ok(())
}

/// What a rank has opened for its work, if every rank has opened the same; `say` tells a person what there is to know.
pub(super) fn agree_to_begin<Opened>(
    world: &mut dyn Communicator,
    opened: Result<Opened, Failure>,
    data_module: impl Fn(&Opened) -> &DataModule,
    say: &mut dyn FnMut(String),
) -> Result<Opened, Failure> {
    all_can(world, opened.as_ref().err().cloned(), say)?;
    let opened = opened?;
    preflight::compare_data(world, data_module(&opened)).map_err(|error| differs(&error))?;
    Ok(opened)
}

/// Every rank finds out at once that they differ, so none is a bystander.
fn differs(error: &CollectiveError) -> Failure {
    let differs = matches!(error, CollectiveError::Disagreement { .. });
    let hint = "every host needs the same copy of the dataset under data.root";
    Failure {
        what: error.to_string(),
        hint: differs.then(|| hint.to_owned()),
        exit_code: if differs { BAD_DATA } else { RANK_FAILED }.into(),
        bystander: !differs,
    }
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
