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
use crate::run_dir::checkpoints::Found;

/// The networks of a run and the state of its optimiser.
pub struct Tensors<'a> {
    /// The network that trains.
    pub student: &'a Network,
    /// v of the optimiser (flat, in the order of the student's parameters).
    pub velocity: &'a Tensor,
    /// The best network so far, as trained.
    pub best: Option<&'a Network>,
}

/// Writes all tensors as safetensors: `student.*`, `momentum.*`, and `best.*` where there is one.
/// The teacher is derived from the best network, or from the seed where there is none yet.
pub fn write(path: &Path, tensors: &Tensors<'_>) -> io::Result<()> {
    write_file(path, &tensors.entries())
}

impl Tensors<'_> {
    /// All of them with their names, sorted by name in byte order.
    pub fn entries(&self) -> Vec<(String, Tensor)> {
        let mut entries: Vec<(String, Tensor)> = prefixed("student", self.student.state());
        let mut start = 0;
        for (name, view) in self.student.parameters.named() {
            let elements = view.numel() as i64;
            let part = self.velocity.narrow(0, start, elements).view(view.size().as_slice());
            entries.push((format!("momentum.{name}"), part));
            start += elements;
        }
        if let Some(network) = self.best {
            entries.extend(prefixed("best", network.state()));
        }
        entries.sort_by(|a, b| a.0.cmp(&b.0));
        entries
    }
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
    let path = found.directory.join(TENSORS);
    let tensors = Tensor::read_safetensors(&path)
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
        network.load(|name| self.find(prefix, name))
    }

    /// Overwrites the optimiser's v (flat, in the order of `like`'s parameters).
    pub fn load_velocity(&self, velocity: &mut Tensor, like: &Network) -> Result<(), String> {
        let mut parts = Vec::new();
        for (name, view) in like.parameters.named() {
            match self.find("momentum", name) {
                Some(part) if part.size() == view.size() => parts.push(part.reshape([-1])),
                _ => return Err(format!("momentum.{name} is missing or has another shape")),
            }
        }
        velocity.copy_(&Tensor::cat(&parts, 0));
        Ok(())
    }

    fn find(&self, prefix: &str, name: &str) -> Option<Tensor> {
        self.tensors.get(&format!("{prefix}.{name}")).map(Tensor::shallow_clone)
    }
}

fn prefixed(prefix: &str, state: Vec<(String, Tensor)>) -> Vec<(String, Tensor)> {
    state.into_iter().map(|(name, tensor)| (format!("{prefix}.{name}"), tensor)).collect()
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
