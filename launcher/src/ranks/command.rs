//! The command that starts the ranks: a pure function of the configuration and what was found.

use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::path::Path;

use lcsl_collective::control::{ADDRESS_VARIABLE, SECRET_VARIABLE};
use lcsl_config::RunConfig;

use super::environment::{self, LaunchEnvironment, Variables};

/// A program with its arguments and the variables that are set for it, on top of the launcher's
/// own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaunchCommand {
    /// The program. `mpirun` stands without its path: Open MPI takes an absolute path as a wish for
    /// another prefix.
    pub program: OsString,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// Variables, in the order in which they are shown.
    pub environment: Variables,
}

/// The command for a training run: one rank is started directly, several through mpirun.
pub fn train(config: &RunConfig, on: &LaunchEnvironment<'_>) -> LaunchCommand {
    let mut environment = environment::of_rank(config, on);
    environment.push((ADDRESS_VARIABLE, on.control.into()));
    environment.push((SECRET_VARIABLE, on.secret.into()));
    let arguments = vec!["train".into(), config.run.run_dir.clone().into()];
    ranks(config, on, arguments, environment)
}

/// The command that times `steps` steps of the run that `flags` describe, as for `lcsl train`, with a
/// delay before each sum over ranks.
pub fn bench_step(
    config: &RunConfig,
    on: &LaunchEnvironment<'_>,
    [steps, delay_ms]: [u64; 2],
    flags: &[OsString],
) -> LaunchCommand {
    let own =
        ["bench-step", "--steps", &steps.to_string(), "--delay-ms", &delay_ms.to_string(), "--"]
            .map(OsString::from);
    let arguments = own.into_iter().chain(flags.iter().cloned()).collect();
    ranks(config, on, arguments, environment::of_rank(config, on))
}

/// As many ranks as the configuration says, each with these arguments.
fn ranks(
    config: &RunConfig,
    on: &LaunchEnvironment<'_>,
    rank_arguments: Vec<OsString>,
    environment: Variables,
) -> LaunchCommand {
    if config.run.nproc == 1 {
        return LaunchCommand { program: on.rank.into(), arguments: rank_arguments, environment };
    }
    through_mpirun(config.run.nproc, &config.run.hosts, on, rank_arguments, environment)
}

/// The command that times sums over `nproc` ranks: `words` are the verb and what follows it.
pub fn bench_allreduce<const N: usize>(
    nproc: usize,
    hosts: &str,
    on: &LaunchEnvironment<'_>,
    words: [OsString; N],
) -> LaunchCommand {
    through_mpirun(nproc, hosts, on, words.into(), environment::of_libtorch(on))
}

/// Starts `nproc` ranks with these arguments.
fn through_mpirun(
    nproc: usize,
    hosts: &str,
    on: &LaunchEnvironment<'_>,
    rank_arguments: Vec<OsString>,
    mut environment: Variables,
) -> LaunchCommand {
    let mut arguments: Vec<OsString> =
        ["-np", &nproc.to_string(), "--bind-to", "none"].map(Into::into).into();
    if !hosts.is_empty() {
        arguments.extend(["--host".into(), hosts.into()]);
        // Other hosts get variables only by name; mpirun's own (OMPI_…) travel by themselves.
        for (name, _) in &environment {
            arguments.extend(["-x".into(), (*name).into()]);
        }
    }
    arguments.push(on.rank.into());
    arguments.extend(rank_arguments);
    environment.extend(environment::of_mpirun(on));
    LaunchCommand { program: "mpirun".into(), arguments, environment }
}

/// A command of a single rank that reads a run: `verb` is `eval` or `export`, `rest` what follows
/// the run directory.
pub fn read_run(
    config: &RunConfig,
    on: &LaunchEnvironment<'_>,
    verb: &str,
    run_dir: &Path,
    rest: Vec<OsString>,
) -> LaunchCommand {
    let mut arguments: Vec<OsString> = vec![verb.into(), run_dir.into()];
    arguments.extend(rest);
    let environment = environment::of_rank(config, on);
    LaunchCommand { program: on.rank.into(), arguments, environment }
}

impl LaunchCommand {
    /// The command as a line for a shell.
    pub fn shell_line(&self) -> String {
        let words = std::iter::once(&self.program).chain(&self.arguments);
        words.map(|word| quoted(word)).collect::<Vec<_>>().join(" ")
    }

    /// The variables, a line each, as a shell would set them.
    pub fn environment_lines(&self) -> String {
        let mut text = String::new();
        for (name, value) in &self.environment {
            let _ = writeln!(text, "{name}={}", quoted(value));
        }
        text
    }
}

fn quoted(word: &OsStr) -> String {
    let word = word.to_string_lossy();
    // The only word that cannot be quoted holds a NUL byte, which no argument can.
    shlex::try_quote(&word).map_or_else(|_| word.to_string(), Into::into)
}

#[cfg(test)]
mod tests {
    use lcsl_config::{Machine, parse_train};

    use super::*;
    use crate::ranks::environment::Inherited;

    fn inherited() -> Inherited {
        let session = "/tmp/lcsl-0-h-9".into();
        Inherited { library_path: None, devices: None, is_root: false, session }
    }

