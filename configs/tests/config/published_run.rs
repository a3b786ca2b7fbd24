//! What `--protocol=paper` resolves to, against what the published code does, key by key: its defaults
//! (`config.py`), what its script has written into it (`train_LCSL.py`), and its data (`data/`).

use std::collections::BTreeMap;

use lcsl_config::keys::KEYS;
use lcsl_config::{ModelName, Protocol, ZOO, to_toml};

use crate::good;

/// The keys that decide what is learnt, and their values in the published code's run on CIFAR-100 with
/// its defaults.
const PUBLISHED: &[(&str, &str)] = &[
    ("data.name", "\"cifar100\""),
    ("data.imb_type", "\"exp\""),
    ("data.imb_factor", "0.01"),
    ("data.image_size", "32"),
    ("data.data_aug", "\"crop_flip\""), // there called none: a padded crop and a mirror image
    ("data.largest", "0"),
    ("data.unlabelled", "\"none\""),
    ("data.sampler", "\"random\""),
    ("data.validation_per_class", "0"),
    ("model.name", "\"resnet34_cifar\""), // there called ResNet32
    ("model.fc_norm", "true"),            // 1.9, of which only the sign is read
    ("model.head", "\"linear\""),
    ("train.method", "\"lcsl\""),
    ("train.criterion", "\"ce\""),
    ("train.mixing", "\"mixup\""),
    ("train.protocol", "\"paper\""),
    ("train.epochs", "300"),
    ("train.batch_size", "64"),
    ("train.accumulate_steps", "1"),
    ("train.lr", "0.01"),
    ("train.momentum", "0.9"),
    ("model.init", "\"\""),
    ("train.trainable", "\"all\""),
    ("train.nesterov", "false"),
    ("train.layer_decay", "1.0"),
    ("train.clip_grad_norm", "0.0"),
    ("train.sam_rho", "0.0"),
    ("train.schedule", "\"cosine\""),
    ("train.weight_decay", "0.005"),
    ("train.optimizer", "\"sgd\""),
    ("train.warmup_epochs", "10"),
    ("train.ema_decay", "0.0"),
    ("train.alpha", "1.0"),
    ("train.beta", "1.0"),
    ("train.start_epoch", "1"),
    ("train.sync_bn", "false"),
    ("train.precision", "\"fp32\""),
    ("loss.prior_admissions", "0.0"),
    ("loss.admitted", "\"criterion\""), // which is cross-entropy
    ("refit.method", "\"none\""),
    ("admission.policy", "\"reference\""),
    ("admission.classes", "\"minority\""),
    ("admission.teacher", "\"best\""),
    ("admission.after_epochs", "0"),
    ("admission.agreement", "false"),
    ("admission.conf", "0.5"),
    ("admission.quantile", "0.0"),
    ("admission.alignment", "0.0"),
    ("admission.temperature", "1.0"),
    ("evaluation.tta", "true"),
    ("evaluation.tau_norm", "1.9"),
    ("evaluation.tau_sweep", "false"),
    ("evaluation.adjustment_sweep", "false"),
    ("evaluation.many_above", "100"),
    ("evaluation.few_below", "20"),
    ("evaluation.every_epochs", "1"),
];

/// What differs on the other datasets.
const CIFAR10: &[(&str, &str)] = &[("data.name", "\"cifar10\"")];
const IMAGENET: &[(&str, &str)] = &[
    ("data.name", "\"imagenet_lt\""),
    ("data.imb_factor", "1.0"), // its list of images is long-tailed, and used as it is
    ("data.image_size", "224"), // of every transform, whatever the flag says
    ("data.data_aug", "\"none\""), // with random colours
    ("model.name", "\"resnext50_32x4d\""),
];
const INATURALIST: &[(&str, &str)] = &[
    ("data.name", "\"inaturalist2018\""),
    ("data.imb_factor", "1.0"),
    ("data.image_size", "224"),
    ("data.data_aug", "\"none\""),
    ("model.name", "\"resnet50\""),
];

