//! `config.toml`: what is written is what is read, and a damaged one is refused.

use std::path::Path;

use lcsl_config::{Origins, RunConfig, differences, from_toml, load, to_toml};
use proptest::prelude::*;

use crate::{GPUS, good, train};

fn configs() -> impl Strategy<Value = RunConfig> {
    let words = (0..4usize, 0..3usize, 0..3usize, any::<bool>());
    let numbers = (1e-9..1e9f64, 0.0..1.0f64, 0.0..=1.0f32, 1..=1_000_000u64);
    let counts = (0..=i64::MAX as u64, 0..5u64, any::<bool>(), "[a-zA-Z0-9 _./#\"\\\\\n'é-]{1,12}");
    (words, numbers, counts).prop_map(|(words, numbers, counts)| {
        let mut config = good("--protocol=paper").config;
        config.data.name = ["cifar10", "cifar100", "synthetic", "cifar10"][words.0]
            .parse()
            .expect("a word of the list");
        config.train.method = ["lcsl", "mixup", "ce"][words.1].parse().expect("a word of the list");
        config.train.mixing =
            ["cutmix", "mixup", "none"][words.1].parse().expect("a word of the list");
        config.admission.policy =
            ["reference", "quota", "rate"][words.2].parse().expect("a word of the list");
        config.run.gpu = if words.3 {
            "cpu".parse().expect("a word of the list")
        } else {
            "3".parse().expect("a word of the list")
        };
        (config.train.lr, config.train.momentum, config.admission.conf) =
            (numbers.0, numbers.1, numbers.2);
        config.admission.quota_rate = lcsl_config::QuotaRate::Millionths(numbers.3);
        config.admission.share = lcsl_config::Millionths(numbers.3);
        config.run.seed = counts.0;
        config.train.max_steps = (counts.1 > 0).then_some(counts.1);
        config.evaluation.tta = counts.2;
        config.run.interface.clone_from(&counts.3);
        ["", "a:4,b:4", "c"][words.1].clone_into(&mut config.run.hosts);
        config.run.resume = counts.3.clone().into();
        config.run.run_dir = counts.3.into();
        config
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))] // each writes and reads every key, unoptimised

    #[test]
    fn a_written_configuration_reads_back_the_same(config in configs()) {
        let text = to_toml(&config, &Origins::default());
        let read = from_toml(&text, "config.toml").map_err(|problems| problems.to_string());
        prop_assert_eq!(read, Ok(config));
    }

    #[test]
    fn equal_configurations_have_no_differences(left in configs(), right in configs()) {
        prop_assert_eq!(differences(&left, &right).is_empty(), left == right);
    }
}

#[test]
fn every_good_command_line_reads_back_the_same() {
    for arguments in [
        "",
        "--config=demo",
        "--config=smoke",
        "--gpu=0,1,2,3 --resume=auto --max_steps=5 --conf=0.1",
    ] {
        let command = train(arguments, &GPUS, "").unwrap();
        let text = to_toml(&command.config, &command.origins);
        assert_eq!(from_toml(&text, "config.toml").unwrap(), command.config, "{text}");
    }
}

#[test]
fn differences_name_key_and_both_values() {
    let differences =
        differences(&good("").config, &good("--lr=0.1 --max_steps=5 --dataset=cifar10").config);
    let lines: Vec<String> = differences
        .iter()
        .map(|one| format!("{}: {} -> {}", one.path, one.before, one.after))
        .collect();
    insta::assert_snapshot!(lines.join("\n"), @r#"
    run.run_dir: "runs/cifar100-lcsl-resnet32-seed0" -> "runs/cifar10-lcsl-resnet32-seed0"
    data.name: "cifar100" -> "cifar10"
    data.validation_per_class: 20 -> 100
    train.lr: 0.01 -> 0.1
    train.max_steps: 0 -> 5
    "#);
}

#[test]
fn a_damaged_configuration_is_refused_with_all_its_faults() {
    let command = good("");
    let text = to_toml(&command.config, &command.origins)
        .replace("nproc = 1 ", "nproc = \"auto\" ")
        .replace("lr = 0.01 ", "")
        .replace("tta = true", "tta = 1\nttta = true")
        .replace("momentum = 0.9", "momentum = 9");
    insta::assert_snapshot!(from_toml(&text, "runs/a/config.toml").unwrap_err(), @r"
    the configuration has 5 problems
      - train.momentum is 9, but must be in [0, 1)
        where: runs/a/config.toml, line 66
      - evaluation.tta is 1, but must be true or false
        where: runs/a/config.toml, line 129
      - unknown key evaluation.ttta
        where: runs/a/config.toml, line 130
        hint: did you mean evaluation.tta?
      - run.nproc is auto, but a run's own configuration has every auto resolved
        where: runs/a/config.toml, line 6
        hint: let `lcsl train` write this file, and change settings on its command line
      - train.lr is missing
        where: runs/a/config.toml
        hint: let `lcsl train` write this file, and change settings on its command line
    ");
}

/// Story: each new key made the runs of older versions such that nobody could go on with them.
#[test]
fn keys_that_came_later_have_their_default_where_a_run_lacks_them() {
    let command = good("--lr=0.125");
    let text = to_toml(&command.config, &command.origins);
    let older: Vec<&str> = text
        .lines()
        .filter(|line| !["schedule = ", "min_ranks = "].iter().any(|key| line.starts_with(key)))
        .collect();
    assert_eq!(older.len() + 2, text.lines().count());
    assert_eq!(from_toml(&older.join("\n"), "config.toml").unwrap(), command.config);
    let written = text.replace("schedule = \"cosine\"", "schedule = \"sine\"");
    let refused = from_toml(&written, "config.toml").unwrap_err().to_string();
    assert!(refused.contains("train.schedule is \"sine\""), "{refused}");
}

#[test]
fn a_configuration_that_contradicts_itself_is_refused() {
    let command = good("");
    let text = to_toml(&command.config, &command.origins)
        .replace("virtual_ranks = 1 ", "virtual_ranks = 65 ");
    insta::assert_snapshot!(from_toml(&text, "config.toml").unwrap_err(), @r"
    the configuration has a problem
      - train.batch_size (64) is smaller than the 65 ranks
        where: config.toml, line 63 and config.toml, line 7
        hint: batch_size is global; give at least 65, or fewer ranks
    ");
}

#[test]
fn a_configuration_that_is_not_there_says_so() {
    insta::assert_snapshot!(load(Path::new("runs/nowhere/config.toml")).unwrap_err(), @r"
    the configuration has a problem
      - cannot read the configuration: No such file or directory (os error 2)
        where: runs/nowhere/config.toml
        hint: give the directory of a run that `lcsl train` has started
    ");
}

#[test]
fn a_configuration_is_loaded_from_its_file() {
    let command = good("--lr=0.125");
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("config.toml");
    std::fs::write(&path, to_toml(&command.config, &command.origins)).unwrap();
    assert_eq!(load(&path).unwrap(), command.config);
}
