//! `lcsl submit`: the flags of `lcsl train`, and those of a job, as a batch script that is given to Slurm.

use std::ffi::OsString;
use std::io::Write as _;
use std::process::{Command, Stdio};

use clap::Args;
use lcsl_config::{Allocation, Machine, Stop, TrainCommand, parse_train_in};

use super::with_training::{self, Asked};
use crate::fault::Fault;
use crate::slurm::job::Job;
use crate::slurm::script::batch_script;
use crate::terminal;
use lcsl_run_dir::exit;

/// What a job asks for, beside the flags of `lcsl train`.
#[derive(Debug, Args)]
pub struct Submit {
    /// Nodes
    #[arg(long, default_value_t = 1, help_heading = "Job")]
    nodes: usize,
    /// GPUs of each node, and ranks on it; 0 for CPUs alone
    #[arg(
        long = "gpus_per_node",
        alias = "gpus-per-node",
        default_value_t = 1,
        help_heading = "Job"
    )]
    gpus_per_node: usize,
    /// Ranks on each node, where it has no GPUs [default: as many as GPUs, or 1]
    #[arg(long = "ranks_per_node", alias = "ranks-per-node", help_heading = "Job")]
    ranks_per_node: Option<usize>,
    /// Cores of each rank
    #[arg(
        long = "cpus_per_task",
        alias = "cpus-per-task",
        default_value_t = 8,
        help_heading = "Job"
    )]
    cpus_per_task: usize,
    /// Longest time, as Slurm writes it
    #[arg(long, default_value = "24:00:00", help_heading = "Job")]
    time: String,
    /// Seconds before the end of that time at which a checkpoint is saved and the job requeued
    #[arg(
        long = "save_seconds",
        alias = "save-seconds",
        default_value_t = 120,
        help_heading = "Job"
    )]
    save_seconds: u64,
    /// Partition
    #[arg(long, help_heading = "Job")]
    partition: Option<String>,
    /// Account
    #[arg(long, help_heading = "Job")]
    account: Option<String>,
    /// Quality of service
    #[arg(long, help_heading = "Job")]
    qos: Option<String>,
    /// Memory of each node
    #[arg(long, help_heading = "Job")]
    mem: Option<String>,
    /// Name of the job [default: dataset and method]
    #[arg(long = "job_name", alias = "job-name", help_heading = "Job")]
    job_name: Option<String>,
    /// A key and its values, such as seed=0,1,2: a task for each, and for each combination where given again
    #[arg(long, value_name = "KEY=VALUES", help_heading = "Job")]
    array: Vec<String>,
    /// Tasks of the array at a time; 0 is no limit
    #[arg(long = "array_limit", alias = "array-limit", default_value_t = 0, help_heading = "Job")]
    array_limit: usize,
    /// As many jobs, each of which goes on where the one before has ended: for sites that forbid requeue
    #[arg(long, default_value_t = 1, help_heading = "Job")]
    chain: usize,
    /// Print the script, and submit nothing
    #[arg(long = "dry_run", alias = "dry-run", help_heading = "Job")]
    dry_run: bool,
}

const ABOUT: &str = "Train as a Slurm job: save before the time limit, requeue, go on";

/// `lcsl submit` as a command: its own flags, and those of `lcsl train` given as `train`.
pub fn command(train: &clap::Command) -> clap::Command {
    with_training::command::<Submit>(("submit", ABOUT), train, &["write_config"])
}

/// Runs `lcsl submit` with the arguments behind that word, and returns the exit code.
pub fn run(arguments: &[OsString]) -> Result<u8, Fault> {
    let (asked, train) = match with_training::parse::<Submit>(command, arguments)? {
        Asked::For(asked, train) => (asked, train),
        Asked::Answered(code) => return Ok(code),
    };
    let job = job(&asked, &train)?;
    let script = batch_script(&job);
    if asked.dry_run {
        return terminal::print(&script).map(|()| exit::DONE);
    }
    submit(&script, asked.chain)
}

