//! `[run]`: where and on what a run takes place.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::hosts::{HostSlots, host_slots};

/// Where and on what a run takes place; nothing here belongs to the learning problem itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Run {
    /// The run directory, relative to the current directory or absolute; never empty.
    pub run_dir: PathBuf,
    /// The devices of one host.
    pub gpu: Devices,
    /// Number of processes (the world size W), at least 1; divides `virtual_ranks`.
    pub nproc: usize,
    /// Number of logical ranks V into which every global batch is cut, at least 1.
    pub virtual_ranks: usize,
    /// libtorch's threads per process, at least 1.
    pub threads: usize,
    /// Whether weights, admissions and metrics are bitwise equal for W = 1, 2, 4; V and W are then
    /// powers of two.
    pub deterministic: bool,
    /// Whether ranks tell each other what they are about to do before each collective call.
    pub check_collectives: bool,
    /// Steps between two comparisons of what the ranks hold, which precede every checkpoint too; 0 for
    /// none at all.
    pub compare_every_steps: u64,
    /// MiB of gradients that are summed over ranks in one call, at least 1.
    pub bucket_mib: usize,
    /// The same for the first call of a step and for the last.
    pub first_bucket_mib: usize,
    /// Whether `metrics.jsonl` says when the buckets of the logged steps were ready and summed.
    pub bucket_times: bool,
    /// The seed of every random stream except the selection of images (`data.selection_seed`).
    pub seed: u64,
    /// What to do about a run directory that is already there.
    pub resume: Resume,
    /// How often the launcher restarts the ranks from the newest whole checkpoint before it gives
    /// up.
    pub max_restarts: u32,
    /// The least number of ranks that a restart goes on with where a host is gone; 0 for all. At most `nproc`.
    pub min_ranks: usize,
    /// Seconds that the launcher waits for the first rank, and from each to the next, before it gives the
    /// start up; at least 1.
    pub start_limit_seconds: u64,
    /// Seconds without a sign of life after which a rank is named and the run ended; 0 for never.
    pub silence_limit_seconds: u64,
    /// Seconds without progress in a part of a step, unless 20 times its median are more, after which that is done; 0
    /// for never.
    pub hang_limit_seconds: u64,
    /// The same for waiting for data, evaluations, checkpoints and whatever a rank does for the first time.
    pub wait_limit_seconds: u64,
    /// Seconds that a run which goes on waits for another launcher to leave its directory.
    pub lock_wait_seconds: u64,
    /// Hosts and the ranks on each, as [`crate::host_slots`] reads them, for example `a:4,b:4`; empty for this
    /// machine alone.
    pub hosts: String,
    /// Name of the network interface between hosts, on that of the launcher; empty for the one that leads
    /// to the others.
    pub interface: String,
}

impl Run {
    /// The hosts of the run; none where it has this machine alone.
    pub fn host_slots(&self) -> Vec<HostSlots> {
        host_slots(&self.hosts, self.gpu.per_host()).unwrap_or_default() // they have passed their check
    }
}

impl Devices {
    /// Ranks that a host takes where nothing else says how many: one for each GPU, or one.
    pub fn per_host(&self) -> usize {
        match self {
            Self::Cpu => 1,
            Self::Gpus(ordinals) => ordinals.len(),
        }
    }

    /// The first of them alone.
    #[must_use]
    pub fn first(&self) -> Self {
        match self {
            Self::Cpu => Self::Cpu,
            Self::Gpus(ordinals) => Self::Gpus(ordinals[..1].to_vec()),
        }
    }
}

/// The devices that the ranks of one host use. Written `cpu`, or as a list of ordinals such as
/// `0,1,2,3`.
///
/// ```
/// use lcsl_config::Devices;
/// assert_eq!("0,2".parse(), Ok(Devices::Gpus(vec![0, 2])));
/// assert_eq!(Devices::Cpu.to_string(), "cpu");
/// assert!("0,0".parse::<Devices>().is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Devices {
    /// No GPU at all.
    Cpu,
    /// CUDA ordinals in the order given: at least one, none twice. A rank takes entry (local rank
    /// modulo length).
    Gpus(Vec<u32>),
}

impl FromStr for Devices {
    type Err = String;

    /// The error completes the sentence "run.gpu is …, but".
    fn from_str(text: &str) -> Result<Self, String> {
        if text.trim() == "cpu" {
            return Ok(Self::Cpu);
        }
        let mut ordinals = Vec::new();
        for part in text.split(',').map(str::trim) {
            let is_number = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
            let ordinal = if is_number { part.parse().ok() } else { None };
            let Some(ordinal) = ordinal else {
                return Err("must be cpu or ordinals separated by commas, such as 0,1".into());
            };
            if ordinals.contains(&ordinal) {
                return Err(format!("must not name GPU {ordinal} twice"));
            }
            ordinals.push(ordinal);
        }
        Ok(Self::Gpus(ordinals))
    }
}

impl fmt::Display for Devices {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => formatter.write_str("cpu"),
            Self::Gpus(ordinals) => {
                let words: Vec<String> = ordinals.iter().map(u32::to_string).collect();
                formatter.write_str(&words.join(","))
            }
        }
    }
}

impl TryFrom<String> for Devices {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Devices> for String {
    fn from(devices: Devices) -> Self {
        devices.to_string()
    }
}

/// What to do about a run directory that is already there. Written `never`, `auto` or a path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum Resume {
    /// An existing run directory is an error.
    Never,
    /// Continue from the newest whole checkpoint, or start where there is none; done at once when
    /// it is finished.
    Auto,
    /// Continue from this run directory or checkpoint.
    Path(PathBuf),
}

impl fmt::Display for Resume {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Never => formatter.write_str("never"),
            Self::Auto => formatter.write_str("auto"),
            Self::Path(path) => write!(formatter, "{}", path.display()),
        }
    }
}

impl From<String> for Resume {
    fn from(text: String) -> Self {
        match text.as_str() {
            "never" => Self::Never,
            "auto" => Self::Auto,
            _ => Self::Path(text.into()),
        }
    }
}

impl From<Resume> for String {
    fn from(resume: Resume) -> Self {
        resume.to_string()
    }
}
