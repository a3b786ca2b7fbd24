//! What must hold between keys. What holds for one key alone is in the table of keys.

mod network;
mod unlabelled;

use std::collections::BTreeSet;

use crate::hosts::{host_list, host_slots};
use crate::machine::Machine;
use crate::origin::Origins;
use crate::problem::Problem;
use crate::resolve::native_size;
use crate::run_config::{
    DatasetName, Devices, Head, ImbalanceKind, Method, MixingName, Optimizer, Protocol, Resume,
    RunConfig,
};

/// One rule: the keys that it speaks about, and what it says when it is broken.
struct Rule {
    keys: &'static [&'static str],
    broken: fn(&RunConfig) -> Option<Breach>,
}

/// What is wrong, and what to do.
struct Breach {
    what: String,
    hint: String,
}

impl Breach {
    fn new(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { what: what.into(), hint: hint.into() }
    }
}

const RULES: &[Rule] = &[
    Rule { keys: &["train.batch_size", "run.virtual_ranks"], broken: batch_smaller_than_ranks },
    Rule {
        keys: &["train.batch_size", "train.accumulate_steps", "run.virtual_ranks"],
        broken: batch_smaller_than_its_pieces,
    },
    Rule { keys: &["run.nproc", "run.virtual_ranks"], broken: ranks_not_divided },
    Rule { keys: &["run.deterministic", "run.nproc"], broken: processes_not_a_power_of_two },
    Rule { keys: &["run.deterministic", "run.virtual_ranks"], broken: ranks_not_a_power_of_two },
    Rule { keys: &["run.gpu", "run.nproc"], broken: processes_and_gpus },
    Rule { keys: &["run.hosts", "run.gpu"], broken: unusable_hosts },
    Rule { keys: &["run.nproc", "run.hosts"], broken: more_ranks_than_hosts_take },
    Rule { keys: &["run.min_ranks", "run.nproc"], broken: more_least_than_all_ranks },
    Rule {
        keys: &["train.sync_bn", "run.virtual_ranks", "run.nproc"],
        broken: shared_statistics_and_ranks,
    },
    Rule { keys: &["train.sync_bn", "run.deterministic"], broken: shared_statistics_in_order },
    Rule { keys: &["train.nesterov", "train.momentum"], broken: nesterov_without_momentum },
    Rule { keys: &["data.image_size", "data.name"], broken: foreign_image_size },
    Rule { keys: &["data.image_size", "model.name"], broken: network::image_too_small },
    Rule { keys: &["data.image_size", "model.name"], broken: network::image_of_broken_patches },
    Rule { keys: &["data.data_aug", "data.name"], broken: foreign_recipe },
    Rule {
        keys: &[
            "data.imb_factor",
            "data.imb_type",
            "data.largest",
            "data.name",
            "data.synthetic_classes",
            "data.synthetic_largest",
        ],
        broken: classes_without_an_image,
    },
    Rule {
        keys: &["data.validation_per_class", "train.protocol"],
        broken: validation_and_protocol,
    },
    Rule { keys: &["train.method", "train.criterion"], broken: two_criteria },
    Rule { keys: &["train.method", "train.mixing"], broken: mixup_without_mixup },
    Rule { keys: &["train.criterion", "model.head"], broken: margins_without_cosines },
    Rule { keys: &["data.unlabelled", "train.method"], broken: unlabelled::without_a_teacher },
    Rule { keys: &["data.unlabelled", "data.unlabelled_aug"], broken: unlabelled::foreign_recipe },
    Rule {
        keys: &["admission.mixed", "data.unlabelled", "train.method"],
        broken: unlabelled::no_candidates,
    },
    Rule { keys: &["admission.teacher", "train.ema_decay"], broken: unlabelled::no_average },
    Rule {
        keys: &["admission.after_epochs", "train.epochs", "train.method"],
        broken: unlabelled::labelled_after_the_end,
    },
    Rule {
        keys: &["refit.method", "model.head", "train.optimizer"],
        broken: network::nothing_to_scale,
    },
    Rule {
        keys: &["evaluation.adjustment_sweep", "model.head"],
        broken: network::nothing_to_adjust,
    },
    Rule { keys: &["train.layer_decay", "model.name"], broken: network::layers_of_another_family },
    Rule { keys: &["train.epochs", "model.init"], broken: network::no_epochs_and_no_weights },
    Rule { keys: &["evaluation.many_above", "evaluation.few_below"], broken: groups_that_overlap },
    Rule { keys: &["train.start_epoch", "run.resume"], broken: start_without_resume },
    Rule { keys: &["train.start_epoch", "train.epochs"], broken: start_after_the_end },
];

