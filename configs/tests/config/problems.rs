//! Every message about a wrong configuration, as a person sees it.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;

use lcsl_config::{Machine, Stop, parse_train};
use proptest::prelude::*;

use crate::{CPU, GPUS, bad, bad_on, good, train};

#[test]
fn all_problems_come_at_once() {
    let arguments = "--gpu=0 --lr -5e-3 --epoch 4 foo --set train.learning_rate=3 --dry-run=maybe \
        --conf 2 --protocol=honst --nproc=3 --deterministic --turbo=9 -v --max_steps";
    insta::assert_snapshot!(bad(arguments), @r#"
    the configuration has 12 problems
      - unknown flag --epoch
        where: flag --epoch
        hint: did you mean --epochs?
      - unexpected argument "foo"
        where: command line
        hint: every setting is a flag, such as --epochs=10
      - unknown flag --turbo
        where: flag --turbo
        hint: `lcsl train --help` lists every flag
      - unknown flag -v
        where: flag -v
        hint: `lcsl train --help` lists every flag
      - --max_steps has no value
        where: flag --max_steps
        hint: write --max_steps=VALUE, where VALUE is an integer
      - dry_run is "maybe", but must be true or false
        where: flag --dry_run
      - train.lr is -0.005, but must be above 0
        where: flag --lr
      - unknown key train.learning_rate
        where: flag --set train.learning_rate
        hint: did you mean train.lr?
      - admission.conf is 2, but must be in [0, 1]
        where: flag --conf
      - train.protocol is "honst", but must be one of honest, paper
        where: flag --protocol
        hint: did you mean honest?
      - run.nproc is 3, but run.deterministic needs a power of two
        where: flag --deterministic and flag --nproc
        hint: sums follow one binary tree, whatever the number of processes; take 1, 2, 4, …
      - run.gpu is 0, but no GPU driver is present
        where: flag --gpu
        hint: run on the CPU with --gpu=cpu, or install the NVIDIA driver
    "#);
}

#[test]
fn values_out_of_range() {
    let arguments = "--imb_factor=0 --imb_factor=1.5 --lambda_init=-0.1 --conf=1.01 --lr=0 \
        --lr=nan --epochs=-1 --tau=0 --weight_decay=-1 --alpha=-1 --nproc=0 \
        --seed=9223372036854775808 --set train.momentum=1 --set admission.share=0 --set \
        evaluation.tau_norm=inf --set checkpoint.keep_last=0 --set data.synthetic_classes=1";
    insta::assert_snapshot!(bad(arguments), @r"
    the configuration has 17 problems
      - data.imb_factor is 0, but must be in (0, 1]
        where: flag --imb_factor
      - data.imb_factor is 1.5, but must be in (0, 1]
        where: flag --imb_factor
      - admission.conf is -0.1, but must be in [0, 1]
        where: flag --lambda_init
      - admission.conf is 1.01, but must be in [0, 1]
        where: flag --conf
      - train.lr is 0, but must be above 0
        where: flag --lr
      - train.lr is NaN, but must be finite
        where: flag --lr
      - train.epochs is -1, but must be at least 0
        where: flag --epochs
      - admission.temperature is 0, but must be above 0
        where: flag --tau
      - train.weight_decay is -1, but must be at least 0
        where: flag --weight_decay
      - train.alpha is -1, but must be at least 0
        where: flag --alpha
      - run.nproc is 0, but must be at least 1
        where: flag --nproc
      - run.seed is 9223372036854775808, but must be at most 9223372036854775807
        where: flag --seed
      - train.momentum is 1, but must be in [0, 1)
        where: flag --set train.momentum
      - admission.share is 0, but must be in [0.000001, 1]
        where: flag --set admission.share
      - evaluation.tau_norm is inf, but must be finite
        where: flag --set evaluation.tau_norm
      - checkpoint.keep_last is 0, but must be at least 1
        where: flag --set checkpoint.keep_last
      - data.synthetic_classes is 1, but must be at least 2
        where: flag --set data.synthetic_classes
    ");
}

#[test]
fn values_of_the_wrong_type() {
    let arguments = "--lr=fast --epochs=1e3 --deterministic=yes --dataset= --run_dir= \
        --policy=quote --optimizer=adam --set lr --set lr=1 --set =3";
    insta::assert_snapshot!(bad(arguments));
}

#[test]
fn the_ends_of_ranges_are_allowed() {
    good(
        "--imb_factor=1 --conf=0 --alpha=0 --weight_decay=0 --set train.momentum=0 \
        --batch_size=1 --epochs=0 --init=weights.safetensors",
    );
    good(
        "--conf=1 --set admission.share=1e-6 --set admission.quota_rate=0 \
        --seed=9223372036854775807",
    );
}

/// Story: `--imb_factor 100`, as the papers say it, was refused without a word on what to write, and
/// `--imb_factor 0.0001` trained on classes without an image.
#[test]
fn a_factor_that_is_a_ratio_or_leaves_classes_without_an_image() {
    insta::assert_snapshot!(bad("--imb_factor=100"), @r"
    the configuration has a problem
      - data.imb_factor is 100, but must be in (0, 1]
        where: flag --imb_factor
        hint: the imbalance ratio 100 is --imb_factor=0.01
    ");
    insta::assert_snapshot!(bad("--dataset=cifar10 --imb_factor=0.0001"), @r"
    the configuration has a problem
      - data.imb_factor is 0.0001, which leaves 1 of 10 classes without an image: the largest has 5000
        where: flag --imb_factor and flag --dataset
        hint: --imb_factor=0.0002 leaves the smallest class one image
    ");
    for (flags, empty) in [
        ("--dataset=cifar100 --imb_type=step --imb_factor=0.001", "50 of 100"),
        ("--dataset=synthetic --set data.synthetic_largest=16", "4 of 10"),
        ("--dataset=fashion_mnist --imb_factor=1e-6", "4 of 10"),
    ] {
        let text = bad(flags).to_string();
        assert!(text.contains(&format!("leaves {empty} classes")), "{text}");
    }
    for flags in [
        "--dataset=cifar100 --imb_factor=0.002",
        "--dataset=cifar10 --imb_factor=0.0002",
        "--dataset=fashion_mnist --imb_factor=0.000167",
        "--dataset=cifar10 --imb_type=balanced --imb_factor=0.0001",
        "--dataset=folder --imb_factor=0.0001",
    ] {
        good(flags);
    }
}

#[test]
fn a_batch_smaller_than_the_ranks() {
    insta::assert_snapshot!(bad("--batch_size=3 --virtual_ranks=4"), @r"
    the configuration has a problem
      - train.batch_size (3) is smaller than the 4 ranks
        where: flag --batch_size and flag --virtual_ranks
        hint: batch_size is global; give at least 4, or fewer ranks
    ");
    good("--batch_size=4 --virtual_ranks=4");
}

/// Story: with as many logical ranks as images of a batch, each mixed its one image with itself, and nobody was
/// told that mixup did nothing.
#[test]
fn too_few_images_of_a_logical_rank_to_mix_are_pointed_out() {
    insta::assert_snapshot!(good("--batch_size=4 --virtual_ranks=4").notes.join("\n"), @r"
    each logical rank mixes 1 image of a batch with itself, so mixup does nothing; --batch_size=32 gives each 8
    ");
    insta::assert_snapshot!(good("--batch_size=31 --virtual_ranks=4 --method=mixup").notes.join("\n"), @r"
    each logical rank mixes 7 images of a batch with each other, so mixup does little; --batch_size=32 gives each 8
    ");
    assert_eq!(good("--batch_size=32 --virtual_ranks=4").notes, [""; 0]);
    assert_eq!(good("--batch_size=4 --virtual_ranks=4 --method=ce").notes, [""; 0]);
}

/// Story: a network for photographs halves the image five times; of 16 pixels, one was left two stages before
/// the end, and the rest saw padding around it.
#[test]
fn an_image_smaller_than_the_network_takes() {
    insta::assert_snapshot!(bad("--dataset=synthetic --image_size=31 --model=resnet50"), @r"
    the configuration has a problem
      - data.image_size is 31, but resnet50 takes images of at least 32 pixels
        where: flag --image_size and flag --model
        hint: for images this small there are resnet20, resnet32, resnet34_cifar
    ");
    good("--dataset=synthetic --image_size=32 --model=resnet50");
    good("--dataset=synthetic --image_size=8 --model=resnet34_cifar");
}

#[test]
fn a_batch_that_cannot_be_cut_into_micro_batches() {
    insta::assert_snapshot!(bad("--batch_size=15 --accumulate_steps=4 --virtual_ranks=4"), @r"
    the configuration has a problem
      - train.batch_size (15) is smaller than 4 micro-batches times 4 logical ranks
        where: flag --batch_size and flag --accumulate_steps and flag --virtual_ranks
        hint: batch_size is global; give at least 16, or fewer micro-batches
    ");
    let problems = bad("--batch_size=3 --accumulate_steps=2 --virtual_ranks=4").0;
    assert_eq!(problems.len(), 2, "{problems:?}");
    good("--batch_size=16 --accumulate_steps=4 --virtual_ranks=4");
    good("--batch_size=64 --accumulate_steps=4 --nproc=2 --sync_bn");
    let note = good("--batch_size=64 --accumulate_steps=16").notes.join("\n");
    assert!(note.contains("4 images of a micro-batch") && note.contains("=128 gives"), "{note}");
}

#[test]
fn processes_that_do_not_divide_the_ranks() {
    insta::assert_snapshot!(bad("--nproc=2 --virtual_ranks=5"), @r"
    the configuration has a problem
      - run.nproc (2) does not divide run.virtual_ranks (5)
        where: flag --nproc and flag --virtual_ranks
        hint: every process runs equally many logical ranks; try --virtual_ranks=6
    ");
    insta::assert_snapshot!(bad("--nproc=4 --virtual_ranks=2"), @r"
    the configuration has a problem
      - run.nproc (4) does not divide run.virtual_ranks (2)
        where: flag --nproc and flag --virtual_ranks
        hint: every process runs equally many logical ranks; try --virtual_ranks=4
    ");
    good("--nproc=2 --virtual_ranks=6");
}

#[test]
fn shared_statistics_belong_to_processes_and_have_no_order() {
    insta::assert_snapshot!(bad("--sync_bn --nproc=2 --virtual_ranks=4 --deterministic"), @r"
    the configuration has 2 problems
      - train.sync_bn joins processes, but 2 of them run 4 logical ranks
        where: flag --sync_bn and flag --virtual_ranks and flag --nproc
        hint: leave virtual_ranks out, which is then the number of processes
      - train.sync_bn adds in an order that run.deterministic does not fix
        where: flag --sync_bn and flag --deterministic
        hint: leave one of the two out
    ");
    good("--sync_bn --nproc=2");
}

#[test]
fn deterministic_counts_that_are_no_powers_of_two() {
    insta::assert_snapshot!(bad("--deterministic --nproc=3"), @r"
    the configuration has a problem
      - run.nproc is 3, but run.deterministic needs a power of two
        where: flag --deterministic and flag --nproc
        hint: sums follow one binary tree, whatever the number of processes; take 1, 2, 4, …
    ");
    insta::assert_snapshot!(bad("--deterministic --nproc=2 --virtual_ranks=6"), @r"
    the configuration has a problem
      - run.virtual_ranks is 6, but run.deterministic needs a power of two
        where: flag --deterministic and flag --virtual_ranks
        hint: sums follow one binary tree, whatever the number of processes; take 1, 2, 4, …
    ");
    good("--deterministic --nproc=2 --virtual_ranks=8");
    good("--nproc=3");
}

#[test]
fn gpu_garbage() {
    for garbage in ["gpu0", "-1", "0,", "", "0;1", "4294967296", "cpu,0", "1.0"] {
        let problems = bad_on(&format!("--gpu={garbage}"), &GPUS, "");
        assert_eq!(problems.0.len(), 1, "{problems}");
        assert!(
            problems.0[0]
                .what
                .ends_with("but must be cpu or ordinals separated by commas, such as 0,1")
        );
    }
    insta::assert_snapshot!(bad_on("--gpu=gpu0", &GPUS, ""), @r#"
    the configuration has a problem
      - run.gpu is "gpu0", but must be cpu or ordinals separated by commas, such as 0,1
        where: flag --gpu
    "#);
    insta::assert_snapshot!(bad_on("--gpu=1,1", &GPUS, ""), @r#"
    the configuration has a problem
      - run.gpu is "1,1", but must not name GPU 1 twice
        where: flag --gpu
    "#);
}

#[test]
fn gpus_that_are_not_there() {
    insta::assert_snapshot!(bad("--gpu=0"), @r"
    the configuration has a problem
      - run.gpu is 0, but no GPU driver is present
        where: flag --gpu
        hint: run on the CPU with --gpu=cpu, or install the NVIDIA driver
    ");
    insta::assert_snapshot!(bad_on("--gpu=0", &Machine { cores: 1, gpus: Some(0) }, ""), @r"
    the configuration has a problem
      - run.gpu is 0, but this machine has no GPU
        where: flag --gpu
        hint: run on the CPU with --gpu=cpu, or install the NVIDIA driver
    ");
    insta::assert_snapshot!(bad_on("--gpu=3,4", &GPUS, ""), @r"
    the configuration has a problem
      - run.gpu names GPU 4, but this machine has 4 GPUs
        where: flag --gpu
        hint: ordinals count from 0; --gpu=cpu runs on the CPU
    ");
    insta::assert_snapshot!(bad_on("--gpu=1", &Machine { cores: 1, gpus: Some(1) }, ""), @r"
    the configuration has a problem
      - run.gpu names GPU 1, but this machine has 1 GPU
        where: flag --gpu
        hint: ordinals count from 0; --gpu=cpu runs on the CPU
    ");
    train("--gpu=0,1 --hosts=a:2,b:2 --nproc=4", &CPU, "").expect("each host looks for itself");
}

#[test]
fn gpus_and_processes_that_do_not_match() {
    insta::assert_snapshot!(bad_on("--gpu=0,1 --nproc=3", &GPUS, ""), @r"
    the configuration has a problem
      - run.nproc (3) is not a multiple of the 2 GPUs listed
        where: flag --gpu and flag --nproc
        hint: leave nproc out for one process per GPU, or list as many GPUs as processes
    ");
    insta::assert_snapshot!(bad_on("--gpu=0,1 --nproc=1", &GPUS, ""), @r"
    the configuration has a problem
      - run.nproc (1) is not a multiple of the 2 GPUs listed
        where: flag --gpu and flag --nproc
        hint: leave nproc out for one process per GPU, or list as many GPUs as processes
    ");
    train("--gpu=0 --nproc=2", &GPUS, "").expect("two processes may share a GPU");
}

#[test]
fn sizes_and_splits_that_do_not_match() {
    insta::assert_snapshot!(bad("--dataset=fashion_mnist --image_size=32"), @r"
    the configuration has a problem
      - data.image_size is 32, but the images of fashion_mnist are 28 pixels wide
        where: flag --image_size and flag --dataset
        hint: leave image_size out; images are not resized
    ");
    insta::assert_snapshot!(bad("--set data.validation_per_class=0"), @r"
    the configuration has a problem
      - data.validation_per_class is 0, but protocol honest needs a validation split
        where: flag --set data.validation_per_class
        hint: give at least 1, or leave it out
    ");
    insta::assert_snapshot!(bad("--protocol=paper --set data.validation_per_class=10"), @r"
    the configuration has a problem
      - data.validation_per_class is 10, but protocol paper has no validation set
        where: flag --set data.validation_per_class and flag --protocol
        hint: leave it out, or use --protocol=honest
    ");
    good("--dataset=synthetic --image_size=16");
}

/// A typing error in one key used to be followed by complaints about the default that stood in its
/// place.
#[test]
fn a_wrong_value_is_complained_about_once() {
    assert_eq!(bad("--dataset=fashion --image_size=28").0.len(), 1);
    assert_eq!(bad("--batch_size=x --virtual_ranks=100").0.len(), 1);
    assert_eq!(
        bad_on("--config=run.toml --image_size=28", &CPU, "[data]\nname = \"fashion_mnist").0.len(),
        1
    );
}

#[test]
fn configurations_that_cannot_be_read() {
    insta::assert_snapshot!(bad("--config=demos --config=lab/run.toml"), @r#"
    the configuration has 2 problems
      - cannot read the configuration "demos": there is no such file
        where: flag --config
        hint: did you mean the preset demo?
      - cannot read the configuration "lab/run.toml": there is no such file
        where: flag --config
        hint: give the path of a TOML file, or a preset: `lcsl train --help` names them
    "#);
}

#[test]
fn problems_between_values_name_every_place_that_was_written() {
    let file = "[train]\nbatch_size = 1\n";
    insta::assert_snapshot!(bad_on("--config=run.toml --nproc=2", &CPU, file), @r"
    the configuration has a problem
      - train.batch_size (1) is smaller than the 2 ranks
        where: run.toml, line 2
        hint: batch_size is global; give at least 2, or fewer ranks
    ");
}

#[test]
fn arguments_that_are_not_utf_8() {
    let argument = OsString::from_vec(b"--run_dir=\xff".to_vec());
    let Err(Stop::Problems(problems)) = parse_train(&[argument, "--lr=0".into()], &CPU) else {
        panic!("two problems")
    };
    insta::assert_snapshot!(problems, @r"
    the configuration has 2 problems
      - --run_dir=� is not valid UTF-8
        where: command line
        hint: config.toml is UTF-8, so every name in it has to be
      - train.lr is 0, but must be above 0
        where: flag --lr
    ");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))] // each merges all layers, unoptimised

    /// Whatever is typed, there is an answer, and it is not a panic or an endless loop.
    #[test]
    fn any_command_line_has_an_answer(words in prop::collection::vec(
        prop_oneof![
            Just("--lr".to_owned()),
            Just("--deterministic".to_owned()),
            Just("--".to_owned()),
            Just("-".to_owned()),
            "--?[a-z_-]{0,6}(=[-a-z0-9. =]{0,4})?", "-[a-z0-9]{1,3}", "[ -~]{0,5}",
        ],
        0..6,
    )) {
        let arguments: Vec<OsString> = words.iter().map(Into::into).collect();
        match parse_train(&arguments, &CPU) {
            Ok(_) | Err(Stop::Text(_)) => {}
            Err(Stop::Problems(problems)) => prop_assert!(!problems.0.is_empty()),
        }
    }
}
