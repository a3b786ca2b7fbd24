//! What started `lcsl`, told by the variables that it left: mpirun, a step of Slurm, or a shell that is
//! set up for another launcher. `lcsl` starts its ranks by itself, so it is to be started once.

use lcsl_config::{Devices, RunConfig};
use lcsl_text::counted;

use crate::fault::Fault;

/// The value of a variable; none where it is not set.
pub type Variable<'a> = dyn Fn(&str) -> Option<String> + 'a;

/// A variable of this process.
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Refuses to be one of several processes of mpirun: when the first of them cannot have the run directory
/// mpirun ends them all, and the ranks of the one that can would take themselves for its own.
pub fn check(variable: &Variable<'_>) -> Result<(), Fault> {
    let count = |name| variable(name).and_then(|value| value.parse::<u64>().ok()).unwrap_or(1);
    // Slurm, too, sets PMI_SIZE.
    let in_step = variable("SLURM_STEP_ID").is_some();
    let processes = match count("OMPI_COMM_WORLD_SIZE") {
        1 if !in_step => count("PMI_SIZE"),
        processes => processes,
    };
    if processes <= 1 {
        return Ok(());
    }
    Err(Fault::usage(
        format!("mpirun has started lcsl as one of {processes} processes"),
        format!(
            "start lcsl once, without mpirun: --nproc={processes} makes it start as many ranks"
        ),
    ))
}

/// A sentence where others compute on the cores that a run wants.
pub fn competition(others: usize, cores: usize) -> Option<String> {
    (others > 0).then(|| {
        let threads = counted(others as u64, "thread");
        format!(
            "{threads} of other programs run on the {cores} cores of this machine: steps will take longer"
        )
    })
}

/// How many threads of others compete for the cores that a run wants; none where there are cores enough, and where it
/// is not known. `running` counts those of the machine, which takes a moment.
pub fn competitors(config: &RunConfig, cores: usize, running: impl FnOnce() -> usize) -> usize {
    let run = &config.run;
    if run.gpu != Devices::Cpu || !run.hosts.is_empty() {
        return 0;
    }
    let (wanted, running) = ((run.nproc * run.threads).min(cores), running());
    if wanted + running > cores { running } else { 0 }
}

/// What a person may believe to have an effect and has none, a sentence each.
pub fn notes(config: &RunConfig, variable: &Variable<'_>) -> Vec<String> {
    let mut notes: Vec<String> = step_of_several_tasks(variable).into_iter().collect();
    let threads = config.run.threads.to_string();
    for name in ["OMP_NUM_THREADS", "MKL_NUM_THREADS"] {
        if let Some(value) = variable(name).filter(|value| *value != threads) {
            notes.push(format!(
                "{name}={} is not used: each process has {threads} (run.threads); --threads sets it",
                value.escape_debug()
            ));
        }
    }
    let foreign = ["RANK", "LOCAL_RANK", "WORLD_SIZE"];
    let set: Vec<&str> = foreign.into_iter().filter(|name| variable(name).is_some()).collect();
    if let Some((last, others)) = set.split_last() {
        let (names, verb) = match others {
            [] => ((*last).to_owned(), "is"),
            _ => (format!("{} and {last}", others.join(", ")), "are"),
        };
        notes.push(format!(
            "{names} {verb} set, as for torchrun, and not used: --nproc and --hosts say how many \
             processes train, and where"
        ));
    }
    notes
}

/// A step with several tasks runs the same command as often. A batch script is no step, and an
/// interactive shell (`srun --pty`) is one command, whatever its allocation.
fn step_of_several_tasks(variable: &Variable<'_>) -> Option<String> {
    let tasks = variable("SLURM_STEP_NUM_TASKS").or_else(|| variable("SLURM_NTASKS"));
    let tasks: u64 = tasks?.parse().ok()?;
    let interactive = variable("SLURM_PTY_PORT").is_some();
    let one_of_several = tasks > 1 && !interactive && variable("SLURM_STEP_ID").is_some();
    one_of_several.then(|| {
        format!(
            "srun has started lcsl once for each of {tasks} tasks, and only one of them can have the \
             run directory: start lcsl once, in the batch script or with srun --ntasks=1, and give \
             --nproc={tasks}"
        )
    })
}

#[cfg(test)]
mod tests {
    use lcsl_config::{Machine, parse_train};