/// Every rule that `config` breaks, except those about a key in `bad`, whose value is not what was
/// written.
pub(crate) fn between_keys(
    config: &RunConfig,
    origins: &Origins,
    bad: &BTreeSet<&str>,
) -> Vec<Problem> {
    let untouched = |rule: &&Rule| !rule.keys.iter().any(|key| bad.contains(key));
    let check = |rule: &Rule| {
        let breach = (rule.broken)(config)?;
        Some(Problem::new(breach.what, origins.places(rule.keys)).hint(breach.hint))
    };
    RULES.iter().filter(untouched).filter_map(check).collect()
}

/// Whether `machine` has the GPUs that `config` lists. With `run.hosts` the ranks run elsewhere, so
/// each host has to look for itself.
pub(crate) fn devices(config: &RunConfig, origins: &Origins, machine: &Machine) -> Option<Problem> {
    let Devices::Gpus(ordinals) = &config.run.gpu else {
        return None;
    };
    if !config.run.hosts.is_empty() {
        return None;
    }
    let place = origins.places(&["run.gpu"]);
    let Some(count) = machine.gpus.filter(|&count| count > 0) else {
        let lacking = if machine.gpus.is_none() {
            "no GPU driver is present"
        } else {
            "this machine has no GPU"
        };
        let problem = Problem::new(format!("run.gpu is {}, but {lacking}", config.run.gpu), place);
        return Some(problem.hint("run on the CPU with --gpu=cpu, or install the NVIDIA driver"));
    };
    let absent = ordinals.iter().find(|&&ordinal| ordinal as usize >= count)?;
    let has = if count == 1 { "1 GPU".into() } else { format!("{count} GPUs") };
    let problem =
        Problem::new(format!("run.gpu names GPU {absent}, but this machine has {has}"), place);
    Some(problem.hint("ordinals count from 0; --gpu=cpu runs on the CPU"))
}

fn two_criteria(config: &RunConfig) -> Option<Breach> {
    let (method, criterion) = (config.train.method, config.train.criterion);
    method.criterion().filter(|own| *own != criterion).map(|_| {
        Breach::new(
            format!(
                "train.criterion is {criterion}, but train.method {method} is a criterion by itself"
            ),
            "leave one of the two out; lcsl and mixup take any criterion",
        )
    })
}

fn mixup_without_mixup(config: &RunConfig) -> Option<Breach> {
    let mixing = config.train.mixing;
    (config.train.method == Method::Mixup && mixing != MixingName::Mixup).then(|| {
        Breach::new(
            format!("train.mixing is {mixing}, but train.method mixup mixes by mixup"),
            format!("for a criterion with mixing {mixing} name the criterion: --method=ce --mixing={mixing}"),
        )
    })
}

fn margins_without_cosines(config: &RunConfig) -> Option<Breach> {
    let criterion = config.train.criterion;
    (criterion.needs_cosines() && config.model.head == Head::Linear).then(|| {
        Breach::new(
            format!("train.criterion {criterion} has margins of angles, but model.head is linear"),
            "take --head=cosine, or leave the head out",
        )
    })
}

fn batch_smaller_than_ranks(config: &RunConfig) -> Option<Breach> {
    let (batch_size, ranks) = (config.train.batch_size, config.run.virtual_ranks);
    (batch_size < ranks).then(|| {
        Breach::new(
            format!("train.batch_size ({batch_size}) is smaller than the {ranks} ranks"),
            format!("batch_size is global; give at least {ranks}, or fewer ranks"),
        )
    })
}

fn batch_smaller_than_its_pieces(config: &RunConfig) -> Option<Breach> {
    let (batch_size, ranks) = (config.train.batch_size, config.run.virtual_ranks);
    let steps = config.train.accumulate_steps;
    // Without micro-batches, the message about ranks is enough.
    (steps > 1 && batch_size < steps * ranks).then(|| {
        let pieces = steps * ranks;
        Breach::new(
            format!(
                "train.batch_size ({batch_size}) is smaller than {steps} micro-batches times {ranks} logical ranks"
            ),
            format!("batch_size is global; give at least {pieces}, or fewer micro-batches"),
        )
    })
}

