//! The command line that the paper's authors published, word for word, and the meaning of its
//! flags.

use lcsl_config::{DataAugmentation, DatasetName, Devices, Stop, TrainCommand};

use crate::{CPU, GPUS, bad, good, train};

/// As it stands in the authors' README; the shell removes the quotes.
const PUBLISHED: &str = "--dataset=cifar100 --batch_size=64 --imb_factor=0.01 --alpha=1. \
    --beta=1. --lr=0.01 --gpu=0 --weight_decay=5e-3 --epochs=300 --lambda_init=0.5";

#[test]
fn the_published_command_line_means_what_it_says() {
    let TrainCommand { config, notes, dry_run, json, .. } = train(PUBLISHED, &GPUS, "").unwrap();
    assert_eq!(config.data.name, DatasetName::Cifar100);
    assert_eq!((config.train.batch_size, config.train.epochs), (64, 300));
    assert_eq!((config.data.imb_factor, config.train.lr), (0.01, 0.01));
    assert_eq!(
        (config.train.alpha, config.train.beta, config.train.weight_decay),
        (1.0, 1.0, 5e-3)
    );
    assert_eq!((config.run.gpu, config.run.nproc), (Devices::Gpus(vec![0]), 1));
    assert_eq!(config.admission.conf.to_string(), "0.5");
    assert!(!dry_run && !json);
    assert_eq!(notes.len(), 1, "{notes:?}");
}

/// Story: the published command trained another network under another protocol, and said only that
/// `beta` is not read.
#[test]
fn the_published_command_line_says_in_one_note_what_differs_from_the_published_run() {
    let notes = |flags: &str| train(flags, &GPUS, "").unwrap().notes.join("\n");
    let with_ours =
        "--dataset=imagenet --lambda_init=0.5 --model=resnet50 --policy=rate --epochs=90";
    let told = [PUBLISHED, with_ours, "--dataset=inaturalist"].map(notes).join("\n\n");
    insta::assert_snapshot!("differences", told);
}

/// The flags that the note names make the published run, and no further note.
#[test]
fn the_flags_of_the_note_give_the_published_run() {
    let published = train(&format!("{PUBLISHED} --protocol=paper"), &GPUS, "").unwrap();
    insta::assert_snapshot!(
        published.notes.join("\n"),
        @"beta is accepted and recorded; nothing reads it, as in the published code"
    );
    let small = format!("{PUBLISHED} --model=resnet20 --policy=quota");
    let note = train(&small, &GPUS, "").unwrap().notes.join("\n");
    let flags = "--protocol=paper --model=resnet34_cifar --policy=reference";
    assert!(note.contains(&format!(". {flags} trains as published")), "{note}");
    assert_eq!(train(&format!("{small} {flags}"), &GPUS, "").unwrap().config, published.config);
}

#[test]
fn the_note_is_for_those_who_come_from_the_published_code_alone() {
    for flags in [
        "--dataset=cifar100 --batch_size=64 --lr=0.01 --epochs=300 --conf=0.7",
        "--dataset=imagenet_lt",
        "--dataset=fashion_mnist --lambda_init=0.7",
        "--lambda_init=0.7 --protocol=honest",
        "--lambda_init=0.7 --protocol=paper",
        "--lambda_init=0.7 --method=mixup",
        "--lambda_init=0.7 --config=imagenet_lt",
        "--fc_norm",
    ] {
        assert_eq!(good(flags).notes, [""; 0], "{flags}");
    }
    for flags in ["--beta=1", "--fc_norm=1.9", "--lambda_init=0.7", "--dataset=inaturalist"] {
        assert_eq!(good(flags).notes.len(), 1, "{flags}");
    }
}

