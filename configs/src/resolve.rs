//! What `"auto"` means: the dataset, the machine and other settings decide, in an order in which
//! each decision needs only resolved values. `admission.quota_rate` alone stays `"auto"`, because it
//! goes by class counts.

use std::str::FromStr;

use crate::hosts::{Allocation, host_list, host_slots};
use crate::layers::Layers;
use crate::machine::Machine;
use crate::run_config::{
    CriterionName, DatasetName, Devices, Head, Method, MixingName, ModelName, Policy, Precision,
    Protocol,
};
use crate::value::Value;
use crate::zoo::published_network;

/// Resolves every `"auto"` in `layers`, whose keys all have a value.
pub(crate) fn resolve(layers: &mut Layers, machine: &Machine, allocation: Option<&Allocation>) {
    by_dataset(layers);
    by_machine(layers, machine, allocation);
    by_protocol(layers);
    by_method(layers);
    run_dir(layers);
}

/// What a dataset chooses where nothing else does.
pub(crate) struct DatasetDefaults {
    model: ModelName,
    image_size: u64,
    pub(crate) data_aug: &'static str,
    validation_per_class: u64,
}

/// The "imbalance ratio 100" of the papers, for balanced sets that are cut when a run starts.
const IMBALANCE: f64 = 0.01;

pub(crate) fn defaults_of(dataset: DatasetName) -> DatasetDefaults {
    let (model, image_size, data_aug, validation_per_class) = match dataset {
        DatasetName::Cifar10 => (ModelName::Resnet32, 32, "crop_flip", 100),
        DatasetName::Cifar100 => (ModelName::Resnet32, 32, "crop_flip", 20),
        DatasetName::FashionMnist => (ModelName::Resnet20, 28, "crop_flip", 100),
        // The published networks, the papers' image size, and ImageNet-LT's own validation.
        DatasetName::ImagenetLt => (ModelName::Resnext50, 224, "crop_flip", 20),
        // As Liu et al. (CVPR 2019) and those after them, who begin with ImageNet's weights.
        DatasetName::PlacesLt => (ModelName::Resnet152, 224, "crop_flip", 20),
        DatasetName::Inaturalist2018 => (ModelName::Resnet50, 224, "crop_flip", 3),
        DatasetName::Folder => (ModelName::Resnet50, 224, "crop_flip", 10),
        // A mirror image of a drawn pattern may be the pattern of another class.
        DatasetName::Synthetic => (ModelName::Resnet20, 32, "off", 10),
    };
    DatasetDefaults { model, image_size, data_aug, validation_per_class }
}

