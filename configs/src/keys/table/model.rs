//! `[model]` and `[train]`: the network and how it trains.

use super::{
    ABOVE_0, ABOVE_0_TO_1, ANY_NUMBER, BATCH_MAX, FROM_0, FROM_0_BELOW_1, Key, KeyKind, LARGEST,
};
use crate::run_config::{
    CriterionName, Head, Method, MixingName, ModelName, Optimizer, Precision, Protocol,
    ScheduleName, TrainableName,
};

pub(super) const MODEL_AND_TRAIN: &[Key] = &[
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
        KeyKind::Integer(0, 1_000_000),
        "Passes over the training set; auto is 200, and 300 as published under protocol paper; 0, with --init, is none",
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
    Key::new(
        "train.layer_decay",
        ABOVE_0_TO_1,
        "Learning rate of a layer of vit_b_16, as a part of the next one's; 1 is the same for all",
    )
    .flags(&["layer_decay"]),
    Key::new("train.clip_grad_norm", FROM_0, "Longest gradient (L2 norm over all parameters); 0 is any")
        .flags(&["clip_grad_norm"]),
    Key::new(
        "train.sam_rho",
        FROM_0,
        "Rho of sharpness-aware minimisation, such as 0.05, which costs a second pass; 0 is none",
    )
    .flags(&["sam_rho"]),
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
    Key::new(
        "train.ema_decay",
        FROM_0_BELOW_1,
        "What a moving average of the weights, which is measured instead, keeps at each step; 0 is none",
    )
    .flags(&["ema_decay"]),
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
        "Arithmetic of the forward and backward passes; auto is the faster of fp32 and bf16, measured",
    )
    .or_auto()
    .flags(&["precision"]),
];
