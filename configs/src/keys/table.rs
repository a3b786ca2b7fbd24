//! The table of keys, in the order of `default.toml`, of the help and of a run's `config.toml`.

use std::ops::Bound::{Excluded, Included, Unbounded};

use super::{Key, KeyKind, Range};
use crate::run_config::{
    AdmittedLoss, CriterionName, DataAugmentation, DatasetName, Head, ImbalanceKind, Method,
    MixingName, ModelName, OnCorrupt, OnFailedCheckpoint, Optimizer, Policy, Precision, Protocol,
    RefitMethod, SamplerName, ScheduleName, TrainableName,
};
use crate::zoo::SMALLEST_IMAGE;

/// TOML's integers are signed, so a seed or a count ends here.
const LARGEST: u64 = i64::MAX as u64;
/// Generous limits, so that a mistyped number is answered with a message instead of an allocation.
const RANKS_MAX: u64 = 65_536;
const BATCH_MAX: u64 = 1 << 24;

const ABOVE_0: KeyKind = KeyKind::Number(Range { low: Excluded(0.0), high: Unbounded });
const FROM_0: KeyKind = KeyKind::Number(Range { low: Included(0.0), high: Unbounded });
const FROM_0_TO_1: KeyKind = KeyKind::Number(Range { low: Included(0.0), high: Included(1.0) });
const FROM_0_BELOW_1: KeyKind = KeyKind::Number(Range { low: Included(0.0), high: Excluded(1.0) });
const ABOVE_0_TO_1: KeyKind = KeyKind::Number(Range { low: Excluded(0.0), high: Included(1.0) });
/// A share is kept in millionths, of which there has to be one.
const MILLIONTH_TO_1: KeyKind = KeyKind::Number(Range { low: Included(1e-6), high: Included(1.0) });
const ANY_NUMBER: KeyKind = KeyKind::Number(Range { low: Unbounded, high: Unbounded });