fn ranks_not_divided(config: &RunConfig) -> Option<Breach> {
    let (nproc, ranks) = (config.run.nproc, config.run.virtual_ranks);
    (!ranks.is_multiple_of(nproc)).then(|| {
        Breach::new(
            format!("run.nproc ({nproc}) does not divide run.virtual_ranks ({ranks})"),
            format!(
                "every process runs equally many logical ranks; try --virtual_ranks={}",
                ranks.next_multiple_of(nproc)
            ),
        )
    })
}

fn processes_not_a_power_of_two(config: &RunConfig) -> Option<Breach> {
    not_a_power_of_two(config, "nproc", config.run.nproc)
}

fn ranks_not_a_power_of_two(config: &RunConfig) -> Option<Breach> {
    let ranks = config.run.virtual_ranks;
    // Where both are the same number, one message is enough.
    if ranks == config.run.nproc {
        None
    } else {
        not_a_power_of_two(config, "virtual_ranks", ranks)
    }
}

fn not_a_power_of_two(config: &RunConfig, name: &str, count: usize) -> Option<Breach> {
    (config.run.deterministic && !count.is_power_of_two()).then(|| {
        Breach::new(
            format!("run.{name} is {count}, but run.deterministic needs a power of two"),
            "sums follow one binary tree, whatever the number of processes; take 1, 2, 4, …",
        )
    })
}

fn processes_and_gpus(config: &RunConfig) -> Option<Breach> {
    let Devices::Gpus(ordinals) = &config.run.gpu else {
        return None;
    };
    let (nproc, gpus) = (config.run.nproc, ordinals.len());
    (!nproc.is_multiple_of(gpus)).then(|| {
        Breach::new(
            format!("run.nproc ({nproc}) is not a multiple of the {gpus} GPUs listed"),
            "leave nproc out for one process per GPU, or list as many GPUs as processes",
        )
    })
}

fn unusable_hosts(config: &RunConfig) -> Option<Breach> {
    let problems = host_slots(&config.run.hosts, config.run.gpu.per_host()).err()?;
    Some(Breach::new(
        format!("run.hosts cannot be used: {}", problems.join("; ")),
        "write each host once, with the number of its ranks, as in --hosts=a:4,b:4",
    ))
}

fn more_ranks_than_hosts_take(config: &RunConfig) -> Option<Breach> {
    let hosts = config.run.host_slots();
    let (nproc, slots) = (config.run.nproc, hosts.iter().map(|host| host.slots).sum::<usize>());
    (!hosts.is_empty() && nproc > slots).then(|| {
        Breach::new(
            format!(
                "run.nproc ({nproc}) is more than the {slots} ranks that {} take",
                host_list(&hosts)
            ),
            "leave nproc out, or give the hosts more ranks",
        )
    })
}

fn more_least_than_all_ranks(config: &RunConfig) -> Option<Breach> {
    let (least, nproc) = (config.run.min_ranks, config.run.nproc);
    (least > nproc).then(|| {
        Breach::new(
            format!("run.min_ranks ({least}) is more than the {nproc} ranks of the run"),
            "give at most run.nproc, or leave it out to go on with all ranks alone",
        )
    })
}

fn shared_statistics_and_ranks(config: &RunConfig) -> Option<Breach> {
    let (nproc, ranks) = (config.run.nproc, config.run.virtual_ranks);
    (config.train.sync_bn && ranks != nproc).then(|| {
        Breach::new(
            format!("train.sync_bn joins processes, but {nproc} of them run {ranks} logical ranks"),
            "leave virtual_ranks out, which is then the number of processes",
        )
    })
}

fn shared_statistics_in_order(config: &RunConfig) -> Option<Breach> {
    (config.train.sync_bn && config.run.deterministic).then(|| {
        Breach::new(
            "train.sync_bn adds in an order that run.deterministic does not fix",
            "leave one of the two out",
        )
    })
}

fn nesterov_without_momentum(config: &RunConfig) -> Option<Breach> {
    let train = &config.train;
    let is_sgd = train.optimizer == Optimizer::Sgd;
    (train.nesterov && !(is_sgd && train.momentum > 0.0)).then(|| {
        Breach::new(
            "train.nesterov looks ahead by the momentum of sgd, and there is none",
            "leave nesterov out, or give --optimizer=sgd and a momentum",
        )
    })
}

