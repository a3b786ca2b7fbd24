//! Tensors of a run, to disk.

use std::borrow::Cow;
use std::fs::{self, File};
use std::io;
use std::path::Path;

use safetensors::{Dtype, SafeTensorError, View};
use tch::{Kind, Tensor};

use crate::engine::network::Network;
use crate::engine::run::digest;
use crate::engine::run::state::TrainState;

/// Tensors as they were at one moment, copied to the host's memory: another thread can write them while training
/// changes what they were copied from.
pub struct Snapshot {
    tensors: Vec<(String, Stored)>,
}

impl Snapshot {
    /// What a checkpoint holds: `student.*`, `momentum.*`, and `best.*` where there is one.
    pub fn of(state: &TrainState<'_>) -> Self {
        Self::copy(&state.saved())
    }

    fn copy(tensors: &[(String, Tensor)]) -> Self {
        let copy = |(name, tensor): &(String, Tensor)| (name.clone(), Stored::from(tensor));
        Self { tensors: tensors.iter().map(copy).collect() }
    }

    /// Writes it as safetensors. libtorch's bindings can write this format too, but hide in a text what the disk
    /// said: whether it is full decides about exit code and remedy.
    ///
    /// # Errors
    /// What the disk says.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        // The crate makes a file that only its owner may read; other files of a run go by the user's mask.
        let usual = File::create(path)?.metadata()?.permissions();
        let tensors = self.tensors.iter().map(|(name, stored)| (name.as_str(), stored));
        safetensors::serialize_to_file(tensors, None, path).map_err(|error| match error {
            SafeTensorError::IoError(error) => error,
            other => io::Error::other(other),
        })?;
        fs::set_permissions(path, usual)
    }
}

/// Writes one network under its plain names, as `lcsl export` does.
///
/// # Errors
/// What the disk says.
pub fn write_network(path: &Path, network: &Network) -> io::Result<()> {
    Snapshot::copy(&network.state()).write(path)
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

impl View for &Stored {
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