/// The job, checked together with the configuration that it trains: what is wrong is said here, and not after hours
/// in a queue.
fn job(asked: &Submit, train: &[OsString]) -> Result<Job, Fault> {
    let array: Result<Vec<_>, Fault> = asked.array.iter().map(|text| array_key(text)).collect();
    let array = array?;
    let ranks_per_node = asked.ranks_per_node.unwrap_or(asked.gpus_per_node.max(1));
    let mut train = train.to_vec();
    let has = |train: &[OsString], flag: &str| {
        train.iter().any(|argument| argument.to_string_lossy().starts_with(flag))
    };
    if has(&train, "--resume") {
        let hint = "leave --resume out: a job begins, or goes on where it was, by --resume=auto";
        return Err(Fault::usage("--resume is the job's own business", hint));
    }
    if has(&train, "--run_dir") && !array.is_empty() {
        let hint = "leave --run_dir out: it is runs/NAME/ and the values of the task";
        return Err(Fault::usage("the tasks of an array cannot share a run directory", hint));
    }
    if !has(&train, "--gpu") {
        let list: Vec<String> = (0..asked.gpus_per_node).map(|gpu| gpu.to_string()).collect();
        let devices = if list.is_empty() { "cpu".to_owned() } else { list.join(",") };
        train.push(format!("--gpu={devices}").into());
    }
    if asked.nodes == 1 && ranks_per_node > 1 && asked.gpus_per_node == 0 && !has(&train, "--nproc")
    {
        train.push(format!("--nproc={ranks_per_node}").into());
    }
    let trained = check(asked, ranks_per_node, &train, &array)?;
    let passed_on = [
        ("partition", &asked.partition),
        ("account", &asked.account),
        ("qos", &asked.qos),
        ("mem", &asked.mem),
    ];
    let job = Job {
        name: asked.job_name.clone().unwrap_or_else(|| {
            format!("{}-{}", trained.config.data.name, trained.config.train.method)
        }),
        nodes: asked.nodes,
        gpus_per_node: asked.gpus_per_node,
        ranks_per_node,
        cpus_per_task: asked.cpus_per_task,
        time: asked.time.clone(),
        save_seconds: asked.save_seconds,
        passed_on: passed_on
            .into_iter()
            .filter_map(|(name, value)| Some((name, value.clone()?)))
            .collect(),
        array,
        array_limit: asked.array_limit,
        requeue: asked.chain <= 1,
        train,
    };
    match job.problems().as_slice() {
        [] => Ok(job),
        problems => Err(Fault::new(problems.join("\n  "), exit::USAGE)),
    }
}

fn array_key(text: &str) -> Result<(String, Vec<String>), Fault> {
    let malformed = || {
        let what = format!("--array={text} is no key with values");
        Fault::usage(what, "write it like --array=seed=0,1,2 or --array=data.imb_factor=0.1,0.01")
    };
    let (name, values) = text.split_once('=').ok_or_else(malformed)?;
    // A flag of `lcsl train` stands for its key.
    let key = lcsl_config::keys::find_flag(name).map_or(name, |key| key.path);
    if !key.contains('.') {
        return Err(malformed());
    }
    Ok((key.to_owned(), values.split(',').map(str::to_owned).collect()))
}

/// What `lcsl train` makes of its flags on the nodes of such a job, with the first values of an array.
fn check(
    asked: &Submit,
    ranks_per_node: usize,
    train: &[OsString],
    array: &[(String, Vec<String>)],
) -> Result<TrainCommand, Fault> {
    let nodes: Vec<String> = (1..=asked.nodes).map(|node| format!("node{node}")).collect();
    let tasks = Some(vec![ranks_per_node; asked.nodes]);
    let allocation = Allocation { hosts: nodes, tasks, origin: "the job".to_owned() };
    let gpus = (asked.gpus_per_node > 0).then_some(asked.gpus_per_node);
    let machine = Machine { cores: asked.cpus_per_task * ranks_per_node, gpus };
    let allocation = (asked.nodes > 1).then_some(&allocation);
    let mut arguments = train.to_vec();
    for (key, values) in array {
        let first = values.first().map_or("", String::as_str);
        arguments.extend(["--set".into(), format!("{key}={first}").into()]);
    }
    parse_train_in(&arguments, &machine, allocation).map_err(|stop| match stop {
        Stop::Problems(problems) => Fault::several(&problems.title(), &problems.0, exit::USAGE),
        Stop::Text(text) => Fault::new(text, exit::USAGE),
    })
}

