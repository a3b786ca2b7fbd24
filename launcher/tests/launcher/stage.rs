//! A place to run `lcsl` in: a folder with the program, its players, and something that looks like
//! libtorch.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

fn fake(player: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/launcher/fakes").join(player)
}

/// A stage; everything on it is gone when it is dropped.
pub(crate) struct Stage {
    folder: TempDir,
}

/// What a command did.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Stage {
    /// A complete stage, with which everything is found.
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let at = folder.path();
        for name in ["bin", "path", "torch/lib", "runs"] {
            fs::create_dir_all(at.join(name)).unwrap();
        }
        // A link to the file itself, so that the program finds its neighbour here; a copied file
        // could still be open for writing in a process that another test is starting just now.
        fs::hard_link(env!("CARGO_BIN_EXE_lcsl"), at.join("bin/lcsl")).unwrap();
        symlink(fake("lcsl-rank"), at.join("bin/lcsl-rank")).unwrap();
        symlink(fake("mpirun"), at.join("path/mpirun")).unwrap();
        fs::write(at.join("torch/lib/libtorch_cpu.so"), "").unwrap();
        fs::write(at.join("torch/version.py"), "__version__ = '2.11.0+cu130'\n").unwrap();
        Self { folder }
    }

    /// Gives the part of a program on the path to another player in `fakes/`.
    pub(crate) fn cast(&self, program: &str, player: &str) {
        let place = self.path("path").join(program);
        fs::remove_file(&place).unwrap();
        symlink(fake(player), place).unwrap();
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// `lcsl` with these arguments, in the folder of the stage.
    pub(crate) fn lcsl(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.path("bin/lcsl"));
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .env("PATH", format!("{}:/usr/bin:/bin", self.path("path").display()))
            .env("LIBTORCH", self.path("torch"))
            .env("VERSION", env!("CARGO_PKG_VERSION"))
            .env_remove("LD_LIBRARY_PATH")
            .env_remove("CUDA_VISIBLE_DEVICES");
        // What the tests were started by is told of, too.
        for name in ["OMP_NUM_THREADS", "MKL_NUM_THREADS", "RANK", "LOCAL_RANK", "WORLD_SIZE"] {
            command.env_remove(name);
        }
        for name in ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_ID"] {
            command.env_remove(name);
        }
        command
    }

    /// `lcsl train` on the CPU into `runs/a`, with ranks that play `scene`.
    pub(crate) fn train(&self, scene: &str, flags: &[&str]) -> Command {
        let fixed = ["train", "--dataset=synthetic", "--gpu=cpu", "--run_dir=runs/a"];
        let mut command = self.lcsl(&[&fixed[..], flags].concat());
        command.env("SCENE", scene);
        command
    }

    /// What `command` did, with the stage's folder written as STAGE.
    pub(crate) fn outcome(&self, mut command: Command) -> Outcome {
        self.seen(&command.output().unwrap())
    }

    pub(crate) fn seen(&self, output: &Output) -> Outcome {
        let place = self.folder.path().to_str().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace(place, "STAGE");
        Outcome { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
    }

    /// Waits until a file is there.
    pub(crate) fn await_file(&self, name: &str) {
        let began = Instant::now();
        while !self.path(name).exists() {
            assert!(began.elapsed() < Duration::from_secs(20), "{name} never came");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Whether the process of a rank that said hello still runs.
    pub(crate) fn rank_lives(&self, rank: usize) -> bool {
        let pid = fs::read_to_string(self.path(&format!("runs/a/logs/pid-{rank}"))).unwrap();
        // A zombie that nobody has waited for yet has no memory left.
        let status = fs::read_to_string(format!("/proc/{}/status", pid.trim()));
        status.is_ok_and(|status| status.contains("VmSize"))
    }
}

impl Outcome {
    /// Asserts an exit code and that standard error is exactly `expected`, up to blank ends.
    #[track_caller]
    pub(crate) fn refused(&self, code: i32, expected: &str) {
        assert_eq!(self.err.trim_end(), expected.trim_end());
        assert_eq!((self.code, self.out.as_str()), (Some(code), ""));
    }

    #[track_caller]
    pub(crate) fn ended(&self, code: i32) -> &Self {
        assert_eq!(self.code, Some(code), "{self:#?}");
        self
    }

    #[track_caller]
    pub(crate) fn said(&self, text: &str) -> &Self {
        assert!(self.err.contains(text), "{text:?} is not in: {}", self.err);
        self
    }
}

/// `command`, started by another program that takes it as its last arguments.
pub(crate) fn under(wrapper: &[&str], command: &Command) -> Command {
    let mut wrapped = Command::new(wrapper[0]);
    wrapped.args(&wrapper[1..]).arg(command.get_program()).args(command.get_args());
    if let Some(folder) = command.get_current_dir() {
        wrapped.current_dir(folder);
    }
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => wrapped.env(name, value),
            None => wrapped.env_remove(name),
        };
    }
    wrapped
}

/// Starts `command`; what it prints is kept. SIGHUP ends it, even where the tests themselves were started by `nohup`:
/// a launcher for which that signal is ignored is right to outlive it.
pub(crate) fn started(command: &Command) -> Child {
    let mut hearing = under(&["env", "--default-signal=HUP"], command);
    hearing.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Sends a signal to it.
pub(crate) fn signal(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

/// Waits for its end.
pub(crate) fn outcome(stage: &Stage, child: Child) -> Outcome {
    stage.seen(&child.wait_with_output().unwrap())
}
