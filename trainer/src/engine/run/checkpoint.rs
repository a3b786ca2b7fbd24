//! Tensors of a run, to disk and back.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io;
use std::path::Path;

use lcsl_run_dir::names::TENSORS;
use safetensors::{Dtype, SafeTensorError, View};
use tch::{Kind, Tensor};

use crate::engine::network::Network;
use crate::engine::run::digest;
use crate::engine::run::state::TrainState;
use crate::run_dir::checkpoints::Found;

/// Writes what a checkpoint holds as safetensors: `student.*`, `momentum.*`, and `best.*` where there is
/// one.
pub fn write(path: &Path, state: &TrainState<'_>) -> io::Result<()> {
    write_file(path, &state.saved())
}

/// Writes one network under its plain names, as `lcsl export` does.
pub fn write_network(path: &Path, network: &Network) -> io::Result<()> {
    write_file(path, &network.state())
}

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
        self.tensors.contains_key(&format!("{prefix}.fc.weight"))
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

/// libtorch's bindings can write this format too, but hide in a text what the disk said: whether it is
/// full decides about exit code and remedy.
fn write_file(path: &Path, entries: &[(String, Tensor)]) -> io::Result<()> {
    let entries = entries.iter().map(|(name, tensor)| (name.as_str(), Stored::from(tensor)));
    safetensors::serialize_to_file(entries, None, path).map_err(|error| match error {
        SafeTensorError::IoError(error) => error,
        other => io::Error::other(other),
    })
}

/// A tensor as the file has it: on the host, row-major, little-endian.
struct Stored {
    kind: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl From<&Tensor> for Stored {
    fn from(tensor: &Tensor) -> Self {
        let kind = match tensor.kind() {
            Kind::Double => Dtype::F64,
            Kind::Int64 => Dtype::I64,
            _ => Dtype::F32,
        };
        let shape = tensor.size().into_iter().map(|size| size as usize).collect();
        Self { kind, shape, bytes: digest::bytes(tensor) }
    }
}

impl View for Stored {
    fn dtype(&self) -> Dtype {
        self.kind
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.bytes)
    }

    fn data_len(&self) -> usize {
        self.bytes.len()
    }
}