#[test]
fn without_a_driver_it_names_the_way_out() {
    let Err(Stop::Problems(problems)) = train(PUBLISHED, &CPU, "") else {
        panic!("there is no GPU")
    };
    insta::assert_snapshot!(problems, @r"
    the configuration has a problem
      - run.gpu is 0, but no GPU driver is present
        where: flag --gpu
        hint: run on the CPU with --gpu=cpu, or install the NVIDIA driver
    ");
}

#[test]
fn every_published_flag_is_accepted_with_its_default() {
    let flags = "--image_size=32 --dataset=cifar100 --batch_size=64 --optimizer=sgd \
        --imb_type=exp --imb_factor=0.01 --alpha=1.0 --beta=1.0 --tau=1.0 --lr=0.01 \
        --weight_decay=5e-3 --warmup_epochs=10 --data_aug=none --epochs=200 --fc_norm=1.9 \
        --start_epoch=1 --lambda_init=0.5";
    assert_eq!(
        good(flags).config,
        good("").config,
        "the published defaults are ours, but for 200 epochs"
    );
}

#[test]
fn the_number_after_fc_norm_is_a_switch() {
    for (flags, on) in [
        ("--fc_norm=1.9", true),
        ("--fc_norm 1.9", true),
        ("--fc_norm", true),
        ("--fc_norm=true", true),
        ("--fc_norm=0", false),
        ("--fc_norm 0.0", false),
        ("--fc_norm=false", false),
    ] {
        assert_eq!(good(flags).config.model.fc_norm, on, "{flags}");
    }
    insta::assert_snapshot!(bad("--fc_norm=-1"), @r"
    the configuration has a problem
      - model.fc_norm is -1, but must be true, false or a number of at least 0
        where: flag --fc_norm
    ");
}

#[test]
fn data_aug_none_still_crops_and_flips() {
    for word in ["none", "None", "crop_flip", "crop-flip"] {
        let command = good(&format!("--dataset=synthetic --data_aug={word}"));
        assert_eq!(command.config.data.data_aug, DataAugmentation::CropFlip, "{word}");
    }
    assert_eq!(good("--data_aug=off").config.data.data_aug, DataAugmentation::Off);
    let photographs = good("--dataset=imagenet_lt --data_aug=none").config.data.data_aug;
    assert_eq!(
        photographs,
        DataAugmentation::None,
        "the published code also changes colours there"
    );
}

#[test]
fn a_dataset_has_its_recipes_and_names_them() {
    for dataset in DatasetName::WORDS {
        for word in DataAugmentation::WORDS {
            let line = format!("--dataset={dataset} --data_aug={word}");
            let has = dataset.parse::<DatasetName>().unwrap().recipes();
            let has = has.contains(&word.parse().unwrap());
            assert_eq!(train(&line, &CPU, "").is_ok(), has, "{line}");
        }
    }
    insta::assert_snapshot!(bad("--dataset=cifar100 --data_aug=randcls"), @r"
    the configuration has a problem
      - data.data_aug is randcls, a recipe that cifar100 does not have
        where: flag --data_aug and flag --dataset
        hint: cifar100 has crop_flip, none, autoaug, cutout, affine, sim_aug, off
    ");
    insta::assert_snapshot!(bad("--dataset=imagenet --data_aug=autoaug"), @r"
    the configuration has a problem
      - data.data_aug is autoaug, a recipe that imagenet_lt does not have
        where: flag --data_aug and flag --dataset
        hint: imagenet_lt has crop_flip, none, sim_aug, randcls, off
    ");
}

#[test]
fn start_epoch_belongs_to_resume() {
    let command = good("--start_epoch=7 --resume=auto");
    insta::assert_snapshot!(command.notes.join("\n"), @r"
    start_epoch is recorded only; --resume continues where the newest checkpoint stands
    ");
    insta::assert_snapshot!(bad("--start_epoch=7"), @r"
    the configuration has a problem
      - train.start_epoch is 7, but run.resume is never
        where: flag --start_epoch
        hint: add --resume=auto, which continues from the newest checkpoint, wherever it stands
    ");
    insta::assert_snapshot!(bad("--start_epoch=7 --resume=auto --epochs=6"), @r"
    the configuration has a problem
      - train.start_epoch (7) lies after the last of 6 epochs
        where: flag --start_epoch and flag --epochs
        hint: epochs are counted from 1; leave start_epoch out
    ");
}

#[test]
fn a_warm_up_that_fills_the_run_is_pointed_out() {
    insta::assert_snapshot!(good("--epochs=5").notes.join("\n"), @r"
    the warm-up of 10 epochs fills the whole run of 5, so lr never falls
    ");
    assert!(good("--epochs=11").notes.is_empty());
}

#[test]
fn dashes_and_underscores_are_alike_in_names_only() {
    let command =
        good("--batch-size=32 --weight-decay 0 --dry-run --run_dir=my-runs/a_b --lambda-init=0.25");
    assert_eq!(command.config.train.batch_size, 32);
    assert_eq!(command.config.run.run_dir.to_str(), Some("my-runs/a_b"));
    assert_eq!(command.config.admission.conf.to_string(), "0.25");
    assert!(command.dry_run);
    assert_eq!(good("--dataset=fashion-mnist").config.data.name, DatasetName::FashionMnist);
}

#[test]
fn switches_stand_bare_or_with_a_value() {
    for (flags, on) in [
        ("--deterministic", true),
        ("--deterministic=true", true),
        ("--deterministic true", true),
        ("--deterministic --seed=3", true),
        ("--deterministic=false", false),
        ("--deterministic --deterministic=false", false),
    ] {
        assert_eq!(good(flags).config.run.deterministic, on, "{flags}");
    }
    assert!(good("--json").json && !good("--json=false").json);
}