    use super::*;

    fn from<'a>(set: &'a [(&'a str, &'a str)]) -> impl Fn(&str) -> Option<String> + 'a {
        |name| set.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
    }

    fn said(set: &[(&str, &str)]) -> Vec<String> {
        let flags = ["--gpu=cpu", "--threads=2"].map(Into::into);
        let config = parse_train(&flags, &Machine { cores: 2, gpus: None }).unwrap().config;
        notes(&config, &from(set))
    }

    /// Story: `mpirun -np 4 lcsl train …`, as for other trainers, made four launchers fight for one run
    /// directory, and said only that it was in use.
    #[test]
    fn one_of_several_processes_of_mpirun_is_refused() {
        for set in [&[("OMPI_COMM_WORLD_SIZE", "4")][..], &[("PMI_SIZE", "4"), ("PMI_RANK", "0")]] {
            let fault = check(&from(set)).unwrap_err();
            insta::allow_duplicates! {
                insta::assert_snapshot!(fault, @r"
                mpirun has started lcsl as one of 4 processes
                  hint: start lcsl once, without mpirun: --nproc=4 makes it start as many ranks
                ");
            }
        }
        for set in [
            &[][..],
            &[("OMPI_COMM_WORLD_SIZE", "1")],
            &[("PMI_SIZE", "4"), ("SLURM_STEP_ID", "0")],
            &[("OMPI_COMM_WORLD_SIZE", "many")],
        ] {
            assert!(check(&from(set)).is_ok(), "{set:?}");
        }
    }

    /// Story: `srun --ntasks=4 lcsl train …` as well. The batch script and `srun --pty` are right use.
    #[test]
    fn one_of_several_tasks_of_a_step_is_told() {
        let step = [("SLURM_STEP_ID", "0"), ("SLURM_STEP_NUM_TASKS", "4")];
        let said_of_step = said(&step);
        assert!(said_of_step[0].starts_with("srun has started lcsl once for each of 4 tasks"));
        assert_eq!(said(&step[1..]), [""; 0], "a batch script");
        let shell = [&step[..], &[("SLURM_PTY_PORT", "40000")]].concat();
        assert_eq!(said(&shell), [""; 0], "srun --pty");
        assert_eq!(said(&[("SLURM_STEP_ID", "0"), ("SLURM_STEP_NUM_TASKS", "1")]), [""; 0]);
    }

    /// Story: with one other program at work a step took four times as long, and nothing said why.
    #[test]
    fn others_on_the_same_cores_are_mentioned() {
        let of = |flags: &[&str], running| {
            let flags: Vec<_> = flags.iter().map(Into::into).collect();
            let machine = Machine { cores: 2, gpus: Some(1) };
            competitors(&parse_train(&flags, &machine).unwrap().config, 2, || running)
        };
        assert_eq!(of(&["--gpu=cpu"], 1), 1);
        assert_eq!(of(&["--gpu=cpu"], 0), 0);
        assert_eq!(of(&["--gpu=cpu", "--threads=1"], 1), 0, "a core for each");
        assert_eq!(of(&["--gpu=cpu", "--nproc=2"], 2), 2);
        assert_eq!(of(&["--gpu=0"], 5), 0, "the card computes");
        insta::assert_snapshot!(
            competition(1, 2).unwrap(),
            @"1 thread of other programs run on the 2 cores of this machine: steps will take longer"
        );
        assert_eq!(competition(0, 2), None);
    }

    /// Story: `OMP_NUM_THREADS` and `WORLD_SIZE` were set, as other launchers want them, and had no effect.
    #[test]
    fn variables_that_are_not_used_are_named() {
        let set = [("OMP_NUM_THREADS", "8"), ("RANK", "0"), ("WORLD_SIZE", "4")];
        let [threads, ranks] = &said(&set)[..] else { panic!("{:?}", said(&set)) };
        insta::assert_snapshot!(
            threads,
            @"OMP_NUM_THREADS=8 is not used: each process has 2 (run.threads); --threads sets it"
        );
        assert!(ranks.starts_with("RANK and WORLD_SIZE are set, as for torchrun, and not used: "));
        assert_eq!(said(&[("OMP_NUM_THREADS", "2")]), [""; 0], "it has the value that is used");
        assert!(said(&[("RANK", "1")])[0].starts_with("RANK is set, as for torchrun, "));
    }
}
