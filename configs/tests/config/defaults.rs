//! The files that are embedded in the binary are complete, commented and right.

use std::collections::BTreeSet;

use lcsl_config::keys::{KEYS, find_flag};
use lcsl_config::{
    DatasetName, Devices, Machine, Method, ModelName, OnCorrupt, PRESETS, Policy, QuotaRate,
    to_toml,
};

use crate::{CPU, GPUS, bad, good, train};

const DEFAULT: &str = include_str!("../../default.toml");

/// Every key of a commented file, as `section.name`, each with the line above it.
fn keys_of(text: &str) -> Vec<(String, &str)> {
    let (mut section, mut above, mut keys) = ("", "", Vec::new());
    for line in text.lines() {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']');
        } else if let Some((name, _)) = line.split_once(" = ").filter(|_| !line.starts_with('#')) {
            keys.push((format!("{section}.{name}"), above));
        }
        above = line;
    }
    keys
}

#[test]
fn the_defaults_hold_every_key_once_in_the_order_of_the_table() {
    let written: Vec<String> = keys_of(DEFAULT).into_iter().map(|(path, _)| path).collect();
    let known: Vec<&str> = KEYS.iter().map(|key| key.path).collect();
    assert_eq!(written, known);
}

#[test]
fn every_default_has_its_comment() {
    for (path, above) in keys_of(DEFAULT) {
        assert!(above.starts_with("# "), "{path} has no comment above it, but {above:?}");
    }
}

#[test]
fn no_two_keys_share_a_path_or_a_flag() {
    let paths: BTreeSet<_> = KEYS.iter().map(|key| key.path).collect();
    assert_eq!(paths.len(), KEYS.len());
    let flags: Vec<_> = KEYS.iter().flat_map(|key| key.flags).copied().collect();
    assert_eq!(flags.iter().collect::<BTreeSet<_>>().len(), flags.len());
    assert!(
        ["config", "set", "dry_run", "write_config", "json", "help", "version"]
            .iter()
            .all(|name| !flags.contains(name))
    );
    for flag in flags {
        assert!(find_flag(flag).is_some_and(|key| key.flags.contains(&flag)));
    }
}

#[test]
fn every_table_of_keys_entry_has_its_field_and_the_other_way_round() {
    let command = good("");
    let written = to_toml(&command.config, &command.origins);
    let fields: toml::Table = toml::Table::try_from(&command.config).unwrap();
    let count: usize = fields.values().map(|section| section.as_table().unwrap().len()).sum();
    assert_eq!((keys_of(&written).len(), count), (KEYS.len(), KEYS.len()));
}

#[test]
fn every_preset_in_the_folder_is_embedded_and_good() {
    let folder = std::fs::read_dir(env!("CARGO_MANIFEST_DIR")).unwrap();
    let mut names: Vec<String> = folder
        .filter_map(|entry| {
            entry.unwrap().file_name().to_str()?.strip_suffix(".toml").map(str::to_owned)
        })
        .filter(|name| name != "Cargo" && name != "default")
        .collect();
    names.sort();
    assert_eq!(names, PRESETS.iter().map(|(name, _)| *name).collect::<Vec<_>>());
    for name in names {
        assert!(good(&format!("--config={name}")).notes.is_empty(), "{name}");
    }
}

#[test]
fn the_demo_is_fashion_mnist_on_two_processes() {
    let config = train("--config=demo", &GPUS, "").unwrap().config;
    assert_eq!((config.data.name, config.data.imb_factor), (DatasetName::FashionMnist, 0.01));
    assert_eq!((config.run.gpu, config.run.nproc, config.run.virtual_ranks), (Devices::Cpu, 2, 2));
    assert_eq!((config.run.threads, config.data.validation_per_class), (1, 100));
    assert_eq!((config.train.method, config.model.name), (Method::Lcsl, ModelName::Resnet20));
}

