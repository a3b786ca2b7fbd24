//! Weights that a run begins with, from a file.

use std::collections::HashMap;
use std::path::Path;

use tch::Tensor;

use super::Network;

/// Overwrites a network with the tensors of a safetensors file under PyTorch's names, as `lcsl export` and
/// torchvision's state dictionaries have them. A classifier for another number of classes stays as it was drawn: then
/// a sentence says so. Types are converted.
///
/// # Errors
/// A sentence, when the file cannot be read, or is of another network: every tensor that is missing, has another shape
/// or belongs to nothing here is named, and the network is as it was.
pub fn load(path: &Path, network: &mut Network) -> Result<Option<String>, String> {
    let shown = path.display();
    let tensors = Tensor::read_safetensors(path)
        .map_err(|error| format!("cannot read the weights in {shown}: {error}"))?;
    let tensors: HashMap<String, Tensor> = tensors.into_iter().collect();
    let own: HashMap<String, Tensor> = network.state().into_iter().collect();
    let foreign = classes_elsewhere(network, &tensors);
    let head = network.architecture().head_name();
    let is_redrawn = |name: &str| foreign.is_some() && name.starts_with(head);
    let mut problems = Vec::new();
    for (name, tensor) in &own {
        // Counters of batches decide nothing, and older files have none.
        if is_redrawn(name) || name.ends_with("num_batches_tracked") {
            continue;
        }
        match tensors.get(name) {
            None => problems.push(format!("{name} is missing")),
            Some(found) if found.size() != tensor.size() => {
                let (found, expected) = (found.size(), tensor.size());
                problems.push(format!("{name} has shape {found:?}, expected {expected:?}"));
            }
            Some(_) => {}
        }
    }
    let unknown = tensors.keys().filter(|name| !own.contains_key(*name) && !is_redrawn(name));
    problems.extend(unknown.map(|name| format!("{name} is of no layer here")));
    if !problems.is_empty() {
        problems.sort();
        let list = problems.join("\n  - ");
        return Err(format!("the weights in {shown} are of another network\n  - {list}"));
    }
    let _guard = tch::no_grad_guard();
    for (name, mut tensor) in own.into_iter().filter(|(name, _)| !is_redrawn(name)) {
        if let Some(found) = tensors.get(&name) {
            tensor.copy_(found);
        }
    }
    Ok(foreign.map(|classes| {
        let ours = network.architecture().classes;
        format!(
            "{shown} has {classes} classes, and this dataset {ours}: the classifier is drawn anew"
        )
    }))
}

/// The number of classes that a file's classifier has, where it is for the same features and another number of
/// classes.
fn classes_elsewhere(network: &Network, tensors: &HashMap<String, Tensor>) -> Option<i64> {
    let architecture = network.architecture();
    let weight = tensors.get(&format!("{}.weight", architecture.head_name()))?;
    let [classes, features] = weight.size()[..] else { return None };
    let is_foreign = features == architecture.features() && classes != architecture.classes;
    is_foreign.then_some(classes)
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;
    use crate::engine::network::{Architecture, Shortcut};

    fn network(classes: i64, value: f64) -> Network {
        let architecture = Architecture::cifar(1, 4, Shortcut::Pad, classes);
        let network = Network::zeros(&architecture, Kind::Float, Device::Cpu, true);
        let _guard = tch::no_grad_guard();
        let _ = network.parameters.buffer.shallow_clone().fill_(value);
        network
    }

    fn written(
        folder: &Path,
        network: &Network,
        change: impl Fn(&mut Vec<(String, Tensor)>),
    ) -> std::path::PathBuf {
        let path = folder.join("weights.safetensors");
        let mut state = network.state();
        change(&mut state);
        Tensor::write_safetensors(&state, &path).unwrap();
        path
    }

    #[test]
    fn weights_of_the_same_network_are_taken_whatever_their_type() {
        let folder = tempfile::tempdir().unwrap();
        let path = written(folder.path(), &network(3, 2.0), |state| {
            state.retain(|(name, _)| !name.ends_with("num_batches_tracked"));
            for (_, tensor) in state.iter_mut() {
                *tensor = tensor.to_kind(Kind::Half);
            }
        });
        let mut begun = network(3, 0.0);
        assert_eq!(load(&path, &mut begun), Ok(None));
        assert_eq!(begun.parameters.buffer, network(3, 2.0).parameters.buffer);
    }

    #[test]
    fn a_classifier_for_other_classes_stays_as_it_was_drawn() {
        let folder = tempfile::tempdir().unwrap();
        let path = written(folder.path(), &network(5, 2.0), |_| ());
        let mut begun = network(3, 0.5);
        let said = load(&path, &mut begun).unwrap().unwrap();
        assert!(
            said.ends_with("has 5 classes, and this dataset 3: the classifier is drawn anew"),
            "{said}"
        );
        let of = |name: &str| {
            let state: HashMap<_, _> = begun.state().into_iter().collect();
            let tensor = &state[name];
            assert_eq!(tensor.min(), tensor.max());
            format!("{}", tensor.mean(Kind::Float).double_value(&[]))
        };
        let found = ["conv1.weight", "fc.weight", "fc.bias"].map(of);
        assert_eq!(found, ["2", "0.5", "0.5"]);
    }

    #[test]
    fn every_difference_of_another_network_is_named_and_nothing_is_changed() {
        let folder = tempfile::tempdir().unwrap();
        let path = written(folder.path(), &network(3, 2.0), |state| {
            state.retain(|(name, _)| name != "bn1.weight");
            state.push(("module.extra".to_owned(), Tensor::zeros([1], (Kind::Float, Device::Cpu))));
            let conv = state.iter_mut().find(|(name, _)| name == "conv1.weight").unwrap();
            conv.1 = Tensor::zeros([4, 1, 3, 3], (Kind::Float, Device::Cpu));
        });
        let mut begun = network(3, 0.5);
        let problems = load(&path, &mut begun).unwrap_err();
        let expected = "are of another network\n  - bn1.weight is missing\n  - conv1.weight has shape [4, 1, 3, 3], \
                        expected [4, 3, 3, 3]\n  - module.extra is of no layer here";
        assert!(problems.ends_with(expected), "{problems}");
        assert_eq!(begun.parameters.buffer, network(3, 0.5).parameters.buffer);
        let nowhere = load(Path::new("/nowhere.safetensors"), &mut begun).unwrap_err();
        assert!(
            nowhere.starts_with("cannot read the weights in /nowhere.safetensors: "),
            "{nowhere}"
        );
    }
}
