//! Golden tests of the training step: the very function that training calls, on stored inputs,
//! against the values of the executable specification (tests/golden/README.md).
//!
//! Every case runs in float64 freely from its initial state, and in float32 one step at a time; on
//! worlds of threads of every size that divides its logical ranks, and on worlds of processes under
//! mpirun; with gradients summed in order and while the backward pass goes on, wherever both exist.
//! `LCSL_GOLDEN_DIR` names another folder of values.

mod case;
mod compare;
mod damage;
mod device;
mod drive;
#[path = "../../../collective/backends/tests/support/mpirun.rs"]
mod mpirun;
mod processes;
mod reduction;

use libtest_mimic::{Arguments, Failed, Trial};
use tch::Device;

use case::{Case, NAMES, Precision};
use device::device;
use reduction::Reduction;

fn main() {
    tch::set_num_threads(1);
    if let Some(reduction) = processes::asked_for() {
        processes::child(reduction);
    }
    let arguments = Arguments::from_args();
    let mut trials = Vec::new();
    for name in NAMES {
        for precision in [Precision::Double, Precision::Single] {
            let kernels = case::convolutions(name, precision);
            for (size, reduction) in worlds(case::world_sizes(name)) {
                let label =
                    format!("golden_{name}_{precision}{kernels}_{reduction}_on_{size}_threads");
                let run = move || on_threads(name, precision, size, reduction);
                trials.push(Trial::test(label, run));
            }
        }
        trials.push(Trial::test(format!("golden_{name}_optimiser"), move || {
            drive::optimiser(&Case::load(name, Precision::Single)?).map_err(Failed::from)
        }));
    }
    for name in ["three_ranks_uneven", "empty_part", "accumulate"] {
        for (size, reduction) in worlds(case::world_sizes(name)) {
            let label =
                format!("golden_{name}_where_more_was_planned_{reduction}_on_{size}_threads");
            trials.push(Trial::test(label, move || where_more_was_planned(name, size, reduction)));
        }
    }
    // A card takes one rank, so ranks of several processes stay on the CPU.
    let processes = if device() == Device::Cpu { vec![2, 3, 4] } else { Vec::new() };
    for (size, reduction) in worlds(processes) {
        let label = format!("golden_{reduction}_under_mpirun_with_{size}_ranks");
        let run = move || processes::parent(size, reduction).map_err(Failed::from);
        trials.push(Trial::test(label, run));
    }
    trials.extend(damage::trials());
    libtest_mimic::run(&arguments, trials).exit();
}

/// Each size with each of its reductions.
fn worlds(sizes: Vec<usize>) -> impl Iterator<Item = (usize, Reduction)> {
    let cards = device() != Device::Cpu;
    let sizes = sizes.into_iter().filter(move |size| !cards || *size == 1);
    let both = |size| Reduction::of_world(size).map(move |reduction| (size, reduction));
    sizes.flat_map(both)
}

fn on_threads(
    name: &'static str,
    precision: Precision,
    size: usize,
    reduction: Reduction,
) -> Result<(), Failed> {
    drive::on_threads(size, reduction, move || Case::load(name, precision)).map_err(Failed::from)
}

/// Images that are skipped in a batch, because their records are corrupt, are in no mean: the step is
/// the one that would have been made had they never been planned.
fn where_more_was_planned(
    name: &'static str,
    size: usize,
    reduction: Reduction,
) -> Result<(), Failed> {
    let make = move || {
        let mut case = Case::load(name, Precision::Double)?;
        case.missing = 3;
        Ok(case)
    };
    drive::on_threads(size, reduction, make).map_err(Failed::from)
}
