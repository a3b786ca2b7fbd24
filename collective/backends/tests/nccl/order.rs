//! Sums of buffers that already lie on the GPU: started one after the other, and waited for once.
#![allow(unsafe_code)] // memory of a GPU, by address

use std::sync::Arc;

use lcsl_backends::nccl::{Device, DeviceBuffer, Element, Libraries, NcclWorld};
use lcsl_collective::{CollectiveError, Communicator};

/// Each sum multiplies equal values by the number of ranks; two buffers take turns, so a sum that
/// was left out or done twice would show.
pub(crate) fn is_kept(
    libraries: &Arc<Libraries>,
    world: &mut NcclWorld,
    ordinal: usize,
) -> Result<(), String> {
    let words = |error: CollectiveError| error.to_string();
    let size = world.world_size() as f32;
    let device = Device::open(libraries.clone(), ordinal).map_err(words)?;
    let mut buffers = Vec::new();
    for start in [1.0_f32, 3.0] {
        let mut buffer = DeviceBuffer::new(device.clone(), 4 * 100).map_err(words)?;
        let bytes: Vec<u8> = [start; 100].iter().flat_map(|value| value.to_le_bytes()).collect();
        buffer.write(&bytes).map_err(words)?;
        buffers.push(buffer);
    }
    for turn in 0..5 {
        let address = buffers[turn % 2].address();
        // SAFETY: the buffer holds 100 float32 on this rank's GPU, and outlives the wait below; 0 is
        // the world's own stream.
        unsafe { world.all_reduce_device(address, 100, Element::F32, 0) }.map_err(words)?;
    }
    // SAFETY: the world's own stream.
    unsafe { world.wait(0) }.map_err(words)?;
    // And once more behind what the default stream was given, as gradients are.
    // SAFETY: as above; nothing else touches the buffer.
    unsafe { world.sum_on_device(buffers[1].address(), 100, Element::F32) }.map_err(words)?;
    for (buffer, expected) in buffers.iter().zip([size.powi(3), 3.0 * size.powi(3)]) {
        let mut bytes = vec![0; 4 * 100];
        buffer.read(&mut bytes).map_err(words)?;
        let expected: Vec<u8> = [expected; 100].iter().flat_map(|v| v.to_le_bytes()).collect();
        if bytes != expected {
            return Err(format!("out of order: {:?}", &bytes[..4]));
        }
    }
    Ok(())
}
