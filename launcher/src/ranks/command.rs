//! The command that starts the ranks: a pure function of the configuration and what was found.

use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::path::Path;

use lcsl_config::{HostSlots, RunConfig, host_list};

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
    /// Whether the program is mpirun, and not the only rank itself.
    pub through_mpirun: bool,
}

/// The command for a training run: one rank is started directly, several through mpirun.
pub fn train(config: &RunConfig, on: &LaunchEnvironment<'_>) -> LaunchCommand {
    let mut environment = environment::of_rank(config, on);
    environment.extend(environment::of_control(on));
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
    // One rank of another host needs mpirun, too, which starts it there.
    if config.run.nproc == 1 && config.run.hosts.is_empty() {
        return alone(on, rank_arguments, environment);
    }
    through_mpirun(config.run.nproc, &config.run.host_slots(), on, rank_arguments, environment)
}

/// The command that times sums over `nproc` ranks: `words` are the verb and what follows it.
pub fn bench_allreduce<const N: usize>(
    nproc: usize,
    hosts: &[HostSlots],
    on: &LaunchEnvironment<'_>,
    words: [OsString; N],
) -> LaunchCommand {
    through_mpirun(nproc, hosts, on, words.into(), environment::of_libtorch(on))
}

/// The command that times sums over the GPUs of a configuration. Even one rank is started by mpirun.
pub fn bench_allreduce_on_gpus(
    config: &RunConfig,
    on: &LaunchEnvironment<'_>,
    arguments: Vec<OsString>,
) -> LaunchCommand {
    let environment = environment::of_rank(config, on);
    through_mpirun(config.run.nproc, &config.run.host_slots(), on, arguments, environment)
}

/// Starts `nproc` ranks with these arguments.
fn through_mpirun(
    nproc: usize,
    hosts: &[HostSlots],
    on: &LaunchEnvironment<'_>,
    rank_arguments: Vec<OsString>,
    mut environment: Variables,
) -> LaunchCommand {
    let mut arguments: Vec<OsString> =
        ["-np", &nproc.to_string(), "--bind-to", "none"].map(Into::into).into();
    if !hosts.is_empty() {
        environment.extend(environment::of_nccl(on));
        arguments.extend(["--host".into(), host_list(hosts).into()]);
        // Other hosts get variables only by name; mpirun's own (OMPI_…) travel by themselves.
        let named = environment.iter().map(|(name, _)| *name).chain(on.inherited.to_pass_on());
        for name in named {
            arguments.extend(["-x".into(), name.into()]);
        }
    }
    arguments.push(on.rank.into());
    arguments.extend(rank_arguments);
    environment.extend(environment::of_mpirun(on, !hosts.is_empty()));
    LaunchCommand { program: "mpirun".into(), arguments, environment, through_mpirun: true }
}

/// The only rank, started directly.
fn alone(
    on: &LaunchEnvironment<'_>,
    arguments: Vec<OsString>,
    environment: Variables,
) -> LaunchCommand {
    LaunchCommand { program: on.rank.into(), arguments, environment, through_mpirun: false }
}

/// The command that measures a run on as many ranks as the configuration says; `rest` is what follows the run
/// directory.
pub fn eval(
    config: &RunConfig,
    on: &LaunchEnvironment<'_>,
    run_dir: &Path,
    rest: Vec<OsString>,
) -> LaunchCommand {
    let lcsl_config::Run { nproc, gpu, threads, .. } = &config.run;
    let place =
        [format!("--nproc={nproc}"), format!("--gpu={gpu}"), format!("--threads={threads}")];
    let mut arguments: Vec<OsString> = vec!["eval".into(), run_dir.into()];
    arguments.extend(rest.into_iter().chain(place.map(OsString::from)));
    let mut environment = environment::of_rank(config, on);
    environment.extend(environment::of_control(on));
    ranks(config, on, arguments, environment)
}

