//! Runs that begin with the weights of another one.

use std::fs;
use std::path::Path;

use lcsl_collective::control::Control;
use lcsl_collective::solo::Solo;
use lcsl_config::{Machine, RunConfig, parse_train};
use lcsl_run_dir::RunDir;
use lcsl_trainer::engine::evaluation::export::{ExportForm, ExportFormat, export};
use lcsl_trainer::engine::run::build::Run;
use tch::{Device, Tensor};

fn config(classes: u32, more: &[String]) -> RunConfig {
    let flags = format!(
        "--dataset=synthetic --set=data.synthetic_classes={classes} --set=data.synthetic_largest=24 --imb_factor=0.5 \
         --image_size=16 --model=resnet20 --method=ce --batch_size=8 --epochs=1 --warmup_epochs=0 --gpu=cpu"
    );
    let flags: Vec<_> =
        flags.split_whitespace().map(Into::into).chain(more.iter().map(Into::into)).collect();
    parse_train(&flags, &Machine { cores: 1, gpus: None }).unwrap().config
}

/// Trains into a folder below `place`; the parameters before and after.
fn train(place: &Path, config: &RunConfig) -> [Tensor; 2] {
    let run_dir = RunDir::at(place);
    fs::create_dir_all(run_dir.root()).unwrap();
    let mut run =
        Run::open(config, &run_dir, Box::new(Solo), Control::absent(), Device::Cpu).unwrap();
    let before = run.context.student.parameters.buffer.copy();
    run.train().unwrap();
    [before, run.context.student.parameters.buffer.copy()]
}

#[test]
fn a_linear_probe_moves_the_classifier_alone_and_begins_with_the_weights_of_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let first = config(3, &[]);
    let [_, trained] = train(&path("first"), &first);
    let weights = path("first.safetensors");
    export(
        &RunDir::at(path("first")),
        &first,
        &weights,
        (ExportForm::Selected, ExportFormat::Safetensors),
    )
    .unwrap();
    let init = format!("--init={}", weights.display());

    // Fine-tuning, for other classes: 64 features of each, and a bias.
    let fine = config(5, std::slice::from_ref(&init));
    let [before, after] = train(&path("fine"), &fine);
    let backbone = trained.size()[0] - 3 * 65;
    let of = |all: &Tensor| all.narrow(0, 0, backbone);
    assert_eq!(of(&before), of(&trained), "the last model is the best one of a single epoch");
    assert_ne!(of(&after), of(&trained));

    let probe = config(5, &[init, "--trainable=classifier".to_owned(), "--epochs=2".to_owned()]);
    let [before, after] = train(&path("probe"), &probe);
    assert_eq!(of(&after), of(&trained));
    assert_ne!(after.narrow(0, backbone, 5 * 65), before.narrow(0, backbone, 5 * 65));
}