/// Every setting there is.
pub const KEYS: &[Key] = &[
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
    Key::new("data.name", KeyKind::Choice(DatasetName::WORDS), "Dataset").flags(&["dataset"]),
    Key::new("data.root", KeyKind::Path, "Folder that holds the datasets"),
    Key::new(
        "data.stage",
        KeyKind::Text,
        "Folder on each host's own disk to which prepared images are copied first; empty is none",
    )
    .flags(&["stage"]),
    Key::new("data.imb_type", KeyKind::Choice(ImbalanceKind::WORDS), "Shape of the images per class")
        .flags(&["imb_type"]),
    Key::new(
        "data.imb_factor",
        ABOVE_0_TO_1,
        "Smallest class over largest class; auto is 0.01, or 1 where the images are used as prepared",
    )
    .or_auto()
    .flags(&["imb_factor"]),
    Key::new(
        "data.image_size",
        KeyKind::Integer(SMALLEST_IMAGE as u64, 4096),
        "Height and width in pixels; auto is the dataset's own",
    )
    .or_auto()
    .flags(&["image_size"]),
    Key::new(
        "data.data_aug",
        KeyKind::Choice(DataAugmentation::WORDS),
        "Augmentation recipe, which not every dataset has; the published none still crops and flips",
    )
    .or_auto()
    .flags(&["data_aug"]),
    Key::new(
        "data.sampler",
        KeyKind::Choice(SamplerName::WORDS),
        "How an epoch draws images; after sequential they draw rare classes more often",
    )
    .flags(&["sampler"]),
    Key::new(
        "data.validation_per_class",
        KeyKind::Integer(0, 1_000_000),
        "Images per class held out for validation; auto goes by dataset and protocol",
    )
    .or_auto(),
    Key::new(
        "data.loader_threads",
        KeyKind::Integer(1, 4096),
        "Threads per process that decode shards; auto goes by cores and processes",
    )
    .or_auto(),
    Key::new(
        "data.on_corrupt",
        KeyKind::Choice(OnCorrupt::WORDS),
        "A corrupt record of a shard: fail ends the run, count goes on without it; both name it",
    )
    .flags(&["on_corrupt"]),
    Key::new("data.selection_seed", KeyKind::Integer(0, LARGEST), "Seed of the selection of images"),
    Key::new(
        "data.synthetic_classes",
        KeyKind::Integer(2, 65_536),
        "Classes of the synthetic dataset",
    ),
    Key::new(
        "data.synthetic_largest",
        KeyKind::Integer(1, 1_000_000),
        "Training images in the largest class of the synthetic dataset",
    ),
    Key::new(
        "data.synthetic_test_per_class",
        KeyKind::Integer(1, 1_000_000),
        "Test images per class of the synthetic dataset",
    ),
    Key::new(
        "model.name",
        KeyKind::Choice(ModelName::WORDS),
        "Network; resnet34_cifar is the published \"ResNet32\"; auto goes by dataset and protocol",
    )
    .or_auto()
    .flags(&["model"]),
    Key::new(
        "model.fc_norm",
        KeyKind::SwitchOrNumber,
        "L2-normalise the teacher's classifier rows; a number is on above 0",
    )
    .flags(&["fc_norm"]),
    Key::new(
        "model.head",
        KeyKind::Choice(Head::WORDS),
        "Classifier; auto is cosine for ldam and ldam_drw, else linear",
    )
    .or_auto()
    .flags(&["head"]),
    Key::new("model.cosine_scale", ABOVE_0, "By what a cosine head multiplies its cosines"),
    Key::new("model.init", KeyKind::Text, "Safetensors file with the first weights; empty draws them")
        .flags(&["init"]),
    Key::new("train.method", KeyKind::Choice(Method::WORDS), "What is minimised").flags(&["method"]),
    Key::new(
        "train.criterion",
        KeyKind::Choice(CriterionName::WORDS),
        "Loss of a target; auto is the method's own, and ce for lcsl and mixup, which take any",
    )
    .or_auto()
    .flags(&["criterion"]),
    Key::new(
        "train.mixing",
        KeyKind::Choice(MixingName::WORDS),
        "How images are mixed; auto is mixup for lcsl and mixup, else none",
    )
    .or_auto()
    .flags(&["mixing"]),
    Key::new(
        "train.protocol",
        KeyKind::Choice(Protocol::WORDS),
        "How best model and teacher are chosen; under paper, auto is what the published code does",
    )
    .flags(&["protocol"]),
    Key::new(
        "train.epochs",
        KeyKind::Integer(1, 1_000_000),
        "Passes over the training set; auto is 200, and 300 as published under protocol paper",
    )
    .or_auto()
    .flags(&["epochs"]),
    Key::new("train.batch_size", KeyKind::Integer(1, BATCH_MAX), "Images per step over all ranks")
        .flags(&["batch_size"]),
    Key::new(
        "train.accumulate_steps",
        KeyKind::Integer(1, BATCH_MAX),
        "Micro-batches into which each batch is cut, to save memory; one optimiser step for all",
    )
    .flags(&["accumulate_steps"]),
    Key::new("train.lr", ABOVE_0, "Learning rate at the end of the warm-up").flags(&["lr"]),
    Key::new("train.momentum", FROM_0_BELOW_1, "Momentum of SGD").flags(&["momentum"]),
    Key::new("train.nesterov", KeyKind::Switch, "SGD looks ahead by its momentum")
        .flags(&["nesterov"]),
    Key::new("train.weight_decay", FROM_0, "L2 penalty on every parameter")
        .flags(&["weight_decay"]),
    Key::new(
        "train.trainable",
        KeyKind::Choice(TrainableName::WORDS),
        "Which parameters move, but for a refit",
    )
    .flags(&["trainable"]),
    Key::new("train.optimizer", KeyKind::Choice(Optimizer::WORDS), "Optimiser").flags(&["optimizer"]),
    Key::new("train.adam_beta1", FROM_0_BELOW_1, "Of adamw's mean gradient, what stays at each step"),
    Key::new("train.adam_beta2", FROM_0_BELOW_1, "Of adamw's mean square, what stays at each step"),
    Key::new("train.adam_epsilon", ABOVE_0, "What adamw adds to the root of the mean square"),
    Key::new("train.clip_grad_norm", FROM_0, "Longest gradient (L2 norm over all parameters); 0 is any")
        .flags(&["clip_grad_norm"]),
    Key::new(
        "train.schedule",
        KeyKind::Choice(ScheduleName::WORDS),
        "How the learning rate goes after the warm-up",
    )
    .flags(&["schedule"]),
    Key::new(
        "train.decay_epochs",
        KeyKind::Integer(1, 1_000_000),
        "Epochs between two falls of schedule step",
    )
    .flags(&["decay_epochs"]),
    Key::new("train.decay_rate", ABOVE_0_TO_1, "Factor of each fall of schedule step")
        .flags(&["decay_rate"]),
    Key::new("train.warmup_epochs", KeyKind::Integer(0, 1_000_000), "Epochs of linear warm-up")
        .flags(&["warmup_epochs"]),
    Key::new("train.alpha", FROM_0, "Weight of the self-labelled term of the loss")
        .flags(&["alpha"]),
    Key::new(
        "train.beta",
        ANY_NUMBER,
        "Accepted and recorded; nothing reads it, as in the published code",
    )
    .flags(&["beta"]),
    Key::new(
        "train.start_epoch",
        KeyKind::Integer(1, 1_000_000),
        "Above 1 only with --resume, which finds the place itself",
    )
    .flags(&["start_epoch"]),
    Key::new(
        "train.max_steps",
        KeyKind::Integer(0, LARGEST),
        "End after this many steps; 0 is no limit",
    )
    .flags(&["max_steps"]),
    Key::new(
        "train.log_every_steps",
        KeyKind::Integer(1, LARGEST),
        "Steps between two step events in metrics.jsonl",
    ),
    Key::new(
        "train.sync_bn",
        KeyKind::Switch,
        "Batch normalisation over all processes' images, not each one's own",
    )
    .flags(&["sync_bn"]),
    Key::new(
        "train.precision",
        KeyKind::Choice(Precision::WORDS),
        "Arithmetic of the forward and backward passes",
    )
    .flags(&["precision"]),
    Key::new("loss.focal_gamma", FROM_0, "Gamma of focal"),
    Key::new(
        "loss.class_balanced_beta",
        FROM_0_BELOW_1,
        "Beta of class_balanced and ldam_drw",
    ),
    Key::new("loss.ldam_max_margin", ABOVE_0, "Margin of the smallest class in ldam"),
    Key::new(
        "loss.deferred_share",
        FROM_0_TO_1,
        "Last part of the epochs, in which ldam_drw weighs classes",
    ),
    Key::new("loss.adjustment_tau", FROM_0, "Tau of logit_adjustment"),
    Key::new("loss.label_smoothing", FROM_0_BELOW_1, "Part of a target that label_smoothing spreads"),
    Key::new(
        "loss.admitted",
        KeyKind::Choice(AdmittedLoss::WORDS),
        "What admitted labels are measured by: the criterion, or plain cross-entropy",
    ),
    Key::new(
        "refit.method",
        KeyKind::Choice(RefitMethod::WORDS),
        "Train the best model's classifier once more: on balanced classes, or by balanced softmax",
    )
    .flags(&["refit"]),
    Key::new("refit.epochs", KeyKind::Integer(1, 1_000_000), "Epochs of it, after the others")
        .flags(&["refit_epochs"]),
    Key::new("refit.lr", ABOVE_0, "Its learning rate in the first of them"),
    Key::new(
        "admission.policy",
        KeyKind::Choice(Policy::WORDS),
        "Admission; auto is quota when honest, else reference",
    )
    .or_auto()
    .flags(&["policy"]),
    Key::new("admission.conf", FROM_0_TO_1, "Least confidence of a candidate")
        .flags(&["lambda_init", "conf"]),
    Key::new("admission.temperature", ABOVE_0, "Temperature of the teacher's softmax")
        .flags(&["tau"]),
    Key::new(
        "admission.quota_rate",
        FROM_0_TO_1,
        "Policy quota: share of a class's deficit per epoch; auto goes by the class counts",
    )
    .or_auto(),
    Key::new(
        "admission.burst_steps",
        KeyKind::Integer(1, 1_000_000),
        "Policy quota: steps' worth of tokens a bucket holds",
    ),
    Key::new(
        "admission.share",
        MILLIONTH_TO_1,
        "Policy quota: part of a batch that minority classes may fill",
    ),
    Key::new("admission.crest_alpha", FROM_0, "Policy rate: CReST's exponent"),
    Key::new(
        "checkpoint.every_steps",
        KeyKind::Integer(0, LARGEST),
        "Steps between checkpoints; 0 counts none",
    ),
    Key::new(
        "checkpoint.every_minutes",
        KeyKind::Integer(0, 100_000),
        "Minutes between checkpoints; 0 counts none",
    ),
    Key::new(
        "checkpoint.keep_last",
        KeyKind::Integer(1, 1_000_000),
        "Newest checkpoints kept; each holds the best model too",
    ),
    Key::new(
        "checkpoint.on_failure",
        KeyKind::Choice(OnFailedCheckpoint::WORDS),
        "A checkpoint that cannot be written: stop ends the run, warn says so and goes on",
    ),
    Key::new(
        "evaluation.batch_size",
        KeyKind::Integer(1, BATCH_MAX),
        "Images per forward pass of an evaluation",
    ),
    Key::new(
        "evaluation.tta",
        KeyKind::Switch,
        "Average an image's logits with its mirror image's at the end",
    ),
    Key::new(
        "evaluation.tau_norm",
        FROM_0,
        "Exponent of the classifier's tau-normalisation at the end",
    ),
];
