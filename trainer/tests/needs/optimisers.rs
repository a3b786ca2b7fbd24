//! Optimisers beside those of PyTorch.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use lcsl_config::{Machine, Train, parse_train};
use lcsl_trainer::engine::network::flat::{Flat, Slot};
use lcsl_trainer::engine::network::{Architecture, Network, Shortcut};
use lcsl_trainer::engine::optim::Optimiser;
use lcsl_trainer::engine::optim::average::WeightAverage;
use lcsl_trainer::engine::optim::clip::clip_grad_norm;
use lcsl_trainer::engine::optim::sam;
use tch::{Device, Kind, Tensor};

use crate::lcsl::stderr;

/// The steps that `tests/pytorch/optimisers.py` makes, and the parameters after each tenth.
fn steps(train: &Train) -> Vec<Vec<f64>> {
    let slot = Slot { name: "w".to_owned(), shape: vec![31] };
    let mut parameters = Flat::zeros(vec![slot], Kind::Double, Device::Cpu, false);
    parameters.copy_from(&Tensor::linspace(-1, 1, 31, (Kind::Double, Device::Cpu)));
    let mut optimiser = Optimiser::of(train, &parameters.buffer, Vec::new());
    let mut found = Vec::new();
    for step in 0..100 {
        let mut gradient = (&parameters.buffer * 3.0 + f64::from(step)).sin();
        if train.sam_rho > 0.0 {
            let before = sam::climb(&mut parameters, &(0..1), &gradient, train.sam_rho);
            gradient = (&parameters.buffer * 3.0 + f64::from(step)).sin();
            sam::descend(&mut parameters, &(0..1), &before);
        }
        clip_grad_norm(&mut gradient, train.clip_grad_norm);
        optimiser.step(&mut parameters, &(0..1), &gradient, 0.05 / f64::from(1 + step % 7));
        if step % 10 == 9 {
            found.push(Vec::<f64>::try_from(&parameters.buffer).unwrap());
        }
    }
    found
}

/// The moving average of the weights that the script gives a model, after each tenth step.
fn average() -> Vec<Vec<f64>> {
    let architecture = Architecture::cifar(1, 4, Shortcut::Pad, 2);
    let mut student = Network::zeros(&architecture, Kind::Double, Device::Cpu, true);
    let mut average = WeightAverage::of(&student, 0.9);
    let places =
        Tensor::arange(student.parameters.buffer.numel() as i64, (Kind::Double, Device::Cpu));
    let mut found = Vec::new();
    for step in 0..100 {
        student.parameters.copy_from(&(&places * 0.01 + f64::from(step)).sin());
        average.update(&student);
        if step % 10 == 9 {
            let averaged = average.network().parameters.buffer.narrow(0, 0, 500);
            found.push(Vec::<f64>::try_from(averaged).unwrap());
        }
    }
    found
}

/// Every optimiser makes the steps of its namesake, to the last digits of float64.
pub(crate) fn make_the_steps_of_pytorch(python: &Path) {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/pytorch/optimisers.py");
    let output = Command::new(python).arg(script).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let theirs: BTreeMap<String, Vec<Vec<f64>>> = serde_json::from_slice(&output.stdout).unwrap();
    let flags = [
        ("sgd", &[][..]),
        ("nesterov", &["--nesterov"]),
        (
            "adamw",
            &[
                "--optimizer=adamw",
                "--set=train.adam_beta1=0.8",
                "--set=train.adam_beta2=0.99",
                "--set=train.adam_epsilon=1e-7",
                "--weight_decay=0.05",
            ],
        ),
        ("clipped", &["--clip_grad_norm=0.7"]),
        ("sam", &["--sam_rho=0.3"]),
    ];
    let off = |ours: &[Vec<f64>], name: &str| {
        let pairs = ours.iter().flatten().zip(theirs[name].iter().flatten());
        pairs.map(|(ours, theirs)| (ours - theirs).abs()).fold(0.0, f64::max)
    };
    let average = average();
    assert!(average.len() == 10 && off(&average, "average") < 1e-12);
    for (name, flags) in flags {
        let flags: Vec<_> = flags.iter().map(Into::into).collect();
        let config = parse_train(&flags, &Machine { cores: 1, gpus: None }).unwrap().config;
        let ours = steps(&config.train);
        let off = off(&ours, name);
        assert!(ours.len() == 10 && off < 1e-12, "{name}: {off}");
    }
}
