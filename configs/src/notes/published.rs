//! What a command line of the published code does here when nobody has named a protocol: one note
//! that says how the run differs from the published one, and which flags take the difference away.

use crate::arguments::Given;
use crate::origin::{Origin, Origins};
use crate::resolve::{defaults_of, published_recipe};
use crate::run_config::{DataAugmentation, DatasetName, Method, ModelName, Policy, Protocol};
use crate::run_config::{RunConfig, Train};
use crate::zoo::{Initialisation, published_network};

/// The note. It is shown where the command line has a spelling of the published code, the dataset and
/// the method are among its own, and protocol `honest` is the default's choice. A command line with
/// `--protocol` or a configuration file is not told: that choice was made knowingly.
pub(super) fn difference(
    config: &RunConfig,
    origins: &Origins,
    given: &[Given],
    has_config: bool,
) -> Option<String> {
    let network = published_network(config.data.name)?;
    let Train { method, protocol, .. } = config.train;
    let is_ours = has_config
        || (method, protocol) != (Method::Lcsl, Protocol::Honest)
        || origins.get("train.protocol") != Some(&Origin::Default);
    if is_ours || !given.iter().any(is_published_spelling) {
        return None;
    }
    let mut differences = differences(config, network);
    if let Some(Origin::Auto { .. }) = origins.get("train.epochs") {
        differences.push(format!("epochs is {} (published: 300)", config.train.epochs));
    }
    let beta = if given.iter().any(|Given { name, .. }| name == "beta") {
        "; nothing reads beta, there or here"
    } else {
        ""
    };
    // Its network averages 4×4 of the 7×7 pixels of the last map, which no flag does.
    let but = if config.data.name == DatasetName::Inaturalist2018 {
        ", but averages the whole last feature map, where the published network takes a corner of it"
    } else {
        ""
    };
    Some(format!(
        "this is the published code's command line, but not its run: {}{beta}. {} trains as \
         published{but}; --protocol=honest trains as now, without this note",
        differences.join("; "),
        flags(config, origins, network)
    ))
}

/// Whether this flag is written in a way that is the published code's first of all: names that have a
/// plainer one here, names of datasets that it has shortened, and a flag that it never reads.
fn is_published_spelling(Given { name, text }: &Given) -> bool {
    match name.as_str() {
        "beta" | "lambda_init" => true,
        "fc_norm" => text.parse::<f64>().is_ok(),
        "dataset" => ["imagenet", "inaturalist"].contains(&text.as_str()),
        _ => false,
    }
}

/// Each thing that differs, with what is published.
fn differences(config: &RunConfig, network: ModelName) -> Vec<String> {
    let (data, model) = (&config.data, config.model.name);
    let mut differences = vec![format!(
        "protocol honest chooses teacher and model on {} held-out images per class (published: on the test \
         set), labels after the first evaluation (published: from the first step), and moves running \
         statistics by mixed images alone (published: by the unmixed ones too)",
        data.validation_per_class
    )];
    let mut say = |differs: bool, what: String| differences.extend(differs.then_some(what));
    let in_its_words =
        if network == ModelName::Resnet34Cifar { ", which it calls ResNet32" } else { "" };
    say(model != network, format!("the network is {model} (published: {network}{in_its_words})"));
    let [ours, theirs] = [(model, Protocol::Honest), (network, Protocol::Paper)]
        .map(|(model, protocol)| drawn(model.entry().initialisation(protocol)));
    say(ours != theirs, format!("first weights are {ours} (published: {theirs})"));
    let policy = config.admission.policy;
    say(
        policy != Policy::Reference,
        format!("admission is by {policy} (published: reference, everybody above lambda_init)"),
    );
    let recipe = published_recipe(data.name, defaults_of(data.name).data_aug);
    let varies = data.data_aug == DataAugmentation::CropFlip && recipe != "crop_flip";
    say(varies, format!("data_aug is {} (published: {recipe})", data.data_aug));
    say(
        !data.name.lies_in_shards(),
        "the images of a class are drawn by data.selection_seed (published: the first ones)".into(),
    );
    say(
        data.name == DatasetName::Cifar100,
        "colours are normalised by CIFAR-100's constants (published: CIFAR-10's)".into(),
    );
    differences
}

/// The flags that take every difference away that a flag can.
fn flags(config: &RunConfig, origins: &Origins, network: ModelName) -> String {
    let is_written = |path| matches!(origins.get(path), Some(Origin::Flag(_) | Origin::Set(_)));
    let mut flags = vec!["--protocol=paper".to_owned()];
    if is_written("model.name") && config.model.name != network {
        flags.push(format!("--model={network}"));
    }
    if is_written("admission.policy") && config.admission.policy != Policy::Reference {
        flags.push("--policy=reference".to_owned());
    }
    flags.join(" ")
}

fn drawn(initialisation: Initialisation) -> &'static str {
    match initialisation {
        Initialisation::KaimingNormalFanIn => "Kaiming normal by fan-in",
        Initialisation::KaimingNormalFanOut => "Kaiming normal by fan-out",
        Initialisation::PytorchDefault => "PyTorch's default",
        Initialisation::VisionTransformer => "torchvision's for transformers",
    }
}
