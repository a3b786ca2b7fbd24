//! What a run is made of, as one list of named tensors.
//!
//! Checkpoints, resume and the comparison of ranks walk this list. A further member of the state (a
//! second moment, say) is a line in [`TrainState::tensors`].

use tch::Tensor;

use super::restored::Restored;
use crate::engine::network::Network;
use crate::engine::optim::Moments;
use crate::engine::optim::average::WeightAverage;
use crate::engine::step::context::StepContext;
use crate::engine::step::teacher::Teacher;
use crate::run_dir::checkpoints::Best;

/// The networks of a run and the state of its optimiser.
pub struct TrainState<'a> {
    /// The network that trains.
    pub student: &'a Network,
    /// Its moving average, where there is one.
    pub average: Option<&'a Network>,
    /// What the optimiser remembers (flat, laid out as the student's parameters).
    pub moments: Moments<'a>,
    /// The best network so far, as trained.
    pub best: Option<&'a Network>,
    /// The network of the newest evaluation, as trained, where that one labels; before the first, the student's first
    /// weights, which do not.
    pub latest: Option<&'a Network>,
    /// The network that labels. It is derived from the best or the latest one, or from the seed where there is none
    /// yet.
    pub teacher: Option<&'a Teacher>,
}

/// One tensor of the state; it shares its memory with whom it belongs to.
#[derive(Debug)]
pub struct StateTensor {
    /// Its name: the member's, a dot, and that of PyTorch's state dictionary.
    pub name: String,
    /// Its values.
    pub tensor: Tensor,
    /// Whether a checkpoint holds it.
    pub saved: bool,
    /// Whether ranks make sure that all of them hold the same.
    pub compared: bool,
}

impl<'a> TrainState<'a> {
    /// Of a rank that holds these; all that a run keeps is found from here.
    pub fn of(context: &'a StepContext, best: Option<&'a (Best, Network)>) -> Self {
        Self {
            student: &context.student,
            average: context.average.as_ref().map(WeightAverage::network),
            moments: context.optimiser.moments(),
            best: best.map(|(_, network)| network),
            latest: context.latest.as_ref(),
            teacher: context.teacher.as_ref(),
        }
    }

    /// All tensors, by ascending name within what is saved; derived ones follow.
    pub fn tensors(&self) -> Vec<StateTensor> {
        let mut tensors = member("student", self.student.state(), true);
        for (moment, flat) in &self.moments.flat {
            let named = self.student.parameters.named_in(flat);
            let named = named.map(|(name, tensor)| (name.to_owned(), tensor)).collect();
            tensors.extend(member(moment, named, true));
        }
        let steps = self.moments.steps.map(|it| ("steps".to_owned(), it.shallow_clone()));
        tensors.extend(member("optimizer", steps.into_iter().collect(), true));
        let average = self.average.map(|average| member("average", average.state(), true));
        tensors.extend(average.unwrap_or_default());
        tensors
            .extend(self.best.map(|best| member("best", best.state(), true)).unwrap_or_default());
        let latest = self.latest.map(|latest| member("latest", latest.state(), true));
        tensors.extend(latest.unwrap_or_default());
        tensors.sort_by(|a, b| a.name.cmp(&b.name));
        let teacher =
            self.teacher.map(|teacher| member("teacher", teacher.labelling().state(), false));
        tensors.extend(teacher.unwrap_or_default());
        tensors
    }

    /// What a checkpoint holds, with its names.
    pub fn saved(&self) -> Vec<(String, Tensor)> {
        let saved = self.tensors().into_iter().filter(|it| it.saved);
        saved.map(|it| (it.name, it.tensor)).collect()
    }

    /// How many bytes a checkpoint takes at most: one of a run that has a best network.
    pub fn largest_bytes(&self) -> u64 {
        let bytes = |tensors: Vec<(String, Tensor)>| -> u64 {
            tensors.iter().map(|(_, it)| (it.numel() * it.kind().elt_size_in_bytes()) as u64).sum()
        };
        let best = self.best.map_or_else(|| bytes(self.student.state()), |_| 0);
        bytes(self.saved()) + best
    }

    /// Overwrites what is saved, in place, with the tensors of a checkpoint.
    ///
    /// # Errors
    /// A sentence that names every tensor that is missing or has another shape; nothing is overwritten
    /// then.
    pub fn restore(&self, from: &Restored) -> Result<(), String> {
        let mut problems = Vec::new();
        let mut copies = Vec::new();
        for (name, tensor) in self.saved() {
            match from.find(&name) {
                None => problems.push(format!("{name} is missing")),
                Some(found) if found.size() != tensor.size() => problems.push(format!(
                    "{name} has shape {:?}, expected {:?}",
                    found.size(),
                    tensor.size()
                )),
                Some(found) => copies.push((tensor, found)),
            }
        }
        if !problems.is_empty() {
            return Err(problems.join("; "));
        }
        let _guard = tch::no_grad_guard();
        for (mut tensor, found) in copies {
            tensor.copy_(&found);
        }
        Ok(())
    }
}

