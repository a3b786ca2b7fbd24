//! One number for all weights of a network.

use crate::engine::network::Network;
use tch::{Kind, Tensor};

/// blake3 over the state dictionary in byte order of names. Of each entry: its name (UTF-8), its
/// type (`F32`, `F64` or `I64`), its dimensions (u64 each), its values in row-major order; numbers
/// little-endian. 64 hexadecimal digits.
///
/// The same bytes stand in the file that `lcsl export` writes, so anyone can compute it again.
pub fn weights(network: &Network) -> String {
    let mut hasher = blake3::Hasher::new();
    for (name, tensor) in network.state() {
        hasher.update(name.as_bytes());
        hasher.update(type_name(tensor.kind()).as_bytes());
        for dimension in tensor.size() {
            hasher.update(&(dimension as u64).to_le_bytes());
        }
        hasher.update(&bytes(&tensor));
    }
    hasher.finalize().to_hex().to_string()
}

/// The values of a tensor in row-major order, little-endian, on whichever device it lies.
pub(crate) fn bytes(tensor: &Tensor) -> Vec<u8> {
    let tensor = tensor.to_device(tch::Device::Cpu).contiguous();
    let elements = tensor.numel();
    let mut bytes = vec![0; elements * tensor.kind().elt_size_in_bytes()];
    tensor.copy_data_u8(&mut bytes, elements);
    bytes
}

fn type_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Double => "F64",
        Kind::Int64 => "I64",
        _ => "F32",
    }
}