/// Gives the script to sbatch, `chain` times, each after the one before.
fn submit(script: &str, chain: usize) -> Result<u8, Fault> {
    let mut before: Option<String> = None;
    for _ in 0..chain.max(1) {
        let mut sbatch = Command::new("sbatch");
        sbatch.arg("--parsable");
        if let Some(job) = &before {
            sbatch.arg(format!("--dependency=afterany:{job}"));
        }
        let job = hand_over(&mut sbatch, script)?;
        terminal::show_note(&format!("submitted job {job}"));
        before = Some(job);
    }
    Ok(exit::DONE)
}

fn hand_over(sbatch: &mut Command, script: &str) -> Result<String, Fault> {
    let absent = |error: std::io::Error| {
        Fault::usage(
            format!("sbatch cannot be started: {error}"),
            "submit on a host of the cluster, or take the script that --dry_run prints there",
        )
    };
    let mut running = sbatch
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(absent)?;
    if let Some(mut input) = running.stdin.take() {
        let _ = input.write_all(script.as_bytes()); // where sbatch does not read it, it says why
    }
    let output = running.wait_with_output().map_err(absent)?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(Fault::usage(
            format!("Slurm refuses the job: {}", said.trim()),
            "--partition, --account, --qos, --time and the numbers of nodes, GPUs and cores have to be those of a \
             partition that `sinfo` lists",
        ));
    }
    // The number, and a cluster's name behind a semicolon where there are several.
    let said = String::from_utf8_lossy(&output.stdout);
    Ok(said.trim().split(';').next().unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use clap::FromArgMatches as _;

    use super::*;
    use crate::commands::with_training::divide;

    fn asked(line: &str) -> Result<Job, Fault> {
        let arguments: Vec<OsString> = line.split_whitespace().map(Into::into).collect();
        let own = Submit::augment_args(clap::Command::new("lcsl submit"));
        let (mine, train) = divide(&own, &arguments);
        let mut matches = own.no_binary_name(true).try_get_matches_from(mine).unwrap();
        job(&Submit::from_arg_matches_mut(&mut matches).unwrap(), &train)
    }

    #[test]
    fn flags_of_the_job_and_of_training_may_stand_in_any_order() {
        let line = "--lr 0.05 --nodes 2 --dataset=synthetic --gpus-per-node=2 --dry_run --epochs 3";
        let job = asked(line).unwrap();
        assert_eq!((job.nodes, job.gpus_per_node, job.ranks_per_node), (2, 2, 2));
        let train: Vec<_> = job.train.iter().map(|it| it.to_string_lossy().into_owned()).collect();
        let expected = ["--lr", "0.05", "--dataset=synthetic", "--epochs", "3", "--gpu=0,1"];
        assert_eq!(train, expected);
        assert_eq!(job.name, "synthetic-lcsl");
    }

    #[test]
    fn an_array_takes_flags_and_keys() {
        let job =
            asked("--dataset=cifar100 --array seed=0,1 --array=data.imb_factor=0.1,0.01").unwrap();
        let keys: Vec<_> = job.array.iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!((keys, job.tasks()), (vec!["run.seed", "data.imb_factor"], Some(4)));
    }

    /// What is wrong is said before the job waits in a queue.
    #[test]
    fn what_cannot_be_trained_or_asked_for_is_refused() {
        for (line, words) in [
            ("--dataset=synthetic --lr=-1", "the configuration has a problem"),
            ("--dataset=synthetic --time=1", "leaves nothing to train in"),
            ("--dataset=synthetic --time=soon", "is no time"),
            (
                "--dataset=synthetic --gpus_per_node=4 --ranks_per_node=8",
                "8 ranks on a node of 4 GPUs",
            ),
            ("--dataset=synthetic --resume=never", "--resume is the job's own business"),
            ("--dataset=synthetic --array=seed", "no key with values"),
            ("--dataset=synthetic --array=lr=0.1,0.2 --run_dir=r", "cannot share a run directory"),
            ("--dataset=synthetic --array=train.lr=-1,0.2", "the configuration has a problem"),
        ] {
            let fault = asked(line).unwrap_err();
            assert!(fault.to_string().contains(words), "{line}: {fault}");
            assert_eq!(fault.exit_code, exit::USAGE, "{line}");
        }
    }
}