/// The recipe of the published code's own default, `none`, under the name that it has here: for
/// photographs it changes colours. `ours` is what a dataset has that the published code does not know.
pub(crate) fn published_recipe(dataset: DatasetName, ours: &'static str) -> &'static str {
    if dataset.lies_in_shards() { "none" } else { ours }
}

/// The one size that a dataset's images have; none where they are drawn, or made smaller, to any
/// size.
pub(crate) fn native_size(dataset: DatasetName) -> Option<usize> {
    let has_one = dataset != DatasetName::Synthetic && !dataset.lies_in_shards();
    has_one.then(|| defaults_of(dataset).image_size as usize)
}

fn by_dataset(layers: &mut Layers) {
    let dataset: DatasetName = word(layers, "data.name");
    let defaults = defaults_of(dataset);
    let protocol: Protocol = word(layers, "train.protocol");
    let because = format!("dataset {dataset}");
    resolve_auto(layers, "data.image_size", || Value::Integer(defaults.image_size), &because);
    let (model, data_aug, by) = match protocol {
        Protocol::Honest => (defaults.model, defaults.data_aug, because.clone()),
        Protocol::Paper => (
            published_network(dataset).unwrap_or(defaults.model),
            published_recipe(dataset, defaults.data_aug),
            format!("{because} and protocol paper"),
        ),
    };
    resolve_auto(layers, "model.name", || Value::Text(model.word().into()), &by);
    resolve_auto(layers, "data.data_aug", || Value::Text(data_aug.into()), &by);
    if !dataset.lies_in_shards() && text(layers, "data.data_aug") == "none" {
        layers.rename("data.data_aug", Value::Text("crop_flip".into()));
    }
    let factor = if dataset.lies_in_shards() { 1.0 } else { IMBALANCE };
    resolve_auto(layers, "data.imb_factor", || Value::Number(factor), &because);
    let (per_class, because) = match protocol {
        Protocol::Honest => (defaults.validation_per_class, because),
        Protocol::Paper => (0, "protocol paper".into()),
    };
    resolve_auto(layers, "data.validation_per_class", || Value::Integer(per_class), &because);
}

fn by_machine(layers: &mut Layers, machine: &Machine, allocation: Option<&Allocation>) {
    let tasks = allocation.and_then(|allocation| allocation.tasks.as_ref()?.iter().max().copied());
    let (gpu, because) = match (machine.gpus, tasks) {
        (None, _) => ("cpu".to_owned(), "the absence of a GPU driver"),
        (Some(0), _) => ("cpu".to_owned(), "the absence of a GPU"),
        // A GPU for each task of a host, where it has them.
        (Some(gpus), Some(tasks)) if tasks > 1 && tasks <= gpus => {
            let list: Vec<String> = (0..tasks).map(|ordinal| ordinal.to_string()).collect();
            (list.join(","), "the job's tasks on a host")
        }
        (Some(_), _) => ("0".to_owned(), "the presence of a GPU"),
    };
    resolve_auto(layers, "run.gpu", || Value::Text(gpu), because);
    let devices: Devices =
        text(layers, "run.gpu").parse().expect("a device list has passed its check");
    hosts(layers, &devices, allocation);
    let hosts = host_slots(&text(layers, "run.hosts"), devices.per_host()).unwrap_or_default();
    let (ranks, because) = match &devices {
        _ if !hosts.is_empty() => {
            (hosts.iter().map(|host| host.slots).sum(), "run.hosts".to_owned())
        }
        Devices::Cpu => (1, "run.gpu cpu".to_owned()),
        Devices::Gpus(_) => (devices.per_host(), format!("run.gpu {devices}")),
    };
    resolve_auto(layers, "run.nproc", || Value::Integer(ranks as u64), &because);
    let nproc = integer(layers, "run.nproc");
    resolve_auto(layers, "run.virtual_ranks", || Value::Integer(nproc), "run.nproc");
    let deterministic = layers.get("run.deterministic") == Some(&Value::Switch(true));
    let (threads, because) = if deterministic {
        (1, "run.deterministic")
    } else if devices == Devices::Cpu && nproc > 1 {
        (1, "several cpu ranks")
    } else if let Devices::Gpus(listed) = &devices {
        let here = hosts.iter().map(|host| host.slots).max().unwrap_or(nproc as usize);
        let share = machine.cores / here.max(listed.len());
        (share.clamp(1, 4) as u64, "the cores that each GPU's process has")
    } else {
        (machine.cores.clamp(1, 4096) as u64, "the machine's cores")
    };
    resolve_auto(layers, "run.threads", || Value::Integer(threads), because);
    let alone = text(layers, "run.hosts").is_empty();
    let (limit, because) = if alone { (60, "one host") } else { (300, "run.hosts") };
    resolve_auto(layers, "run.start_limit_seconds", || Value::Integer(limit), because);
    let (decoders, because) = loader_threads(machine.cores as u64, &devices, nproc);
    resolve_auto(layers, "data.loader_threads", || Value::Integer(decoders), because);
}

/// The hosts of the job, where a scheduler has given it several and the run wants more than one process.
fn hosts(layers: &mut Layers, devices: &Devices, allocation: Option<&Allocation>) {
    let nproc = match layers.get("run.nproc") {
        Some(Value::Integer(nproc)) => Some(*nproc as usize),
        _ => None,
    };
    if let Some(allocation) = allocation.filter(|_| nproc != Some(1)) {
        let slots = allocation.slots(nproc, devices.per_host());
        let hosts = || Value::Text(host_list(&slots));
        resolve_auto(layers, "run.hosts", hosts, &allocation.origin);
    }
    resolve_auto(layers, "run.hosts", || Value::Text(String::new()), "the machine at hand");
}

/// The cores that a process has while its GPU computes; half of them where they compute too.
fn loader_threads(cores: u64, devices: &Devices, nproc: u64) -> (u64, &'static str) {
    let (share, because) = match devices {
        Devices::Cpu => (cores / nproc / 2, "half of the machine's cores"),
        Devices::Gpus(listed) => (cores / listed.len() as u64, "the machine's cores and GPUs"),
    };
    (share.clamp(1, 16), because)
}

fn by_protocol(layers: &mut Layers) {
    let protocol: Protocol = word(layers, "train.protocol");
    let (policy, epochs) = match protocol {
        Protocol::Honest => (Policy::Quota, 200),
        Protocol::Paper => (Policy::Reference, 300),
    };
    let because = format!("protocol {protocol}");
    resolve_auto(layers, "train.epochs", || Value::Integer(epochs), &because);
    resolve_auto(layers, "admission.policy", || Value::Text(policy.word().into()), &because);
}

fn by_method(layers: &mut Layers) {
    let method: Method = word(layers, "train.method");
    let because = format!("method {method}");
    let (criterion, mixing) = method.implies();
    let as_text = |word: &str| Value::Text(word.into());
    resolve_auto(layers, "train.criterion", || as_text(criterion.word()), &because);
    resolve_auto(layers, "train.mixing", || as_text(mixing.word()), &because);
    let precision = Precision::Fp32;
    resolve_auto(layers, "train.precision", || as_text(precision.word()), "no measurement yet");
    let criterion: CriterionName = word(layers, "train.criterion");
    let head = if criterion.needs_cosines() { Head::Cosine } else { Head::Linear };
    let because = format!("criterion {criterion}");
    resolve_auto(layers, "model.head", || as_text(head.word()), &because);
}

fn run_dir(layers: &mut Layers) {
    let dataset: DatasetName = word(layers, "data.name");
    let method: Method = word(layers, "train.method");
    // What the method's name does not say.
    let criterion: CriterionName = word(layers, "train.criterion");
    let mixing: MixingName = word(layers, "train.mixing");
    let implied = method.implies();
    let mut chosen = String::new();
    for (is_implied, word) in
        [(criterion == implied.0, criterion.word()), (mixing == implied.1, mixing.word())]
    {
        if !is_implied {
            chosen.push('-');
            chosen.push_str(word);
        }
    }
    let path = format!(
        "runs/{dataset}-{method}{chosen}-{}-seed{}",
        text(layers, "model.name"),
        integer(layers, "run.seed")
    );
    resolve_auto(layers, "run.run_dir", || Value::Text(path), "dataset, method, model and seed");
}

fn resolve_auto(
    layers: &mut Layers,
    path: &'static str,
    value: impl FnOnce() -> Value,
    because: &str,
) {
    if layers.is_auto(path) {
        layers.resolve(path, value(), because.into());
    }
}

fn word<Choice: FromStr<Err = String>>(layers: &Layers, path: &str) -> Choice {
    text(layers, path).parse().expect("a choice has passed its check")
}

fn text(layers: &Layers, path: &str) -> String {
    match layers.get(path) {
        Some(Value::Text(text)) => text.clone(),
        other => unreachable!("{path} has text, but is {other:?}"),
    }
}

fn integer(layers: &Layers, path: &str) -> u64 {
    match layers.get(path) {
        Some(Value::Integer(number)) => *number,
        other => unreachable!("{path} has an integer, but is {other:?}"),
    }
}