    fn shown(flags: &[&str], change: impl Fn(&mut Inherited)) -> String {
        let machine = Machine { cores: 8, gpus: Some(4) };
        let flags: Vec<OsString> = flags.iter().map(Into::into).collect();
        let config = parse_train(&flags, &machine).unwrap().config;
        let mut inherited = inherited();
        change(&mut inherited);
        let on = LaunchEnvironment {
            rank: Path::new("/opt/lcsl/lcsl-rank"),
            libtorch: Some(Path::new("/opt/libtorch/lib")),
            control: "127.0.0.1:4000",
            secret: "5ec7e7",
            inherited: &inherited,
        };
        let command = train(&config, &on);
        format!("{}{}", command.environment_lines(), command.shell_line())
    }

    #[test]
    fn one_rank_is_started_directly() {
        insta::assert_snapshot!(shown(&["--gpu=cpu", "--run_dir=runs/a b"], |_| ()), @r"
        OMP_NUM_THREADS=8
        MKL_NUM_THREADS=8
        LD_LIBRARY_PATH=/opt/libtorch/lib
        LCSL_CONTROL=127.0.0.1:4000
        LCSL_CONTROL_SECRET=5ec7e7
        /opt/lcsl/lcsl-rank train 'runs/a b'
        ");
    }

    #[test]
    fn several_ranks_go_through_mpirun() {
        let text = shown(&["--gpu=cpu", "--nproc=2", "--run_dir=r"], |inherited| {
            inherited.is_root = true;
            inherited.library_path = Some("/usr/local/lib".into());
        });
        insta::assert_snapshot!(text, @r"
        OMP_NUM_THREADS=1
        MKL_NUM_THREADS=1
        LD_LIBRARY_PATH=/opt/libtorch/lib:/usr/local/lib
        LCSL_CONTROL=127.0.0.1:4000
        LCSL_CONTROL_SECRET=5ec7e7
        OMPI_MCA_rmaps_base_oversubscribe=1
        OMPI_MCA_hwloc_base_binding_policy=none
        OMPI_MCA_oob_tcp_keepalive_time=5
        OMPI_MCA_oob_tcp_keepalive_intvl=2
        OMPI_MCA_oob_tcp_keepalive_probes=3
        OMPI_MCA_orte_top_session_dir=/tmp/lcsl-0-h-9
        OMPI_ALLOW_RUN_AS_ROOT=1
        OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
        mpirun -np 2 --bind-to none /opt/lcsl/lcsl-rank train r
        ");
    }

    #[test]
    fn other_hosts_are_given_the_variables_by_name() {
        let flags = ["--gpu=cpu", "--nproc=4", "--hosts=a:2,b:2", "--run_dir=r"];
        let text = shown(&flags, |_| ());
        let line = text.lines().last().unwrap();
        insta::assert_snapshot!(line, @"mpirun -np 4 --bind-to none --host 'a:2,b:2' -x OMP_NUM_THREADS -x MKL_NUM_THREADS -x LD_LIBRARY_PATH -x LCSL_CONTROL -x LCSL_CONTROL_SECRET /opt/lcsl/lcsl-rank train r");
        assert!(!line.contains("5ec7e7"), "the secret must not be seen in a list of processes");
    }

    #[test]
    fn sums_are_timed_under_the_settings_of_a_run() {
        let (rank, libtorch) = (Path::new("/opt/lcsl/lcsl-rank"), Path::new("/opt/libtorch/lib"));
        let inherited = inherited();
        let on = LaunchEnvironment::uncontrolled(rank, libtorch, &inherited);
        let command = bench_allreduce(2, "a:1,b:1", &on, ["bench-allreduce".into()]);
        let text = format!("{}{}", command.environment_lines(), command.shell_line());
        insta::assert_snapshot!(text, @r"
        LD_LIBRARY_PATH=/opt/libtorch/lib
        OMPI_MCA_rmaps_base_oversubscribe=1
        OMPI_MCA_hwloc_base_binding_policy=none
        OMPI_MCA_oob_tcp_keepalive_time=5
        OMPI_MCA_oob_tcp_keepalive_intvl=2
        OMPI_MCA_oob_tcp_keepalive_probes=3
        OMPI_MCA_orte_top_session_dir=/tmp/lcsl-0-h-9
        mpirun -np 2 --bind-to none --host 'a:1,b:1' -x LD_LIBRARY_PATH /opt/lcsl/lcsl-rank bench-allreduce
        ");
    }

    #[test]
    fn listed_gpus_are_made_visible_in_the_order_given() {
        let text = shown(&["--gpu=0,2", "--hosts=a:2", "--run_dir=r"], |inherited| {
            inherited.devices = Some("7,6,5,4".to_owned());
        });
        assert!(text.contains("\nCUDA_VISIBLE_DEVICES='7,5'\nLCSL_DEVICES_NARROWED=1\n"), "{text}");
        let both = "-x CUDA_VISIBLE_DEVICES -x LCSL_DEVICES_NARROWED ";
        assert!(text.contains("mpirun -np 2 ") && text.contains(both), "{text}");
    }
}