/// Tensors of a member of the state, all of which ranks compare.
fn member(prefix: &str, named: Vec<(String, Tensor)>, saved: bool) -> Vec<StateTensor> {
    let named = named.into_iter().map(|(name, tensor)| (format!("{prefix}.{name}"), tensor));
    named.map(|(name, tensor)| StateTensor { name, tensor, saved, compared: true }).collect()
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;
    use crate::engine::network::{Architecture, Shortcut, VitForm};
    use crate::engine::run::{checkpoint, restored};

    fn network(classes: i64, value: f64) -> Network {
        let architecture = Architecture::cifar(1, 4, Shortcut::Pad, classes);
        let mut network = Network::zeros(&architecture, Kind::Float, Device::Cpu, false);
        let _ = network.parameters.buffer.fill_(value);
        network.count_batches(&Tensor::from(value as i64));
        network
    }

    /// Story: a checkpoint was looked through for the classifier of residual networks, so that a vision transformer was
    /// said to have none, and it was asked for a count of batches that it has not.
    #[test]
    fn a_network_without_batch_statistics_comes_back_too() {
        let form = VitForm { image_size: 8, patch: 8, width: 4, depth: 1, heads: 1, hidden: 4 };
        let made = |value: f64| {
            let architecture = Architecture::vit(form.clone(), 3);
            let mut network = Network::zeros(&architecture, Kind::Float, Device::Cpu, false);
            let _ = network.parameters.buffer.fill_(value);
            network
        };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        let student = made(1.0);
        let (average, latest, teacher) = (None, None, None);
        let (best, moments) = (Some(&student), Moments::default());
        let state = TrainState { student: &student, average, moments, best, latest, teacher };
        checkpoint::Snapshot::of(&state).write(&path).unwrap();
        let stored = restored::read_file(&path).unwrap();
        assert!(stored.has("best") && stored.has("student") && !stored.has("stud"));
        let mut other = made(0.0);
        stored.load("best", &mut other).unwrap();
        assert_eq!(other.parameters.buffer, student.parameters.buffer);
    }

    #[test]
    fn what_was_saved_is_restored_in_place_and_what_does_not_fit_is_named_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        let (student, best) = (network(3, 1.0), network(3, 2.0));
        let velocity = student.parameters.buffer.full_like(3.0);
        let teacher = Teacher::of(&best, true);
        let state = TrainState {
            student: &student,
            average: None,
            moments: Moments { flat: vec![("momentum", &velocity)], steps: None },
            best: Some(&best),
            latest: None,
            teacher: Some(&teacher),
        };
        checkpoint::Snapshot::of(&state).write(&path).unwrap();
        // Story: whoever shared a run directory could read all of it but the weights.
        let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions();
        let usual = folder.path().join("usual");
        std::fs::write(&usual, "").unwrap();
        assert_eq!(mode(&path), mode(&usual));
        let stored = restored::read_file(&path).unwrap();

        let (other, other_best) = (network(3, 0.0), network(3, 0.0));
        let other_velocity = velocity.zeros_like();
        let same = TrainState {
            student: &other,
            average: None,
            moments: Moments { flat: vec![("momentum", &other_velocity)], steps: None },
            best: Some(&other_best),
            latest: None,
            teacher: None,
        };
        same.restore(&stored).unwrap();
        assert_eq!(other.parameters.buffer, student.parameters.buffer);
        assert_eq!(other_velocity, velocity);
        assert_eq!(other_best.num_batches_tracked.int64_value(&[]), 2);

        let larger = network(4, 0.0);
        let larger_velocity = larger.parameters.buffer.zeros_like();
        let moments = Moments { flat: vec![("momentum", &larger_velocity)], steps: None };
        let larger = TrainState {
            student: &larger,
            average: None,
            moments,
            best: None,
            latest: None,
            teacher: None,
        };
        let problems = larger.restore(&stored).unwrap_err();
        let named = "student.fc.weight has shape [3, 16], expected [4, 16]";
        assert!(problems.contains(named) && problems.contains("momentum.fc.bias"), "{problems}");
        assert_eq!(larger_velocity, larger_velocity.zeros_like());
    }
}
