//! Tensors of a run, back from disk.

use std::collections::HashMap;
use std::path::Path;

use lcsl_run_dir::names::TENSORS;
use tch::Tensor;

use crate::engine::network::Network;
use crate::run_dir::checkpoints::Found;

/// The tensors of a checkpoint, by name.
pub struct Restored {
    tensors: HashMap<String, Tensor>,
}

/// Reads the tensor file of a checkpoint.
///
/// # Errors
/// A sentence, when the file cannot be read.
pub fn read(found: &Found) -> Result<Restored, String> {
    read_file(&found.directory.join(TENSORS))
}

/// Reads a tensor file.
///
/// # Errors
/// A sentence, when it cannot be read.
pub fn read_file(path: &Path) -> Result<Restored, String> {
    let tensors = Tensor::read_safetensors(path)
        .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    Ok(Restored { tensors: tensors.into_iter().collect() })
}

impl Restored {
    /// Whether the checkpoint holds a network under this prefix.
    pub fn has(&self, prefix: &str) -> bool {
        let is_of = |name: &String| name.strip_prefix(prefix).is_some_and(|it| it.starts_with('.'));
        self.tensors.keys().any(is_of)
    }

    /// Overwrites a network with the one under this prefix.
    pub fn load(&self, prefix: &str, network: &mut Network) -> Result<(), String> {
        network.load(|name| self.find(&format!("{prefix}.{name}")))
    }

    /// The tensor of this name.
    pub fn find(&self, name: &str) -> Option<Tensor> {
        self.tensors.get(name).map(Tensor::shallow_clone)
    }
}
