//! Golden tests of the training step: the very function that training calls, on stored inputs,
//! against the values of the executable specification (tests/golden/README.md).
//!
//! Every case runs in float64 freely from its initial state, and in float32 one step at a time; on
//! worlds of threads of every size that divides its logical ranks, and on worlds of processes under
//! mpirun. `LCSL_GOLDEN_DIR` names another folder of values.

mod case;
mod compare;
mod damage;
mod drive;
mod processes;

use libtest_mimic::{Arguments, Failed, Trial};

use case::{Case, NAMES, Precision};

fn main() {
    tch::set_num_threads(1);
    if processes::is_child() {
        processes::child();
    }
    let arguments = Arguments::from_args();
    let mut trials = Vec::new();
    for name in NAMES {
        for precision in [Precision::Double, Precision::Single] {
            for size in case::world_sizes(name) {
                let label = format!("golden_{name}_{precision}_on_{size}_threads");
                trials.push(Trial::test(label, move || on_threads(name, precision, size)));
            }
        }
        trials.push(Trial::test(format!("golden_{name}_optimiser"), move || {
            drive::optimiser(&Case::load(name, Precision::Single)?).map_err(Failed::from)
        }));
    }
    for name in ["three_ranks_uneven", "empty_part", "accumulate"] {
        for size in case::world_sizes(name) {
            let label = format!("golden_{name}_where_more_was_planned_on_{size}_threads");
            trials.push(Trial::test(label, move || where_more_was_planned(name, size)));
        }
    }
    for size in [2, 3, 4] {
        let label = format!("golden_under_mpirun_with_{size}_ranks");
        trials.push(Trial::test(label, move || processes::parent(size).map_err(Failed::from)));
    }
    trials.extend(damage::trials());
    libtest_mimic::run(&arguments, trials).exit();
}

fn on_threads(name: &'static str, precision: Precision, size: usize) -> Result<(), Failed> {
    drive::on_threads(size, move || Case::load(name, precision)).map_err(Failed::from)
}

/// Images that are left out of a batch, because their records are corrupt, are in no mean: the step is
/// the one that would have been made had they never been planned.
fn where_more_was_planned(name: &'static str, size: usize) -> Result<(), Failed> {
    let make = move || {
        let mut case = Case::load(name, Precision::Double)?;
        case.missing = 3;
        Ok(case)
    };
    drive::on_threads(size, make).map_err(Failed::from)
}
