//! Two nodes under Slurm, with the scripts that `lcsl submit` writes.

use std::fs;
use std::time::Duration;

use crate::Test;
use crate::cluster::{Cluster, LONG, has_checkpoint, result, wait_for};
use crate::lcsl;

pub(crate) const TESTS: &[(&str, Test)] = &[
    ("a_job_whose_time_is_short_goes_on_to_the_same_end", a_job_whose_time_is_short_goes_on),
    ("a_job_that_is_cancelled_saves", a_job_that_is_cancelled_saves),
    ("a_job_that_is_preempted_goes_on", a_job_that_is_preempted_goes_on),
    ("a_job_whose_node_loses_power_goes_on", a_job_whose_node_loses_power_goes_on),
    ("the_tasks_of_an_array_train_each_their_own", the_tasks_of_an_array_train_each_their_own),
    ("each_host_keeps_the_gpus_that_it_was_granted", each_host_keeps_its_gpus),
    ("ranks_can_be_started_by_srun", ranks_can_be_started_by_srun),
    ("what_slurm_refuses_is_said_in_its_words", what_slurm_refuses_is_said_in_its_words),
];

impl Cluster {
    /// Submits a job of two nodes with a rank on each, and returns its number.
    fn submit(&self, name: &str, flags: &str) -> String {
        let output = self.lcsl_submit(&format!("--nodes=2 --job_name={name} {flags}"));
        assert!(output.status.success(), "{}", lcsl::stderr(&output));
        let said = lcsl::stderr(&output);
        said.trim().strip_prefix("note: submitted job ").expect(&said).to_owned()
    }

    fn lcsl_submit(&self, flags: &str) -> std::process::Output {
        let mut words = vec!["lcsl", "submit", "--gpus_per_node=0", "--cpus_per_task=1"];
        words.extend(LONG.split_whitespace().chain(flags.split_whitespace()));
        self.on("h1", &words).output().unwrap()
    }

    fn output_of(&self, job: &str, name: &str) -> String {
        fs::read_to_string(self.runs().join(format!("{name}-{job}.out"))).unwrap_or_default()
    }

    fn state(&self, job: &str) -> String {
        self.slurm(&["scontrol", "show", "job", job])
    }

