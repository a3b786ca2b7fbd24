//! The connection to the launcher, from the moment when a rank has found its world.

use std::thread;
use std::time::Duration;

use lcsl_collective::control::{ADDRESS_VARIABLE, Control, ControlError, Parting};
use lcsl_collective::{Communicator, Traced};
use lcsl_run_dir::exit::RANK_FAILED;
use lcsl_trainer::last_words;

use super::start::hello;
use crate::panics;

/// How long a rank outlives its launcher: enough for a checkpoint's rename, too short to be in
/// anyone's way.
const ORPHAN_GRACE: Duration = Duration::from_secs(5);

/// A rank of this world on that device, connected to the launcher that has started it, or to none where it was started
/// by hand: its calls are numbered, and whatever ends it is told.
pub(super) fn under_control(
    world: Box<dyn Communicator>,
    device: String,
) -> Result<(Box<dyn Communicator>, Control), ControlError> {
    let control = connect(world.as_ref(), device)?;
    panics::report_to(control.clone());
    last_words::prepare(&control);
    if world.world_size() == 1 {
        return Ok((world, control));
    }
    let traced = Traced::new(world, control.heartbeat().calls());
    Ok(((crate::FAULTS.world)(Box::new(traced)), control))
}

/// The connection to the launcher that started this rank, or its absence.
fn connect(world: &dyn Communicator, device: String) -> Result<Control, ControlError> {
    let Ok(address) = std::env::var(ADDRESS_VARIABLE) else {
        return Ok(Control::absent());
    };
    let hello = hello(world.rank(), world.world_size(), device);
    let parted = |why| {
        if why == Parting::Lost {
            // Said at once: MPI ends a rank that has lost its mpirun, too, and sooner.
            tracing::error!("the launcher has gone; this rank ends too");
            thread::sleep(ORPHAN_GRACE);
        } else {
            tracing::error!("the launcher says that the run has failed; this rank ends too");
        }
        last_words::leave(RANK_FAILED);
    };
    Control::connect(&address, hello, parted)
}
