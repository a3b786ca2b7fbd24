//! The cluster, and runs on it.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::lcsl;

/// Hosts h1 and h2 with ssh and Slurm, from its beginning to its end.
pub(crate) struct Cluster {
    folder: PathBuf,
}

/// A problem of which no test waits for the end.
pub(crate) const LONG: &str = "--dataset=synthetic --set=data.synthetic_classes=5 --set=data.synthetic_largest=200 \
    --imb_factor=0.2 --image_size=16 --model=resnet20 --batch_size=16 --gpu=cpu --warmup_epochs=0 --lambda_init=0.3 \
    --set=checkpoint.every_steps=50 --epochs=400";

impl Cluster {
    /// Brings it up, in the folder for the files of tests.
    pub(crate) fn up() -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cluster");
        let cluster = Self { folder };
        cluster.script(&["down"]); // what a test that was killed has left
        let _ = fs::remove_dir_all(cluster.runs());
        fs::create_dir_all(cluster.runs()).unwrap();
        for command in [&["up", "2"][..], &["slurm"]] {
            let output = cluster.script(command);
            assert!(output.status.success(), "{command:?}: {}", lcsl::stderr(&output));
        }
        cluster
    }

    /// Where runs lie.
    pub(crate) fn runs(&self) -> PathBuf {
        self.folder.join("runs")
    }

    /// Runs `scripts/cluster.sh`.
    pub(crate) fn script(&self, arguments: &[&str]) -> Output {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let mut command = Command::new(root.join("scripts/cluster.sh"));
        command.args(arguments).current_dir(root).env("CLUSTER", &self.folder);
        command.output().unwrap()
    }

    /// A command on a host, with the programs of this build in its path.
    pub(crate) fn on(&self, host: &str, words: &[&str]) -> Command {
        let pid = fs::read_to_string(self.folder.join(format!("{host}.pid"))).unwrap();
        let mut command = Command::new("nsenter");
        command.args(["-t", pid.trim(), "-n", "-u", "-m", "-p", "--", "env"]);
        command.arg(format!("--chdir={}", self.runs().display())).args(words);
        self.with_environment(&mut command);
        command
    }

    /// A command of Slurm, on this machine.
    pub(crate) fn slurm(&self, words: &[&str]) -> String {
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).current_dir(self.runs());
        self.with_environment(&mut command);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{words:?}: {}", lcsl::stderr(&output));
        lcsl::stdout(&output).trim().to_owned()
    }

    fn with_environment(&self, command: &mut Command) {
        let programs = lcsl::program();
        let programs = programs.parent().unwrap().display();
        let (key, path) = (self.folder.join("id"), std::env::var("PATH").unwrap());
        let ssh = format!(
            "-i {} -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR -o BatchMode=yes",
            key.display()
        );
        command
            .env("PATH", format!("{programs}:{path}"))
            .env("OMPI_MCA_plm_rsh_args", ssh)
            .env("SLURM_CONF", self.folder.join("slurm.conf"));
    }

    /// `lcsl train` on h1 into the run directory `name`, with these flags and those of [`LONG`], not waited for.
    pub(crate) fn training(&self, name: &str, flags: &str) -> Training {
        let place = format!("--run_dir={name}");
        let mut words = vec!["lcsl", "train", &place];
        words.extend(LONG.split_whitespace().chain(flags.split_whitespace()));
        let run_dir = self.runs().join(name);
        let log = self.runs().join(format!("{name}.err"));
        let errors = fs::File::create(&log).unwrap();
        let child = self.on("h1", &words).stdout(Stdio::null()).stderr(errors).spawn().unwrap();
        Training { child, log, run_dir }
    }

    /// The processes of this machine with such a name, in all hosts, by number.
    pub(crate) fn processes(name: &str) -> Vec<String> {
        let output = Command::new("pgrep").args(["-x", name]).output().unwrap();
        lcsl::stdout(&output).split_whitespace().map(str::to_owned).collect()
    }

    /// Waits until nothing of a run is left on any host.
    pub(crate) fn assert_nothing_is_left() {
        wait_for("all processes to end", Duration::from_secs(20), || {
            ["lcsl-rank", "orted", "mpirun"].iter().all(|name| Self::processes(name).is_empty())
        });
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.script(&["down"]);
    }
}

/// A run at work.
pub(crate) struct Training {
    child: Child,
    log: PathBuf,
    pub(crate) run_dir: PathBuf,
}

/// How a run ended.
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) said: String,
    /// Since it was asked for.
    pub(crate) took: Duration,
}

impl Training {
    /// Waits until so many steps are made, and a checkpoint is there.
    pub(crate) fn under_way(self) -> Self {
        wait_for("the first checkpoint", Duration::from_secs(60), || has_checkpoint(&self.run_dir));
        self
    }

    /// The number of the launcher's process, as this machine sees it: `nsenter` waits for its child.
    pub(crate) fn launcher(&self) -> String {
        let id = self.child.id();
        let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap();
        children.split_whitespace().next().unwrap().to_owned()
    }

    /// Does something to the run, and waits for its end.
    pub(crate) fn ends_after(mut self, act: impl FnOnce(&Self)) -> Ended {
        let began = Instant::now();
        act(&self);
        let (code, named) = self.watched(began);
        let took = began.elapsed();
        // bench/cluster_faults.sh gathers them.
        if let Some(list) = std::env::var_os("LCSL_FAULTS") {
            let name = self.run_dir.file_name().unwrap().to_string_lossy();
            let mut list = fs::OpenOptions::new().append(true).create(true).open(list).unwrap();
            let named = named.unwrap_or(took).as_secs_f64();
            writeln!(list, "took {name} {:.2} {named:.2}", took.as_secs_f64()).unwrap();
        }
        Ended { code, said: fs::read_to_string(&self.log).unwrap(), took }
    }
}

impl Training {
    /// How the launcher ends, and how long after `began` it had said why.
    fn watched(&mut self, began: Instant) -> (Option<i32>, Option<Duration>) {
        let mut named = None;
        loop {
            let ended = self.child.try_wait().unwrap();
            let is_said = || fs::read_to_string(&self.log).unwrap().contains("error: ");
            if named.is_none() && is_said() {
                named = Some(began.elapsed());
            }
            if let Some(status) = ended {
                return (status.code(), named);
            }
            thread::sleep(Duration::from_millis(20));
        }
    }
}

pub(crate) fn has_checkpoint(run_dir: &Path) -> bool {
    let Ok(entries) = fs::read_dir(run_dir.join("checkpoints")) else { return false };
    entries.flatten().any(|entry| entry.file_name().to_string_lossy().starts_with("step-"))
}

pub(crate) fn result(run_dir: &Path) -> Value {
    lcsl::json(&run_dir.join("result.json"))
}

pub(crate) fn signal(name: &str, pid: &str) {
    let sent = Command::new("kill").args(["-s", name, pid]).status().unwrap();
    assert!(sent.success(), "{name} to {pid}");
}

/// Polls until a condition holds.
pub(crate) fn wait_for(what: &str, most: Duration, condition: impl Fn() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < most, "waited {most:?} for {what}");
        thread::sleep(Duration::from_millis(100));
    }
}
