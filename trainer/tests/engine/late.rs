//! Where a GPU computes, what a step came to is read when the next one is under way, and the device decides by itself
//! whether a step counts. Nothing of that may change a run: here on the CPU, which can be told to do the same.

use std::fs;
use std::thread;

use lcsl_collective::control::Control;
use lcsl_collective::solo::Solo;
use lcsl_collective::{Communicator, threads};
use lcsl_run_dir::RunDir;
use lcsl_trainer::engine::run::build::Run;
use lcsl_trainer::engine::run::error::TrainError;
use lcsl_trainer::engine::run::train::Ending;
use tch::Device;

use super::resume::{config, story};

fn train(
    run_dir: &RunDir,
    world: Box<dyn Communicator>,
    (every_steps, more): (u64, &str),
    late: bool,
    stops: bool,
) -> Result<Ending, TrainError> {
    fs::create_dir_all(run_dir.root()).unwrap();
    let config = config(every_steps, more);
    let control = Control::absent();
    let mut run = Run::open(&config, run_dir, world, control.clone(), Device::Cpu).unwrap();
    run.context.reads_late = late;
    if stops {
        control.request_stop();
    }
    run.train()
}

/// Names of the checkpoints, and the tensors of each, which are as the bytes of its file.
fn checkpoints(run_dir: &RunDir) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(run_dir.checkpoints()).unwrap().map(|entry| entry.unwrap());
    let mut all: Vec<_> = entries
        .map(|entry| {
            let tensors = fs::read(entry.path().join("model.safetensors")).unwrap();
            (entry.file_name().to_string_lossy().into_owned(), tensors)
        })
        .collect();
    all.sort();
    all
}

#[test]
fn a_run_is_the_same_whenever_the_host_reads_its_steps() {
    let cases = [
        (1, "--epochs=1 --set=run.compare_every_steps=3"),
        (
            5,
            "--epochs=2 --optimizer=adamw --lr=0.002 --ema_decay=0.9 --sam_rho=0.05 --clip_grad_norm=0.5",
        ),
        (
            4,
            "--epochs=1 --set=train.accumulate_steps=2 --teacher=latest --refit=lws --set=refit.epochs=1",
        ),
        (0, "--method=ce --sampler=class_balanced --max_steps=17"),
    ];
    for (case, more) in cases.into_iter().enumerate() {
        let folder = tempfile::tempdir().unwrap();
        let run_dir = |name: &str| RunDir::at(folder.path().join(name));
        let [prompt, late, in_two] = ["prompt", "late", "two"].map(run_dir);
        train(&prompt, Box::new(Solo), more, false, false).unwrap();
        train(&late, Box::new(Solo), more, true, false).unwrap();
        thread::scope(|scope| {
            for rank in threads::world(2) {
                scope.spawn(|| train(&in_two, Box::new(rank), more, true, false).unwrap());
            }
        });
        let (expected, saved) = (story(&prompt), checkpoints(&prompt));
        assert!(!saved.is_empty(), "of case {case}");
        for other in [&late, &in_two] {
            assert_eq!(story(other), expected, "case {case}");
            assert!(checkpoints(other) == saved, "case {case}: other checkpoints");
        }
    }
}

/// The step after it was under way already, and nothing of either is kept.
#[test]
fn a_step_that_is_not_finite_is_reported_with_its_own_number() {
    let said = |late: bool| {
        let folder = tempfile::tempdir().unwrap();
        let run_dir = RunDir::at(folder.path());
        let more = "--lr=1e18 --set=train.warmup_epochs=0";
        let error = train(&run_dir, Box::new(Solo), (0, more), late, false).unwrap_err();
        assert!(!run_dir.checkpoints().exists(), "{error}");
        error.to_string()
    };
    let prompt = said(false);
    assert!(prompt.contains("finite"), "{prompt}");
    assert_eq!(said(true), prompt);
}

/// The wish is read one step later, and the checkpoint is of the last step that was begun.
#[test]
fn a_stop_that_is_asked_for_ends_behind_a_whole_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let run_dir = |name: &str| RunDir::at(folder.path().join(name));
    let (whole, cut) = (run_dir("whole"), run_dir("cut"));
    train(&whole, Box::new(Solo), (2, ""), false, false).unwrap();
    assert_eq!(train(&cut, Box::new(Solo), (0, ""), true, true).unwrap(), Ending::Stopped);
    let saved = checkpoints(&cut);
    assert_eq!(saved.len(), 1);
    assert!(checkpoints(&whole).contains(&saved[0]), "{} is another", saved[0].0);
    assert_eq!(train(&cut, Box::new(Solo), (0, ""), true, false).unwrap(), Ending::Finished);
    assert_eq!(story(&cut), story(&whole));
}
