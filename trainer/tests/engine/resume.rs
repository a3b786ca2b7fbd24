//! A run that goes on from a checkpoint is the run that was never cut.

use std::fs;
use std::path::Path;
use std::thread;

use lcsl_collective::control::Control;
use lcsl_collective::solo::Solo;
use lcsl_collective::{Communicator, threads};
use lcsl_config::{Machine, RunConfig, parse_train};
use lcsl_run_dir::RunDir;
use lcsl_run_dir::names;
use lcsl_trainer::engine::run::build::Run;
use lcsl_trainer::engine::run::train::Ending;
use serde_json::Value;
use tch::Device;

/// Three epochs of 14 steps, the last of which is short, on two logical ranks. An untrained teacher gives every image
/// the same label; with this seed often that of a minority class, so that there are admissions from the first step on.
pub(super) fn config(every_steps: u64, more: &str) -> RunConfig {
    let flags = format!(
        "--dataset=synthetic --set=data.synthetic_classes=5 --set=data.synthetic_largest=42 --imb_factor=0.2 \
                 --image_size=16 --model=resnet20 --protocol=paper --tau=0.02 --seed=11 --batch_size=8 --epochs=3 \
                 --gpu=cpu --deterministic --virtual_ranks=2 --set=checkpoint.every_steps={every_steps} \
                 --set=checkpoint.keep_last=100 --set=run.compare_every_steps=0 {more}"
    );
    let flags = flags.split_whitespace().map(Into::into).collect::<Vec<_>>();
    parse_train(&flags, &Machine { cores: 1, gpus: None }).unwrap().config
}

fn train(run_dir: &RunDir, world: Box<dyn Communicator>, every_steps: u64, more: &str) {
    let config = config(every_steps, more);
    let mut run = Run::open(&config, run_dir, world, Control::absent(), Device::Cpu).unwrap();
    assert_eq!(run.train().unwrap(), Ending::Finished);
}

fn train_in_a_world_of_two(run_dir: &RunDir, more: &str) {
    thread::scope(|scope| {
        for rank in threads::world(2) {
            scope.spawn(|| train(run_dir, Box::new(rank), 0, more));
        }
    });
}

/// What lies in a run directory of which no later checkpoint than that of `step` was written.
fn cut_off_after(step: u64, whole: &RunDir, to: &RunDir) {
    let name = names::checkpoint(step);
    let (from, place) = (whole.checkpoints().join(&name), to.checkpoints().join(&name));
    fs::create_dir_all(&place).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), place.join(entry.file_name())).unwrap();
    }
    fs::copy(whole.metrics(), to.metrics()).unwrap();
}

/// `result.json` and the lines of epochs and evaluations, without what clocks say and how many ranks there were.
pub(super) fn story(run_dir: &RunDir) -> (Value, Vec<Value>) {
    let without = |mut value: Value, differing: &[&str]| {
        for key in differing {
            value.as_object_mut().unwrap().remove(*key);
        }
        value
    };
    let read = |path: &Path| fs::read_to_string(path).unwrap();
    let result = serde_json::from_str(&read(&run_dir.result())).unwrap();
    let lines = read(&run_dir.metrics());
    let lines = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let lines = lines.filter(|line| line["event"] == "epoch" || line["event"] == "evaluation");
    let lines = lines.map(|line| without(line, &["seconds", "evaluation_seconds"])).collect();
    (without(result, &["world_size", "images_per_second", "train_seconds", "peak_memory"]), lines)
}