fn foreign_image_size(config: &RunConfig) -> Option<Breach> {
    let (dataset, size) = (config.data.name, config.data.image_size);
    let native = native_size(dataset).filter(|&native| native != size)?;
    Some(Breach::new(
        format!("data.image_size is {size}, but the images of {dataset} are {native} pixels wide"),
        "leave image_size out; images are not resized",
    ))
}

fn foreign_recipe(config: &RunConfig) -> Option<Breach> {
    let (dataset, recipe) = (config.data.name, config.data.data_aug);
    let recipes = dataset.recipes();
    (!recipes.contains(&recipe)).then(|| {
        let words: Vec<&str> = recipes.iter().map(|recipe| recipe.word()).collect();
        Breach::new(
            format!("data.data_aug is {recipe}, a recipe that {dataset} does not have"),
            format!("{dataset} has {}", words.join(", ")),
        )
    })
}

/// What is known here is known before anything starts; folders of one's own are counted by the ranks.
fn classes_without_an_image(config: &RunConfig) -> Option<Breach> {
    let data = &config.data;
    let (classes, largest) = match data.name {
        DatasetName::Cifar10 => (10, 5000),
        DatasetName::Cifar100 => (100, 500),
        DatasetName::FashionMnist => (10, 6000),
        DatasetName::Synthetic => (data.synthetic_classes, data.synthetic_largest),
        DatasetName::ImagenetLt
        | DatasetName::PlacesLt
        | DatasetName::Inaturalist2018
        | DatasetName::Folder => {
            return None;
        }
    };
    let largest = if data.largest > 0 { data.largest as usize } else { largest };
    let keeps = |exponent: f64| largest as f64 * data.imb_factor.powf(exponent) >= 1.0;
    let empty = match data.imb_type {
        ImbalanceKind::Balanced => 0,
        ImbalanceKind::Step if keeps(1.0) => 0,
        ImbalanceKind::Step => classes - classes / 2,
        ImbalanceKind::Exp => {
            let exponent = |class: usize| class as f64 / (classes as f64 - 1.0);
            (1..classes).filter(|class| !keeps(exponent(*class))).count()
        }
    };
    (empty > 0).then(|| {
        let least = (1e6 / largest as f64).ceil() / 1e6;
        Breach::new(
            format!(
                "data.imb_factor is {}, which leaves {empty} of {classes} classes without an image: \
                 the largest has {largest}",
                data.imb_factor
            ),
            format!("--imb_factor={least} leaves the smallest class one image"),
        )
    })
}

fn validation_and_protocol(config: &RunConfig) -> Option<Breach> {
    match (config.train.protocol, config.data.validation_per_class) {
        (Protocol::Honest, 0) => Some(Breach::new(
            "data.validation_per_class is 0, but protocol honest needs a validation split",
            "give at least 1, or leave it out",
        )),
        (Protocol::Paper, per_class @ 1..) => Some(Breach::new(
            format!(
                "data.validation_per_class is {per_class}, but protocol paper has no validation set"
            ),
            "leave it out, or use --protocol=honest",
        )),
        _ => None,
    }
}

fn groups_that_overlap(config: &RunConfig) -> Option<Breach> {
    let (many, few) = (config.evaluation.many_above, config.evaluation.few_below);
    (few > many.saturating_add(1)).then(|| {
        Breach::new(
            format!(
                "evaluation.few_below is {few}, so classes with {} to {} images would be few and many",
                many + 1,
                few - 1
            ),
            format!("give at most {}, or a larger many_above", many.saturating_add(1)),
        )
    })
}

fn start_without_resume(config: &RunConfig) -> Option<Breach> {
    let start = config.train.start_epoch;
    (start > 1 && config.run.resume == Resume::Never).then(|| {
        Breach::new(
            format!("train.start_epoch is {start}, but run.resume is never"),
            "add --resume=auto, which continues from the newest checkpoint, wherever it stands",
        )
    })
}

fn start_after_the_end(config: &RunConfig) -> Option<Breach> {
    let (start, epochs) = (config.train.start_epoch, config.train.epochs);
    (start > epochs.max(1)).then(|| {
        Breach::new(
            format!("train.start_epoch ({start}) lies after the last of {epochs} epochs"),
            "epochs are counted from 1; leave start_epoch out",
        )
    })
}