#[test]
fn what_auto_means_goes_by_the_dataset() {
    let line = |dataset: &str| {
        let config = good(&format!("--dataset={dataset}")).config;
        let (data, model) = (config.data, config.model);
        format!(
            "{dataset}: {} {} {:?} {}",
            model.name, data.image_size, data.data_aug, data.validation_per_class
        )
    };
    let lines: Vec<String> = DatasetName::WORDS.iter().map(|word| line(word)).collect();
    insta::assert_snapshot!(lines.join("\n"), @r"
    cifar10: resnet32 32 CropFlip 100
    cifar100: resnet32 32 CropFlip 20
    fashion_mnist: resnet20 28 CropFlip 100
    imagenet_lt: resnext50_32x4d 224 CropFlip 20
    imagenet: resnext50_32x4d 224 CropFlip 20
    places_lt: resnet152 224 CropFlip 20
    places: resnet152 224 CropFlip 20
    inaturalist2018: resnet50 224 CropFlip 3
    inaturalist: resnet50 224 CropFlip 3
    folder: resnet50 224 CropFlip 10
    synthetic: resnet20 32 Off 10
    ");
    assert_eq!(
        good("--dataset=cifar10 --seed=3").config.run.run_dir.to_str(),
        Some("runs/cifar10-lcsl-resnet32-seed3")
    );
}

#[test]
fn prepared_images_are_used_as_they_are_unless_a_factor_is_given() {
    let factor = |flags: &str| good(flags).config.data.imb_factor.to_string();
    assert_eq!(["--dataset=cifar10", "--dataset=folder"].map(factor), ["0.01", "1"]);
    assert_eq!(factor("--dataset=folder --imb_factor=0.1"), "0.1");
    let command = good("--config=imagenet_lt --imb_factor=0.01 --model=resnet20 --image_size=32");
    assert_eq!(
        (command.config.model.name, command.config.data.image_size),
        (ModelName::Resnet20, 32)
    );
    assert_eq!(
        command.notes,
        [
            "imb_factor is recorded only: imagenet_lt is long-tailed as published, with its own counts"
        ]
    );
    assert_eq!(good("--config=imagenet_lt --imb_factor=0.01 --dataset=folder").notes, [""; 0]);
}

/// Story: a flag that changes nothing and says nothing lets a person believe that it does.
#[test]
fn what_to_do_about_corrupt_records_is_asked_where_there_are_records() {
    let in_shards = good("--dataset=folder --on_corrupt=count");
    assert_eq!((in_shards.config.data.on_corrupt, in_shards.notes.len()), (OnCorrupt::Count, 0));
    assert_eq!(good("--dataset=folder").config.data.on_corrupt, OnCorrupt::Fail);
    assert_eq!(
        good("--dataset=cifar10 --on-corrupt count").notes,
        ["on_corrupt is recorded only: cifar10 has no records in shards"]
    );
}

#[test]
fn threads_that_decode_share_the_cores() {
    let threads = |flags: &str, cores: usize| {
        let machine = Machine { cores, gpus: Some(4) };
        train(flags, &machine, "").unwrap().config.data.loader_threads
    };
    assert_eq!((threads("--gpu=0,1", 16), threads("--gpu=0", 64)), (8, 16));
    assert_eq!((threads("--gpu=cpu", 16), threads("--gpu=cpu --nproc=2", 2)), (8, 1));
}

#[test]
fn what_auto_means_goes_by_the_protocol() {
    let paper = good("--protocol=paper").config;
    assert_eq!((paper.admission.policy, paper.data.validation_per_class), (Policy::Reference, 0));
    let honest = good("").config;
    assert_eq!((honest.admission.policy, honest.data.validation_per_class), (Policy::Quota, 20));
    assert_eq!(
        honest.admission.quota_rate,
        QuotaRate::Auto,
        "resolved where the class counts are known"
    );
    assert_eq!(good("--protocol=paper --policy=rate").config.admission.policy, Policy::Rate);
}

#[test]
fn what_auto_means_goes_by_the_machine() {
    let run = |flags: &str, machine: &Machine| {
        let run = train(flags, machine, "").unwrap().config.run;
        (run.gpu.to_string(), run.nproc, run.virtual_ranks, run.threads)
    };
    let none = Machine { cores: 8, gpus: Some(0) };
    assert_eq!(run("", &CPU), ("cpu".into(), 1, 1, 8));
    assert_eq!(run("", &none), ("cpu".into(), 1, 1, 8));
    assert_eq!(run("--gpu=cpu", &GPUS), ("cpu".into(), 1, 1, 8));
    // Story: each of eight processes on one host had a pool of all its cores.
    assert_eq!(run("", &GPUS), ("0".into(), 1, 1, 4));
    assert_eq!(run("--gpu=3,1", &GPUS), ("3,1".into(), 2, 2, 4));
    assert_eq!(run("--gpu=0,1,2,3", &GPUS), ("0,1,2,3".into(), 4, 4, 2));
    assert_eq!(run("--gpu=0 --nproc=4", &GPUS), ("0".into(), 4, 4, 2));
    assert_eq!(run("--gpu=0,1 --hosts=a:8,b:2", &GPUS), ("0,1".into(), 10, 10, 1));
}

/// Threads decide the order of sums inside libtorch, so they must not follow the number of
/// processes.
#[test]
fn threads_are_one_when_deterministic_or_with_several_cpu_ranks() {
    let threads =
        |flags: &str, machine: &Machine| train(flags, machine, "").unwrap().config.run.threads;
    assert_eq!(threads("--deterministic", &CPU), 1);
    assert_eq!(threads("--deterministic --nproc=2", &CPU), 1);
    assert_eq!((threads("--nproc=2", &CPU), threads("--nproc=4", &CPU)), (1, 1));
    assert_eq!(threads("--gpu=0,1 --deterministic", &GPUS), 1);
    assert_eq!(threads("--nproc=2 --threads=3", &CPU), 3);
}

#[test]
fn an_unknown_dataset_is_answered_with_the_list() {
    insta::assert_snapshot!(bad("--dataset=fasion_mnist"));
}

/// A method is a criterion, a mixing and a head; what is not asked for follows from its name.
#[test]
fn what_auto_means_goes_by_the_method() {
    let of = |flags: &str| {
        let lcsl_config::RunConfig { train, model, .. } = good(flags).config;
        [train.criterion.word(), train.mixing.word(), model.head.word()].join(" ")
    };
    assert_eq!(of(""), "ce mixup linear");
    assert_eq!(of("--method=ce"), "ce none linear");
    assert_eq!(of("--method=ldam_drw"), "ldam_drw none cosine");
    assert_eq!(of("--method=balanced-softmax --mixing=mixup"), "balanced_softmax mixup linear");
    assert_eq!(
        of("--criterion=balanced_softmax --mixing=cutmix"),
        "balanced_softmax cutmix linear"
    );
    assert_eq!(of("--head=cosine"), "ce mixup cosine");
    let run_dir = |flags: &str| good(flags).config.run.run_dir.display().to_string();
    assert_eq!(run_dir("--method=ldam"), "runs/cifar100-ldam-resnet32-seed0");
    assert_eq!(
        run_dir("--criterion=balanced_softmax --mixing=cutmix"),
        "runs/cifar100-lcsl-balanced_softmax-cutmix-resnet32-seed0"
    );
    let weighed = good("--method=class_balanced --sampler=class_balanced").notes;
    assert!(weighed[0].contains("rare classes count twice"), "{weighed:?}");
    assert_eq!(good("--method=class_balanced").notes, [""; 0]);
}

/// Story: `--refit_epochs=10` without `--refit` trained no refit, and said nothing.
#[test]
fn a_flag_that_nothing_reads_is_named_with_what_would_read_it() {
    let flags = "--dataset=cifar10 --refit_epochs=10 --set=loss.focal_gamma=1 --set=data.unlabelled_ratio=2 \
        --set=data.unlabelled_largest=9 --set=data.synthetic_classes=3 --set=model.cosine_scale=9 \
        --set=loss.ldam_max_margin=0.4 --set=loss.deferred_share=0.3 --set=loss.adjustment_tau=2 \
        --set=loss.label_smoothing=0.2 --set=loss.class_balanced_beta=0.9 --method=ce --set=loss.admitted=plain";
    insta::assert_snapshot!(good(flags).notes.join("\n"), @"
    refit.epochs is recorded only: there is no refit (--refit)
    data.unlabelled_ratio is recorded only: there are no unlabelled images (--unlabelled)
    data.unlabelled_largest is recorded only: no images are held back (--unlabelled=held_back)
    data.synthetic_classes is recorded only: it is of dataset synthetic
    model.cosine_scale is recorded only: it is of head cosine
    loss.admitted is recorded only: it is of method lcsl
    loss.focal_gamma is recorded only: it is of criterion focal
    loss.class_balanced_beta is recorded only: it is of criteria class_balanced and ldam_drw
    loss.ldam_max_margin is recorded only: it is of criteria ldam and ldam_drw
    loss.deferred_share is recorded only: it is of criterion ldam_drw
    loss.adjustment_tau is recorded only: it is of criterion logit_adjustment
    loss.label_smoothing is recorded only: it is of criterion label_smoothing
    ");
    let paper =
        "--protocol=paper --set=evaluation.tau_sweep=true --set=evaluation.adjustment_sweep=true";
    insta::assert_snapshot!(good(paper).notes.join("\n"), @"
    evaluation.tau_sweep is recorded only: protocol paper keeps the classifier as trained
    evaluation.adjustment_sweep is recorded only: protocol paper keeps the classifier as trained
    ");
    // Each is read where it belongs, and presets serve more than one run.
    for flags in [
        "--refit=crt --refit_epochs=10",
        "--method=focal --set=loss.focal_gamma=1",
        "--method=ldam_drw --set=loss.class_balanced_beta=0.9 --set=loss.deferred_share=0.3",
        "--unlabelled=held_back --set=data.unlabelled_largest=9 --dataset=fashion_mnist",
        "--config=demo --refit=none",
    ] {
        assert_eq!(good(flags).notes, [""; 0], "{flags}");
    }
}