#[test]
fn it_goes_on_to_the_same_end_from_every_step_and_in_another_world() {
    let folder = tempfile::tempdir().unwrap();
    let run_dir = |name: &str| RunDir::at(folder.path().join(name));
    let whole = run_dir("whole");
    fs::create_dir_all(whole.root()).unwrap();
    train(&whole, Box::new(Solo), 1, "");
    let expected = story(&whole);
    let steps = expected.0["steps"].as_u64().unwrap();
    assert!(steps >= 40, "{steps} steps");
    let admitted: Vec<u64> = expected
        .1
        .iter()
        .filter(|line| line["event"] == "epoch")
        .map(|line| {
            line["admitted"].as_array().unwrap().iter().map(|count| count.as_u64().unwrap()).sum()
        })
        .collect();
    assert!(admitted.len() == 3 && admitted.iter().all(|count| *count > 0), "{admitted:?}");

    for step in 1..steps {
        let name = |world: &str| run_dir(&format!("{world}-{step}"));
        let alone = name("alone");
        cut_off_after(step, &whole, &alone);
        train(&alone, Box::new(Solo), 0, "");
        assert_eq!(story(&alone), expected, "from step {step}");
        if step % 8 == 5 {
            let in_two = name("two");
            cut_off_after(step, &whole, &in_two);
            train_in_a_world_of_two(&in_two, "");
            assert_eq!(story(&in_two), expected, "from step {step}, in a world of two");
        }
    }
}

/// What the other optimiser remembers, its count of steps among it, also over the beginning of a stage that forgets
/// all of it; under other arithmetic, and with gradients that are cut short.
#[test]
fn it_goes_on_with_every_optimiser_and_in_every_stage() {
    let more = "--optimizer=adamw --lr=0.002 --weight_decay=0.05 --clip_grad_norm=0.5 --schedule=step \
                --set=train.decay_epochs=1 --precision=bf16 --epochs=2 --refit=crt --set=refit.epochs=1";
    let folder = tempfile::tempdir().unwrap();
    let run_dir = |name: &str| RunDir::at(folder.path().join(name));
    let whole = run_dir("whole");
    fs::create_dir_all(whole.root()).unwrap();
    train(&whole, Box::new(Solo), 1, more);
    let expected = story(&whole);
    for step in [1, 14, 20, 28, 33] {
        let cut = run_dir(&format!("cut-{step}"));
        cut_off_after(step, &whole, &cut);
        train_in_a_world_of_two(&cut, more);
        assert_eq!(story(&cut), expected, "from step {step}");
    }
}

/// A teacher that is neither the best model nor the student is part of a checkpoint; so is what is said of its labels.
#[test]
fn it_goes_on_with_the_latest_teacher() {
    let more = "--teacher=latest --set=admission.agreement=true --set=admission.quantile=0.3 \
                --set=admission.alignment=0.5 \
                --conf=0.1 --tau=1 --set=admission.after_epochs=1";
    let folder = tempfile::tempdir().unwrap();
    let run_dir = |name: &str| RunDir::at(folder.path().join(name));
    let whole = run_dir("whole");
    fs::create_dir_all(whole.root()).unwrap();
    train(&whole, Box::new(Solo), 1, more);
    let expected = story(&whole);
    let epochs: Vec<&Value> = expected.1.iter().filter(|line| line["event"] == "epoch").collect();
    assert!(epochs[0]["labels"].is_null(), "nobody labels yet: {}", epochs[0]);
    let mut admitted_in_all = 0;
    for line in &epochs[1..] {
        let (labels, sum) = (&line["labels"], |list: &Value| -> u64 {
            list.as_array().unwrap().iter().map(|count| count.as_u64().unwrap()).sum()
        });
        assert_eq!(labels["teacher_age"], 1, "each is made after the epoch before: {line}");
        let (admitted, passing) = (sum(&line["admitted"]), sum(&labels["passing"]));
        assert!(admitted <= passing, "{line}");
        admitted_in_all += admitted;
        assert_eq!(labels["agreeing"], admitted, "nobody else is admitted: {line}");
        let beside_student = labels["student_agreement"].as_f64().unwrap();
        assert!(0.0 < beside_student && beside_student < 1.0, "{line}");
    }
    assert!(admitted_in_all > 0, "{epochs:?}");
    for step in [13, 14, 20, 28, 35] {
        let cut = run_dir(&format!("cut-{step}"));
        cut_off_after(step, &whole, &cut);
        train_in_a_world_of_two(&cut, more);
        assert_eq!(story(&cut), expected, "from step {step}");
    }
}
