//! Worlds of processes: this program starts itself again under mpirun.

use lcsl_backends::MpiWorld;
use lcsl_collective::{Checked, Communicator};
use libtest_mimic::{Failed, Trial};

use crate::breaches::{self, BREACHES, Breach};
use crate::laws::LAWS;
use crate::mpirun::mpirun;

/// Tells the ranks that mpirun starts what to do: a word of [`WorldVariant`], or the name of a breach.
const CHILD: &str = "LCSL_LAWS_CHILD";

/// Elements per MPI call in the runs that cut: small enough that every law crosses the limit.
const SMALL_PIECE: usize = 7;

/// How a world of processes runs the laws.
#[derive(Clone, Copy)]
enum WorldVariant {
    Plain,
    Checked,
    InPieces,
}

impl WorldVariant {
    const ALL: [(Self, &str); 3] =
        [(Self::Plain, "plain"), (Self::Checked, "checked"), (Self::InPieces, "cut into pieces")];
}

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for (_, word) in WorldVariant::ALL {
        for size in [1, 2, 3, 7] {
            let label = format!("all laws, {word}, under mpirun with {size} ranks");
            trials.push(Trial::test(label, move || laws_hold(word, size)));
        }
    }
    for breach in BREACHES.into_iter().filter(|breach| breach.under_mpirun) {
        let label = format!("{}, under mpirun", breach.name);
        trials.push(Trial::test(label, move || is_heard(&breach)));
    }
    trials
}

pub(crate) fn run_if_child() {
    let Ok(word) = std::env::var(CHILD) else { return };
    let outcome = MpiWorld::init().map_err(|error| error.to_string()).and_then(|world| {
        if let Some(breach) = BREACHES.into_iter().find(|breach| breach.name == word) {
            return commit(&breach, world);
        }
        match WorldVariant::ALL.into_iter().find(|(_, its)| *its == word) {
            Some((variant, _)) => keep(variant, world),
            None => Err(format!("no variant is called {word}")),
        }
    });
    if let Err(why) = outcome {
        eprintln!("{why}");
        std::process::exit(1);
    }
    std::process::exit(0);
}

fn keep(variant: WorldVariant, world: MpiWorld) -> Result<(), String> {
    let mut world: Box<dyn Communicator> = match variant {
        WorldVariant::Plain => Box::new(world),
        WorldVariant::Checked => Box::new(Checked::new(Box::new(world))),
        WorldVariant::InPieces => Box::new(world.in_pieces_of(SMALL_PIECE)),
    };
    for (name, law) in LAWS {
        law(world.as_mut()).map_err(|why| format!("{name}: {why}"))?;
    }
    println!("{} laws hold on rank of {}", LAWS.len(), world.world_size());
    world.leave().map_err(|error| error.to_string())
}

/// The last word is printed before anyone ends: mpirun ends all ranks when one fails.
fn commit(breach: &Breach, mut world: MpiWorld) -> Result<(), String> {
    let mut last = world.duplicate().map_err(|error| error.to_string())?;
    let rank = world.rank();
    let heard = breaches::commit(breach, Box::new(world));
    println!("rank {rank} heard: {heard}");
    last.barrier().map_err(|error| error.to_string())
}

fn laws_hold(word: &str, size: usize) -> Result<(), Failed> {
    let (printed, complaints, success) = under_mpirun(word, size)?;
    let expected = format!("{} laws hold on rank of {size}", LAWS.len());
    let ranks = printed.lines().filter(|line| **line == expected).count();
    if success && ranks == size {
        return Ok(());
    }
    Err(format!("{ranks} of {size} ranks finished:\n{printed}{complaints}").into())
}

fn is_heard(breach: &Breach) -> Result<(), Failed> {
    let (printed, complaints, _) = under_mpirun(breach.name, breaches::SIZE)?;
    for (rank, heard) in breach.heard.iter().enumerate() {
        let expected = format!("rank {rank} heard: {heard}");
        if !printed.lines().any(|line| line == expected) {
            return Err(format!("not heard: {expected}\n{printed}{complaints}").into());
        }
    }
    Ok(())
}

fn under_mpirun(word: &str, size: usize) -> Result<(String, String, bool), Failed> {
    let output = mpirun()
        .args(["-np", &size.to_string()])
        .arg(std::env::current_exe()?)
        .env(CHILD, word)
        .output()?;
    let [printed, complaints] =
        [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    Ok((printed, complaints, output.status.success()))
}
