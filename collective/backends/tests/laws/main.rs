//! What every world promises, checked on all of them: one rank alone, ranks as threads, and ranks as
//! processes under mpirun; each of them also with checked calls. And what happens to ranks that
//! break their side of the promise.

mod breaches;
mod laws;
#[path = "../support/mpirun.rs"]
mod mpirun;
mod processes;

use lcsl_collective::solo::Solo;
use lcsl_collective::{Checked, Communicator, threads};
use libtest_mimic::{Arguments, Failed, Trial};

use breaches::BREACHES;
use laws::{LAWS, Law};

fn main() {
    processes::run_if_child();
    let arguments = Arguments::from_args();
    let mut trials = Vec::new();
    for (name, law) in LAWS {
        trials.push(Trial::test(format!("{name}, alone"), move || Ok(law(&mut Solo)?)));
        for size in [1, 2, 3, 7] {
            let label = format!("{name}, on {size} threads");
            trials.push(Trial::test(label, move || on_threads(law, size, false)));
            let label = format!("{name}, on {size} checked threads");
            trials.push(Trial::test(label, move || on_threads(law, size, true)));
        }
    }
    for breach in BREACHES {
        let label = format!("{}, on threads", breach.name);
        trials.push(Trial::test(label, move || Ok(breaches::on_threads(&breach)?)));
    }
    trials.extend(processes::trials());
    libtest_mimic::run(&arguments, trials).exit();
}

fn on_threads(law: Law, size: usize, checked: bool) -> Result<(), Failed> {
    let ranks: Vec<_> = threads::world(size)
        .into_iter()
        .map(|world| {
            std::thread::spawn(move || {
                let mut world: Box<dyn Communicator> = Box::new(world);
                if checked {
                    world = Box::new(Checked::new(world));
                }
                law(world.as_mut())
            })
        })
        .collect();
    let outcomes: Vec<_> = ranks.into_iter().map(std::thread::JoinHandle::join).collect();
    for outcome in outcomes {
        outcome.map_err(|_| "a rank panicked")??;
    }
    Ok(())
}
