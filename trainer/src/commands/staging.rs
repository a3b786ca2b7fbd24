//! The dataset of a run, copied to the disk of each host before training.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use lcsl_collective::Communicator;
use lcsl_collective::control::{Control, Failure, FromRank, Phase};
use lcsl_config::RunConfig;
use lcsl_data::staging::Staging;
use lcsl_trainer::data_module::prepared_digest;
use lcsl_trainer::engine::run::error::TrainError;
use lcsl_trainer::engine::run::failure;
use lcsl_trainer::run_dir::durable;

use super::start::all_can;

/// Copies the dataset where that was asked for, by the first rank of each host, and turns the configuration to the
/// copy. Collective.
pub(super) fn stage(
    config: &mut RunConfig,
    world: &mut dyn Communicator,
    local_rank: usize,
    control: &Control,
) -> Result<(), Failure> {
    if config.data.stage.is_empty() {
        return Ok(());
    }
    let staged = place(config).and_then(|root| {
        let Some(root) = root else { return Ok(None) };
        if local_rank == 0 {
            copy(config, &root, world.rank(), control)?;
        }
        Ok(Some(root))
    });
    // The others of a host wait for its first rank, as in any collective.
    control.heartbeat().enter(Phase::Compare);
    let agreed = all_can(world, staged.as_ref().err().cloned(), &mut |_| ());
    control.heartbeat().enter(Phase::Starting);
    agreed?;
    if let Some(root) = staged? {
        config.data.root = root;
    }
    Ok(())
}

/// The folder whose copy stands for the folder of datasets; none for a dataset that is not in shards. Its name has the
/// digest of the dataset, so that another one of the same name is another copy.
fn place(config: &RunConfig) -> Result<Option<PathBuf>, Failure> {
    let digest = prepared_digest(config)
        .map_err(|error| failure::of_training(&TrainError::DataModule(error)))?;
    Ok(digest.map(|digest| {
        let digest = digest[..8].iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        });
        PathBuf::from(&config.data.stage).join(format!("lcsl-{digest}"))
    }))
}

fn copy(config: &RunConfig, root: &Path, rank: usize, control: &Control) -> Result<(), Failure> {
    let name = config.data.name.word();
    let (source, target) = (config.data.root.join(name), root.join(name));
    control.heartbeat().enter(Phase::Staging);
    let began = Instant::now();
    let staging = Staging::begin(&source, &target).map_err(|error| failure::of_staging(&error))?;
    let (files, bytes) = staging.missing();
    durable::require_room(&target, bytes, "copy the dataset to")
        .map_err(|error| failure::of_training(&TrainError::Disk(error)))?;
    staging
        .finish(config.data.loader_threads, &|| control.heartbeat().progress())
        .map_err(|error| failure::of_staging(&error))?;
    if files > 0 {
        let (mib, seconds) = (bytes.div_ceil(1 << 20), began.elapsed().as_secs_f64());
        let text =
            format!("copied {files} files ({mib} MiB) to {} in {seconds:.1} s", target.display());
        tracing::info!("{text}");
        if rank == 0 {
            control.send(&FromRank::Notice { text });
        }
    }
    Ok(())
}
