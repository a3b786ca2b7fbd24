//! Goldens that were tampered with: whatever is changed, the tests must notice.

use libtest_mimic::{Failed, Trial};
use tch::Tensor;

use crate::case::{Case, Expected, Precision};
use crate::drive;
use crate::reduction::Reduction;

/// A change to one stored tensor: its name and how much is added to its first element.
const TENSORS: [(&str, f64); 9] = [
    ("step1.grad.layer1.0.conv1.weight", 1e-8),
    ("step1.momentum.fc.weight", 1e-8),
    ("step1.student.bn1.weight", 1e-8),
    ("step1.student.layer2.0.bn2.running_var", 1e-8),
    ("step1.student.bn1.num_batches_tracked", 1.0),
    ("step1.micro0.rank0.teacher_logits", 1e-8),
    ("step1.micro0.rank0.student_logits", 1e-8),
    ("step1.micro0.rank0.mask", 1.0),
    ("teacher.init.fc.weight", 1e-8),
];

type Tamper = fn(&mut Expected);

const SHEET: [(&str, Tamper); 6] = [
    ("loss", |expected| expected.loss += 1e-9),
    ("loss_self", |expected| expected.loss_self += 1e-9),
    ("admitted_keys", |expected| {
        expected.admitted_keys.push(1_000_000);
    }),
    ("admitted_epoch", |expected| {
        expected.admitted_epoch[19] += 1;
    }),
    ("admitted_total", |expected| {
        expected.admitted_total[19] += 1;
    }),
    ("tokens", |expected| expected.tokens[19] += 1),
];

pub(crate) fn trials() -> Vec<Trial> {
    Reduction::ALL.into_iter().flat_map(trials_of).collect()
}

fn trials_of(reduction: Reduction) -> Vec<Trial> {
    let label = |name: &str| format!("golden_damage_to_{name}_is_noticed_{reduction}");
    let mut trials = Vec::new();
    for (name, change) in TENSORS {
        trials.push(Trial::test(label(name), move || {
            noticed(reduction, move |case| {
                let tensor = case.tensor(name)?;
                let mut first = tensor.reshape([-1]).narrow(0, 0, 1);
                let _ = first.g_add_(&Tensor::from(change).to_kind(tensor.kind()));
                Ok(())
            })
        }));
    }
    for (name, tamper) in SHEET {
        trials.push(Trial::test(label(name), move || {
            noticed(reduction, move |case| {
                tamper(&mut case.steps[1]);
                Ok(())
            })
        }));
    }
    trials
}

fn noticed<F>(reduction: Reduction, damage: F) -> Result<(), Failed>
where
    F: Fn(&mut Case) -> Result<(), String> + Clone + Send + 'static,
{
    let make = move || {
        let mut case = Case::load("four_ranks_quota", Precision::Double)?;
        damage(&mut case).map(|()| case)
    };
    match drive::on_threads(2, reduction, make) {
        Err(complaint) if complaint.contains(" is off by ") || complaint.contains(": found ") => {
            Ok(())
        }
        Err(complaint) => Err(format!("something else went wrong: {complaint}").into()),
        Ok(()) => Err("nobody noticed".into()),
    }
}
