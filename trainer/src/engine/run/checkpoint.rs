//! Tensors of a run, to disk.

use std::borrow::Cow;
use std::io;
use std::path::Path;

use safetensors::{Dtype, SafeTensorError, View};
use tch::{Kind, Tensor};

use crate::engine::network::Network;
use crate::engine::run::digest;
use crate::engine::run::state::TrainState;

/// Writes what a checkpoint holds as safetensors: `student.*`, `momentum.*`, and `best.*` where there is
/// one.
pub fn write(path: &Path, state: &TrainState<'_>) -> io::Result<()> {
    write_file(path, &state.saved())
}

/// Writes one network under its plain names, as `lcsl export` does.
pub fn write_network(path: &Path, network: &Network) -> io::Result<()> {
    write_file(path, &network.state())
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