/// The command of the one rank that exports a run or uses its model, as `name` says; `rest` is what follows the run
/// directory.
pub fn one_rank(
    config: &RunConfig,
    on: &LaunchEnvironment<'_>,
    (name, run_dir): (&str, &Path),
    rest: Vec<OsString>,
) -> LaunchCommand {
    let mut arguments: Vec<OsString> = vec![name.into(), run_dir.into()];
    arguments.extend(rest);
    alone(on, arguments, environment::of_rank(config, on))
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
    use crate::ranks::interface::Interface;

    fn shown(flags: &[&str], change: impl Fn(&mut Inherited)) -> String {
        let machine = Machine { cores: 8, gpus: Some(4) };
        let flags: Vec<OsString> = flags.iter().map(Into::into).collect();
        let config = parse_train(&flags, &machine).unwrap().config;
        let mut inherited = Inherited::nothing();
        change(&mut inherited);
        let on = LaunchEnvironment {
            rank: Path::new("/opt/lcsl/lcsl-rank"),
            libtorch: Some(Path::new("/opt/libtorch/lib")),
            control: "127.0.0.1:4000",
            secret: "5ec7e7",
            inherited: &inherited,
            interface: None,
        };
        let command = train(&config, &on);
        format!("{}{}", command.environment_lines(), command.shell_line())
    }

    #[test]
    fn one_rank_is_started_directly() {
        insta::assert_snapshot!(shown(&["--gpu=cpu", "--run_dir=runs/a b"], |_| ()), @r"
        OMP_NUM_THREADS=8
        MKL_NUM_THREADS=8
        GOMP_SPINCOUNT=3000
        LD_LIBRARY_PATH=/opt/libtorch/lib
        LCSL_CONTROL=127.0.0.1:4000
        LCSL_CONTROL_SECRET=5ec7e7
        /opt/lcsl/lcsl-rank train 'runs/a b'
        ");
    }

    /// Story: beside one other program on two cores a step took 418 ms where 316 were possible, since threads looked
    /// 3,000 times for a neighbour that was not running.
    #[test]
    fn threads_that_wait_sleep_at_once_where_others_compute() {
        let spins = |change: &dyn Fn(&mut Inherited)| {
            let text = shown(&["--gpu=cpu", "--run_dir=r"], change);
            text.lines().find(|line| line.starts_with("GOMP_SPINCOUNT")).map(str::to_owned)
        };
        assert_eq!(spins(&|_| ()).unwrap(), "GOMP_SPINCOUNT=3000");
        assert_eq!(spins(&|on| on.competitors = 1).unwrap(), "GOMP_SPINCOUNT=0");
        let said = |on: &mut Inherited| (on.competitors, on.has_wait_policy) = (1, true);
        assert_eq!(spins(&said), None, "a person has said it");
        let waits = |change: &dyn Fn(&mut Inherited)| {
            let text = shown(&["--gpu=cpu", "--nproc=2", "--run_dir=r"], change);
            text.contains("OMPI_MCA_mpi_yield_when_idle=1\n")
        };
        assert!(!waits(&|_| ()));
        assert!(waits(&|on| on.competitors = 1));
        let said = |on: &mut Inherited| {
            on.competitors = 1;
            on.network = vec!["OMPI_MCA_mpi_yield_when_idle".into()];
        };
        assert!(!waits(&said), "a person has said it");
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
        OMPI_MCA_odls_base_sigkill_timeout=5
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
        let inherited = Inherited::nothing();
        let on = LaunchEnvironment::uncontrolled(rank, libtorch, &inherited);
        let command = bench_allreduce(
            2,
            &lcsl_config::host_slots("a,b", 1).unwrap(),
            &on,
            ["bench-allreduce".into()],
        );
        let text = format!("{}{}", command.environment_lines(), command.shell_line());
        insta::assert_snapshot!(text, @r"
        LD_LIBRARY_PATH=/opt/libtorch/lib
        OMPI_MCA_rmaps_base_oversubscribe=1
        OMPI_MCA_hwloc_base_binding_policy=none
        OMPI_MCA_oob_tcp_keepalive_time=5
        OMPI_MCA_oob_tcp_keepalive_intvl=2
        OMPI_MCA_oob_tcp_keepalive_probes=3
        OMPI_MCA_odls_base_sigkill_timeout=5
        OMPI_MCA_plm_rsh_args='-o BatchMode=yes -o ConnectTimeout=15'
        OMPI_MCA_orte_top_session_dir=/tmp/lcsl-0-h-9
        mpirun -np 2 --bind-to none --host 'a:1,b:1' -x LD_LIBRARY_PATH /opt/lcsl/lcsl-rank bench-allreduce
        ");
    }

    #[test]
    fn listed_gpus_are_made_visible_in_the_order_given() {
        let text = shown(&["--gpu=0,2", "--run_dir=r"], |inherited| {
            inherited.devices = Some("7,6,5,4".to_owned());
        });
        assert!(text.contains("\nCUDA_VISIBLE_DEVICES='7,5'\nLCSL_DEVICES_NARROWED=1\n"), "{text}");
        assert!(text.contains("mpirun -np 2 "), "{text}");
    }

    #[test]
    fn cublas_is_deterministic_where_the_run_is() {
        let flags = ["--gpu=0", "--run_dir=r", "--deterministic"];
        let text = shown(&flags, |_| ());
        assert!(text.contains("\nCUBLAS_WORKSPACE_CONFIG=:4096:8\n"), "{text}");
        assert!(!shown(&flags[..2], |_| ()).contains("CUBLAS"));
    }

    /// Story: the launcher's own `CUDA_VISIBLE_DEVICES` was forced onto all hosts. Where Slurm had granted GPU 1 on
    /// the one and GPU 0 on the other, both got 1.
    #[test]
    fn on_several_hosts_each_rank_looks_for_its_gpu_itself() {
        let text = shown(&["--gpu=0,1", "--hosts=a,b", "--run_dir=r"], |inherited| {
            inherited.devices = Some("2,3".to_owned());
            inherited.network = vec!["NCCL_DEBUG".to_owned(), "OMPI_MCA_btl".to_owned()];
            inherited.in_slurm = true;
        });
        assert!(!text.contains("CUDA_VISIBLE_DEVICES") && !text.contains("NARROWED"), "{text}");
        assert!(text.contains("mpirun -np 4 --bind-to none --host 'a:2,b:2' "), "{text}");
        assert!(text.contains(" -x NCCL_DEBUG ") && !text.contains("-x OMPI_MCA_btl"), "{text}");
        assert!(text.contains("\nSLURM_OVERLAP=1\n"), "{text}");
    }

    /// Story: `--nproc=1 --hosts=h2:1` trained on the host that it was typed on.
    #[test]
    fn one_rank_of_another_host_is_started_there() {
        let text = shown(&["--gpu=cpu", "--hosts=h2:1", "--run_dir=r"], |_| ());
        assert!(text.contains("mpirun -np 1 --bind-to none --host h2:1 "), "{text}");
    }

    #[test]
    fn mpi_keeps_to_the_interface_unless_a_person_has_set_it_up() {
        let flags = ["--gpu=cpu", "--hosts=a,b", "--run_dir=r"];
        let interface = Interface {
            name: "eth0".to_owned(),
            address: std::net::Ipv4Addr::new(10, 77, 0, 11),
            network: "10.77.0.0/24".to_owned(),
            named: true,
        };
        let shown = |network: &[&str]| {
            let network = network.iter().map(|name| (*name).to_owned()).collect();
            let inherited = Inherited { network, ..Inherited::nothing() };
            let flags: Vec<OsString> = flags.iter().map(Into::into).collect();
            let machine = Machine { cores: 8, gpus: None };
            let config = parse_train(&flags, &machine).unwrap().config;
            let (rank, libtorch) = (Path::new("/opt/lcsl-rank"), Some(Path::new("/opt/lib")));
            let (control, secret, interface) = ("10.77.0.11:1", "s", Some(&interface));
            let on = LaunchEnvironment {
                rank,
                libtorch,
                control,
                secret,
                inherited: &inherited,
                interface,
            };
            train(&config, &on).environment_lines()
        };
        let text = shown(&[]);
        for line in [
            "OMPI_MCA_plm_rsh_args='-o BatchMode=yes -o ConnectTimeout=15'",
            "OMPI_MCA_oob_tcp_if_include=10.77.0.0/24",
            "OMPI_MCA_btl_tcp_if_include=10.77.0.0/24",
            "NCCL_SOCKET_IFNAME='=eth0'",
        ] {
            assert!(text.contains(line), "{line}: {text}");
        }
        let text =
            shown(&["OMPI_MCA_btl_tcp_if_exclude", "OMPI_MCA_plm_rsh_args", "NCCL_SOCKET_IFNAME"]);
        assert!(text.contains("oob_tcp_if_include") && !text.contains("btl_tcp_if"), "{text}");
        assert!(!text.contains("plm_rsh_args") && !text.contains("NCCL_SOCKET"), "{text}");
    }
}