    fn wait_for_output(&self, (job, name): (&str, &str), words: &str, seconds: u64) {
        let most = Duration::from_secs(seconds);
        let says = || self.output_of(job, name).contains(words);
        let began = std::time::Instant::now();
        while !says() {
            let (said, state) = (self.output_of(job, name), self.state(job));
            assert!(began.elapsed() < most, "waited {most:?} for {words:?}: {said}\n{state}");
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

/// USR1 as Slurm sends it before the time limit, a checkpoint, a requeue, and in the end the weights of a run that was
/// never cut. Slurm's own clock counts in minutes, so the signal comes from here.
fn a_job_whose_time_is_short_goes_on(cluster: &Cluster) {
    let alike = "--deterministic --virtual_ranks=2 --max_steps=900";
    let job = cluster.submit("short", &format!("--run_dir=short {alike}"));
    let run_dir = cluster.runs().join("short");
    wait_for("a checkpoint", Duration::from_secs(60), || has_checkpoint(&run_dir));
    cluster.slurm(&["scancel", "--batch", "--signal=USR1", &job]);
    cluster.wait_for_output((&job, "short"), "ended with code 75", 30);
    cluster.wait_for_output((&job, "short"), "start 2", 60);
    cluster.wait_for_output((&job, "short"), "ended with code 0", 120);
    let said = cluster.output_of(&job, "short");
    assert!(said.contains(&format!("lcsl: job {job} on h[1-2], start 1")), "{said}");
    assert!(cluster.state(&job).contains("Restarts=1"), "{said}");
    let ranks = lcsl::json(&run_dir.join("ranks.json"));
    assert_eq!((&ranks[0]["host"], &ranks[1]["host"]), (&"h1".into(), &"h2".into()));

    let whole = cluster.training("whole", &format!("{alike} --nproc=2"));
    let whole_dir = whole.run_dir.clone();
    assert_eq!(whole.ends_after(|_| ()).code, Some(0));
    for key in ["weights_digest", "admission_digest", "accuracy", "per_class", "steps"] {
        assert_eq!(result(&run_dir)[key], result(&whole_dir)[key], "{key}");
    }
    let export = |place: &str| {
        let file = format!("{place}.safetensors");
        let output = cluster.on("h1", &["lcsl", "export", place, &file]).output().unwrap();
        assert!(output.status.success(), "{}", lcsl::stderr(&output));
        fs::read(cluster.runs().join(file)).unwrap()
    };
    assert!(export("short") == export("whole"), "exported weights differ");
}

/// Story: after `scancel` on two nodes it was a race whether a checkpoint landed, and memory was blamed.
fn a_job_that_is_cancelled_saves(cluster: &Cluster) {
    let job = cluster.submit("cancelled", "--run_dir=cancelled");
    let run_dir = cluster.runs().join("cancelled");
    wait_for("a checkpoint", Duration::from_secs(60), || has_checkpoint(&run_dir));
    cluster.slurm(&["scancel", &job]);
    cluster.wait_for_output((&job, "cancelled"), "lcsl: ended with code 75", 30);
    let said = cluster.output_of(&job, "cancelled");
    assert!(said.contains("stopped, and a checkpoint is saved"), "{said}");
    wait_for("the job's end", Duration::from_secs(30), || {
        cluster.state(&job).contains("JobState=CANCELLED")
    });
    Cluster::assert_nothing_is_left();
}

/// Slurm itself requeues what it preempts: the script must not do so again.
fn a_job_that_is_preempted_goes_on(cluster: &Cluster) {
    let job = cluster.submit("preempted", "--run_dir=preempted");
    let run_dir = cluster.runs().join("preempted");
    wait_for("a checkpoint", Duration::from_secs(60), || has_checkpoint(&run_dir));
    cluster.slurm(&[
        "sbatch",
        "-Q",
        "-purgent",
        "-N2",
        "-n8",
        "-t1",
        "-ourgent.out",
        "--wrap=srun sleep 1",
    ]);
    cluster.wait_for_output((&job, "preempted"), "lcsl: ended with code 75", 40);
    cluster.wait_for_output((&job, "preempted"), "start 2", 60);
    let steps = |run_dir: &std::path::Path| lcsl::metrics(run_dir).len();
    wait_for("the resume", Duration::from_secs(30), || {
        lcsl::metrics(&run_dir).iter().any(|line| line["event"] == "resume")
    });
    let before = steps(&run_dir);
    wait_for("more steps", Duration::from_secs(30), || steps(&run_dir) > before);
    assert!(!cluster.output_of(&job, "preempted").contains("submit again"));
}

fn a_job_whose_node_loses_power_goes_on(cluster: &Cluster) {
    let job = cluster.submit("power", "--run_dir=power");
    let run_dir = cluster.runs().join("power");
    wait_for("a checkpoint", Duration::from_secs(60), || has_checkpoint(&run_dir));
    cluster.script(&["poweroff", "2"]);
    cluster.wait_for_output((&job, "power"), "lcsl: ended with code", 60);
    let said = cluster.output_of(&job, "power");
    assert!(said.contains("host h2 was lost"), "{said}");
    cluster.script(&["boot", "2"]);
    cluster.wait_for_output((&job, "power"), "start 2", 90);
    wait_for("the resume", Duration::from_secs(60), || {
        lcsl::metrics(&run_dir).iter().any(|line| line["event"] == "resume")
    });
}

fn the_tasks_of_an_array_train_each_their_own(cluster: &Cluster) {
    let flags = "--job_name=seeds --array=seed=0,1 --max_steps=5";
    let output = cluster.lcsl_submit(flags);
    assert!(output.status.success(), "{}", lcsl::stderr(&output));
    let runs: Vec<_> =
        [0, 1].map(|seed| cluster.runs().join(format!("runs/seeds/seed{seed}"))).into();
    wait_for("both results", Duration::from_secs(60), || {
        runs.iter().all(|run_dir| run_dir.join("result.json").exists())
    });
    for (seed, run_dir) in runs.iter().enumerate() {
        assert_eq!(result(run_dir)["seed"], seed);
    }
}

/// Story: the first host's `CUDA_VISIBLE_DEVICES` was forced onto all. Where Slurm had granted GPU 1 on h1 and GPU 0 on
/// h2, both ranks got 1, which h2 had not granted.
fn each_host_keeps_its_gpus(cluster: &Cluster) {
    let blocker =
        ["sbatch", "-Q", "-N1", "-n1", "-wh1", "--gres=gpu:1", "-oblock.out", "--wrap=sleep 60"];
    cluster.slurm(&blocker);
    wait_for("the job before", Duration::from_secs(20), || {
        !cluster.slurm(&["squeue", "-h", "-tR", "-o%i"]).is_empty()
    });
    let script = format!("lcsl train --run_dir=gpus {LONG} --nproc=2");
    let wrap = format!("--wrap={script}");
    cluster.slurm(&[
        "sbatch",
        "-Q",
        "-N2",
        "--ntasks-per-node=1",
        "--gpus-per-node=1",
        "-ogpus.out",
        &wrap,
    ]);
    let run_dir = cluster.runs().join("gpus");
    wait_for("a checkpoint", Duration::from_secs(60), || has_checkpoint(&run_dir));
    let granted = |host: &str| {
        let words = ["bash", "-c", "tr '\\0' '\\n' < /proc/$(pgrep -x lcsl-rank)/environ"];
        let output = lcsl::stdout(&cluster.on(host, &words).output().unwrap());
        let line = output.lines().find(|line| line.starts_with("CUDA_VISIBLE_DEVICES="));
        line.map(str::to_owned)
    };
    assert_eq!(granted("h1").as_deref(), Some("CUDA_VISIBLE_DEVICES=1"));
    assert_eq!(granted("h2").as_deref(), Some("CUDA_VISIBLE_DEVICES=0"));
}

fn what_slurm_refuses_is_said_in_its_words(cluster: &Cluster) {
    let output = cluster.lcsl_submit("--nodes=2 --partition=nowhere");
    assert_eq!(output.status.code(), Some(2));
    let said = lcsl::stderr(&output);
    assert!(said.contains("Slurm refuses the job: ") && said.contains("nowhere"), "{said}");
    let output = cluster.lcsl_submit("--nodes=2 --time=1");
    assert_eq!(output.status.code(), Some(2));
    assert!(lcsl::stderr(&output).contains("leaves nothing to train in"));
}

/// Story: where a site allows srun alone, nothing wrote the configuration without starting ranks.
fn ranks_can_be_started_by_srun(cluster: &Cluster) {
    let train = |more: &[&str]| {
        let words = ["lcsl", "train", "--run_dir=by_srun", "--nproc=2", "--max_steps=4"];
        let words = [&words[..], more].concat();
        let words: Vec<&str> = words.into_iter().chain(LONG.split_whitespace()).collect();
        let output = cluster.on("h1", &words).output().unwrap();
        assert!(output.status.success(), "{}", lcsl::stderr(&output));
        lcsl::stderr(&output)
    };
    let said = train(&["--write_config"]);
    assert!(said.contains("note: by_srun is ready for 2 of `lcsl-rank train by_srun`"), "{said}");
    let srun = ["srun", "--mpi=pmix", "-K1", "-N2", "-n2", "lcsl-rank", "train", "by_srun"];
    let output = cluster.on("h1", &srun).output().unwrap();
    assert!(output.status.success(), "{}", lcsl::stderr(&output));
    assert_eq!(result(&cluster.runs().join("by_srun"))["steps"], 4);
    assert!(train(&["--resume=auto"]).contains("already finished"));
}
