//! What every world promises, checked on all of them: one rank alone, ranks as threads, and ranks
//! as processes under mpirun.

mod laws;

use std::process::Command;

use lcsl_backends::MpiWorld;
use lcsl_collective::solo::Solo;
use lcsl_collective::{Communicator, threads};
use libtest_mimic::{Arguments, Failed, Trial};

use laws::{LAWS, Law};

/// Set in the ranks that mpirun starts.
const CHILD: &str = "LCSL_LAWS_CHILD";

fn main() {
    if std::env::var_os(CHILD).is_some() {
        child();
    }
    let arguments = Arguments::from_args();
    let mut trials = Vec::new();
    for (name, law) in LAWS {
        trials.push(Trial::test(format!("{name}, alone"), move || Ok(law(&mut Solo)?)));
        for size in [1, 2, 3, 7] {
            let label = format!("{name}, on {size} threads");
            trials.push(Trial::test(label, move || on_threads(law, size)));
        }
    }
    for size in [1, 2, 3] {
        let label = format!("all laws, under mpirun with {size} ranks");
        trials.push(Trial::test(label, move || under_mpirun(size)));
    }
    libtest_mimic::run(&arguments, trials).exit();
}

fn on_threads(law: Law, size: usize) -> Result<(), Failed> {
    let ranks: Vec<_> = threads::world(size)
        .into_iter()
        .map(|mut world| std::thread::spawn(move || law(&mut world)))
        .collect();
    let outcomes: Vec<_> = ranks.into_iter().map(std::thread::JoinHandle::join).collect();
    for outcome in outcomes {
        outcome.map_err(|_| "a rank panicked")??;
    }
    Ok(())
}

fn under_mpirun(size: usize) -> Result<(), Failed> {
    let output = Command::new("mpirun")
        .args(["-np", &size.to_string(), "--bind-to", "none"])
        .arg(std::env::current_exe()?)
        .env(CHILD, "1")
        .env("OMPI_ALLOW_RUN_AS_ROOT", "1")
        .env("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1")
        .env("OMPI_MCA_rmaps_base_oversubscribe", "1")
        .output()?;
    let printed = String::from_utf8_lossy(&output.stdout);
    let complaints = String::from_utf8_lossy(&output.stderr);
    let expected = format!("{} laws hold on rank of {size}", LAWS.len());
    let ranks = printed.lines().filter(|line| **line == expected).count();
    if output.status.success() && ranks == size {
        return Ok(());
    }
    Err(format!("{ranks} of {size} ranks finished:\n{printed}{complaints}").into())
}

fn child() -> ! {
    let outcome = MpiWorld::init().map_err(|error| error.to_string()).and_then(|mut world| {
        for (name, law) in LAWS {
            law(&mut world).map_err(|why| format!("{name}: {why}"))?;
        }
        println!("{} laws hold on rank of {}", LAWS.len(), world.world_size());
        world.leave().map_err(|error| error.to_string())
    });
    if let Err(why) = outcome {
        eprintln!("{why}");
        std::process::exit(1);
    }
    std::process::exit(0);
}