/// Keys that change no published number: where and how fast a run takes place, what is written of it,
/// and what belongs to datasets, policies and selections that the published code does not have.
const OF_OURS: &[&str] = &[
    "run.",
    "checkpoint.",
    "data.root",
    "data.stage",
    "data.loader_threads",
    "data.on_corrupt",
    "data.selection_seed",
    "data.unlabelled_",
    "data.synthetic_",
    "model.cosine_scale",
    "train.max_steps",
    "train.adam_",
    "train.decay_",
    "train.log_every_steps",
    "loss.focal_gamma",
    "loss.class_balanced_beta",
    "loss.ldam_max_margin",
    "loss.deferred_share",
    "loss.adjustment_tau",
    "loss.label_smoothing",
    "refit.epochs",
    "refit.lr",
    "admission.quota_rate",
    "admission.burst_steps",
    "admission.share",
    "admission.crest_alpha",
    "admission.mixed", // without unlabelled images they are the only candidates
    "evaluation.batch_size",
];

/// Story: under `--protocol=paper`, `auto` took networks and recipes that the published code does not
/// train with, so that its numbers were not those of the paper.
#[test]
fn protocol_paper_resolves_to_the_published_run_key_by_key() {
    let runs = [
        ("cifar100", &[] as &[_]),
        ("cifar10", CIFAR10),
        ("imagenet", IMAGENET),
        ("inaturalist", INATURALIST),
    ];
    for (dataset, differing) in runs {
        let command = good(&format!("--protocol=paper --dataset={dataset}"));
        let text = to_toml(&command.config, &command.origins);
        let resolved: toml::Table = text.parse().unwrap();
        let mut expected: BTreeMap<&str, &str> = PUBLISHED.iter().copied().collect();
        expected.extend(differing.iter().copied());
        for key in KEYS {
            let value = resolved[key.section()][key.name()].to_string();
            let is_ours = OF_OURS.iter().any(|ours| key.path.starts_with(ours));
            match expected.get(key.path) {
                Some(published) => assert_eq!(&value, published, "{dataset}: {}", key.path),
                None => assert!(is_ours, "{}: say what the published code does", key.path),
            }
        }
    }
}

/// A network of one's own choice, and every other value that is written, stays under either protocol.
#[test]
fn what_is_written_is_not_resolved() {
    let written = good("--protocol=paper --model=resnet32 --epochs=200 --data_aug=autoaug").config;
    assert_eq!((written.model.name, written.train.epochs), (ModelName::Resnet32, 200));
    assert_eq!(written.data.data_aug.word(), "autoaug");
    for (dataset, network) in [("fashion_mnist", "resnet20"), ("folder", "resnet50")] {
        let config = good(&format!("--protocol=paper --dataset={dataset}")).config;
        assert_eq!(config.model.name.word(), network, "not published: as under honest");
    }
}

#[test]
fn first_weights_are_those_of_the_networks_source_under_paper_alone() {
    let drawn = |protocol: Protocol| {
        let line = |entry: &lcsl_config::ModelEntry| {
            format!("{}: {:?}", entry.name, entry.initialisation(protocol))
        };
        ZOO.iter().map(line).collect::<Vec<_>>().join("\n")
    };
    insta::assert_snapshot!(drawn(Protocol::Paper), @r"
    resnet20: PytorchDefault
    resnet32: PytorchDefault
    resnet34_cifar: PytorchDefault
    resnet18: KaimingNormalFanOut
    resnet34: KaimingNormalFanOut
    resnet50: PytorchDefault
    resnet101: KaimingNormalFanOut
    resnet152: KaimingNormalFanOut
    resnext50_32x4d: KaimingNormalFanOut
    resnext101_32x8d: KaimingNormalFanOut
    vit_b_16: VisionTransformer
    ");
    let honest = drawn(Protocol::Honest);
    let others = honest.lines().filter(|line| !line.ends_with(": KaimingNormalFanIn"));
    assert_eq!(others.collect::<Vec<_>>(), ["vit_b_16: VisionTransformer"]);
}
