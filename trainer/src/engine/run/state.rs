//! What a run is made of, as one list of named tensors.
//!
//! Checkpoints, resume and the comparison of ranks walk this list. A further member of the state (a
//! moving average of the weights, a second moment) is a line in [`TrainState::tensors`].

use tch::Tensor;

use super::checkpoint::Restored;
use crate::engine::network::Network;
use crate::engine::step::teacher::Teacher;

/// The networks of a run and the state of its optimiser.
pub struct TrainState<'a> {
    /// The network that trains.
    pub student: &'a Network,
    /// v of the optimiser (flat, laid out as the student's parameters).
    pub velocity: &'a Tensor,
    /// The best network so far, as trained.
    pub best: Option<&'a Network>,
    /// The network that labels. It is derived from the best one, or from the seed where there is none yet.
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

impl TrainState<'_> {
    /// All tensors, by ascending name within what is saved; derived ones follow.
    pub fn tensors(&self) -> Vec<StateTensor> {
        let mut tensors = member("student", self.student.state(), true);
        let velocity = self.student.parameters.named_in(self.velocity);
        let velocity = velocity.map(|(name, tensor)| (name.to_owned(), tensor)).collect();
        tensors.extend(member("momentum", velocity, true));
        tensors
            .extend(self.best.map(|best| member("best", best.state(), true)).unwrap_or_default());
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
