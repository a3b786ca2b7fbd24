//! The same cases on worlds of processes: this program starts itself again under mpirun.

use lcsl_backends::MpiWorld;
use lcsl_collective::{CollectiveError, Communicator, Values};

use crate::case::{self, Case, NAMES, Precision};
use crate::drive;
use crate::mpirun::mpirun;
use crate::reduction::Reduction;

/// Tells the ranks that mpirun starts which reduction is theirs.
const CHILD: &str = "LCSL_GOLDEN_CHILD";

/// The reduction that this process was started for, if it is a rank.
pub(crate) fn asked_for() -> Option<Reduction> {
    let name = std::env::var(CHILD).ok()?;
    let asked = Reduction::ALL.into_iter().find(|it| it.to_string() == name);
    Some(asked.expect("`parent` writes the name of a reduction"))
}

/// Starts `size` ranks of this program under mpirun; all of them must find all values right.
pub(crate) fn parent(size: usize, reduction: Reduction) -> Result<(), String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let output = mpirun()
        .args(["-np", &size.to_string()])
        .arg(program)
        .env(CHILD, reduction.to_string())
        .output()
        .map_err(|error| format!("mpirun cannot be started: {error}"))?;
    let printed = String::from_utf8_lossy(&output.stdout);
    let complaints = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        return Err(format!("mpirun ended with {}:\n{printed}{complaints}", output.status));
    }
    let cases = cases(size).len() * 2;
    let expected = format!("rank of {size}: {cases} cases are right, {reduction}");
    let agreed = printed.lines().filter(|line| **line == expected).count();
    if agreed == size { Ok(()) } else { Err(format!("{agreed} of {size} ranks agree:\n{printed}")) }
}

/// One rank: every case that this world can share out, in both precisions.
pub(crate) fn child(reduction: Reduction) -> ! {
    let outcome = MpiWorld::init().map_err(|error| error.to_string()).and_then(|world| {
        let mut world = Some(world);
        let size = world.as_ref().map_or(0, Communicator::world_size);
        let mut right = 0;
        for name in cases(size) {
            for precision in [Precision::Double, Precision::Single] {
                let lent = Lent(world.take().ok_or("the world was not given back")?);
                let (outcome, back) = lent.run(&Case::load(name, precision)?, reduction);
                outcome?;
                world = Some(back);
                right += 1;
            }
        }
        println!("rank of {size}: {right} cases are right, {reduction}");
        world.map_or(Ok(()), |mut world| world.leave()).map_err(|error| error.to_string())
    });
    if let Err(message) = outcome {
        eprintln!("{message}");
        std::process::exit(1);
    }
    std::process::exit(0);
}

fn cases(size: usize) -> Vec<&'static str> {
    NAMES.into_iter().filter(|name| case::world_sizes(name).contains(&size)).collect()
}

/// MPI starts once per process, so one world serves case after case.
struct Lent(MpiWorld);

impl Lent {
    fn run(self, case: &Case, reduction: Reduction) -> (Result<(), String>, MpiWorld) {
        let shared = std::sync::Arc::new(std::sync::Mutex::new(self.0));
        let outcome = drive::run(case, reduction, Box::new(Shared(shared.clone())));
        let world = std::sync::Arc::into_inner(shared)
            .and_then(|world| world.into_inner().ok())
            .expect("the case has ended and holds no world");
        (outcome, world)
    }
}

struct Shared(std::sync::Arc<std::sync::Mutex<MpiWorld>>);

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, MpiWorld> {
        self.0.lock().expect("no rank panics while it holds the world")
    }
}

impl Communicator for Shared {
    fn rank(&self) -> usize {
        self.lock().rank()
    }
    fn world_size(&self) -> usize {
        self.lock().world_size()
    }
    fn all_reduce_sum(&mut self, values: Values<'_>) -> Result<(), CollectiveError> {
        self.lock().all_reduce_sum(values)
    }
    fn all_gather(&mut self, mine: &[u8]) -> Result<Vec<Vec<u8>>, CollectiveError> {
        self.lock().all_gather(mine)
    }
    fn exchange(
        &mut self,
        peer: usize,
        send: &[u8],
        receive: &mut [u8],
    ) -> Result<(), CollectiveError> {
        self.lock().exchange(peer, send, receive)
    }
    fn duplicate(&mut self) -> Result<Box<dyn Communicator>, CollectiveError> {
        self.lock().duplicate()
    }
    fn barrier(&mut self) -> Result<(), CollectiveError> {
        self.lock().barrier()
    }
    fn leave(&mut self) -> Result<(), CollectiveError> {
        Ok(()) // the next case needs it
    }
}
