//! `[run]`: where and how a run takes place.

use super::{Key, KeyKind, LARGEST, RANKS_MAX};

pub(super) const RUN: &[Key] = &[
    Key::new(
        "run.run_dir",
        KeyKind::Path,
        "Run directory; auto is runs/<dataset>-<method>-<model>-seed<seed>",
    )
    .or_auto()
    .flags(&["run_dir"]),
    Key::new(
        "run.gpu",
        KeyKind::Devices,
        "GPUs of one host, such as 0,1, or cpu; auto is 0, or cpu without a driver",
    )
    .or_auto()
    .flags(&["gpu"]),
    Key::new(
        "run.nproc",
        KeyKind::Integer(1, RANKS_MAX),
        "Number of processes; auto is the GPUs listed, 1 on cpu",
    )
    .or_auto()
    .flags(&["nproc"]),
    Key::new(
        "run.virtual_ranks",
        KeyKind::Integer(1, RANKS_MAX),
        "Logical ranks that cut every batch, a multiple of nproc; auto is nproc",
    )
    .or_auto()
    .flags(&["virtual_ranks"]),
    Key::new(
        "run.threads",
        KeyKind::Integer(1, 4096),
        "Threads per process; auto is all cores, 1 if deterministic or with several cpu ranks, 1 to 4 with a GPU",
    )
    .or_auto()
    .flags(&["threads"]),
    Key::new("run.deterministic", KeyKind::Switch, "Bitwise equal results for 1, 2 and 4 processes")
        .flags(&["deterministic"]),
    Key::new(
        "run.check_collectives",
        KeyKind::Switch,
        "Ranks compare every collective call before it; names who differs",
    )
    .flags(&["check_collectives"]),
    Key::new(
        "run.compare_every_steps",
        KeyKind::Integer(0, LARGEST),
        "Steps between comparisons of weights, teacher and ledger over the ranks; 0 is never",
    ),
    Key::new(
        "run.bucket_mib",
        KeyKind::Integer(1, 65_536),
        "MiB of gradients that are summed over ranks in one call",
    ),
    Key::new(
        "run.first_bucket_mib",
        KeyKind::Integer(1, 65_536),
        "MiB of the first such call and of the last",
    ),
    Key::new("run.bucket_times", KeyKind::Switch, "Times of the buckets in metrics.jsonl"),
    Key::new(
        "run.seed",
        KeyKind::Integer(0, LARGEST),
        "Seed of order, augmentation, mixing and weights",
    )
    .flags(&["seed"]),
    Key::new("run.resume", KeyKind::Path, "Continue an existing run: never, auto or a path")
        .flags(&["resume"]),
    Key::new(
        "run.max_restarts",
        KeyKind::Integer(0, 1_000_000),
        "Restarts from the newest checkpoint after a rank has failed",
    )
    .flags(&["max_restarts"]),
    Key::new(
        "run.min_ranks",
        KeyKind::Integer(0, 65_536),
        "Least ranks that a restart goes on with where a host is gone; 0 is all",
    )
    .flags(&["min_ranks"]),
    Key::new(
        "run.start_limit_seconds",
        KeyKind::Integer(1, 86_400),
        "How long ranks may take to come; auto is 60, or 300 with hosts",
    )
    .or_auto(),
    Key::new(
        "run.silence_limit_seconds",
        KeyKind::Integer(0, 86_400),
        "How long a rank may give no sign of life; 0 is for ever",
    ),
    Key::new(
        "run.hang_limit_seconds",
        KeyKind::Integer(0, 86_400),
        "How long a rank may make no progress in a step; 0 is for ever",
    ),
    Key::new(
        "run.wait_limit_seconds",
        KeyKind::Integer(0, 86_400),
        "The same for data, evaluation, checkpoint and first times",
    ),
    Key::new(
        "run.lock_wait_seconds",
        KeyKind::Integer(0, 86_400),
        "How long --resume waits for a launcher that is at work in the run directory",
    ),
    Key::new(
        "run.hosts",
        KeyKind::Text,
        "Hosts and ranks on each, such as a:4,b:4; auto is those of a Slurm job, else this machine",
    )
    .or_auto()
    .flags(&["hosts"]),
    Key::new(
        "run.interface",
        KeyKind::Text,
        "Network interface between hosts; empty is the one that leads to the others",
    )
    .flags(&["interface"]),
];
