//! Memory of the host that the double of a GPU reads by itself, as late as it may.
#![allow(unsafe_code)] // memory that a GPU reads by itself

use std::sync::Arc;

use lcsl_backends::nccl::{Device, DeviceBuffer, Libraries, PinnedMemory, Reader};
use lcsl_collective::CollectiveError;

const PAGE: usize = 4096;
const BYTES: usize = 2 * PAGE;

/// Memory with whole pages in it, and where they begin.
fn pages() -> (Vec<u8>, usize) {
    let memory = vec![0; BYTES + PAGE];
    let first = memory.as_ptr().align_offset(PAGE);
    (memory, first)
}

/// A GPU, and what reads in the stream of that GPU.
fn open(
    libraries: &Arc<Libraries>,
    ordinal: usize,
) -> Result<(Arc<Device>, Arc<Reader>), CollectiveError> {
    let device = Device::open(libraries.clone(), ordinal)?;
    // SAFETY: in every test the device is dropped after what is registered.
    let stream = unsafe { device.compute_stream() };
    Ok((device, Reader::open(ordinal, stream)?))
}

fn register(reader: &Arc<Reader>, memory: &[u8]) -> Result<PinnedMemory, String> {
    let words = |error: CollectiveError| error.to_string();
    // SAFETY: in every test the value is dropped before the memory.
    unsafe { PinnedMemory::register(reader.clone(), memory) }.map_err(words)
}

/// Two pieces of memory take turns, each with other bytes in every turn. First checks that the double
/// copies late enough to expose a missing wait.
pub(crate) fn is_read_in_time(
    libraries: &Arc<Libraries>,
    ordinal: usize,
) -> Result<String, String> {
    let words = |error: CollectiveError| error.to_string();
    let (device, reader) = open(libraries, ordinal).map_err(words)?;
    let mut memories = [pages(), pages()];
    let mut pinned = Vec::new();
    for (memory, first) in &memories {
        pinned.push(register(&reader, &memory[*first..][..BYTES])?);
    }
    for waits in [false, true] {
        let mut buffers = Vec::new();
        for turn in 1..=6_u8 {
            let (memory, first) = &mut memories[usize::from(turn % 2)];
            let pinned = &pinned[usize::from(turn % 2)];
            if waits {
                pinned.wait().map_err(words)?;
            }
            memory.fill(turn);
            let bytes = &memory[*first + 1..][..BYTES - 1];
            let buffer = DeviceBuffer::new(device.clone(), bytes.len()).map_err(words)?;
            // SAFETY: the buffer is as long, and nothing else uses it. Who does not wait breaks the other
            // half of the promise, on a double that reads on this thread.
            unsafe { pinned.copy_to_device(bytes, buffer.address()) }.map_err(words)?;
            buffers.push((turn, buffer));
        }
        for (turn, buffer) in buffers {
            let mut bytes = [0; BYTES - 1];
            buffer.read(&mut bytes).map_err(words)?;
            let last = if turn % 2 == 1 { 5 } else { 6 }; // what its memory was filled with last
            let expected = if waits { turn } else { last };
            if bytes != [expected; BYTES - 1] {
                return Err(format!("waits: {waits}, turn {turn}: read {}", bytes[0]));
            }
        }
    }
    let (memory, first) = &memories[0];
    let mine = &memory[*first..];
    let is_known = [&mine[..BYTES], &mine[1..2], &mine[..0], &memory[..=*first], mine]
        .map(|bytes| pinned[0].contains(bytes));
    if is_known != [true, true, false, *first == 0, false] {
        return Err(format!("known: {is_known:?}"));
    }
    // Memory that is let go while a copy is under way.
    let bytes = &mine[..BYTES];
    let buffer = DeviceBuffer::new(device.clone(), BYTES).map_err(words)?;
    // SAFETY: the buffer is as long, and nothing else uses it; nobody writes into the memory any more.
    unsafe { pinned[0].copy_to_device(bytes, buffer.address()) }.map_err(words)?;
    drop(pinned);
    let mut arrived = [0; BYTES];
    buffer.read(&mut arrived).map_err(words)?;
    if arrived != bytes {
        return Err("let go before it was read".to_owned());
    }
    Ok("read in time".to_owned())
}

/// The second of two that overlap is refused; once the first is gone, it is not.
pub(crate) fn is_locked_once(libraries: &Arc<Libraries>, ordinal: usize) -> Result<String, String> {
    let (_device, reader) = open(libraries, ordinal).map_err(|error| error.to_string())?;
    let (memory, first) = pages();
    let whole = &memory[first..][..BYTES];
    let once = register(&reader, whole)?;
    let refused = register(&reader, &whole[PAGE..]).map(drop);
    drop(once);
    register(&reader, &whole[PAGE..])?;
    refused.map(|()| "locked twice".to_owned())
}

/// Half a page belongs to somebody else as well.
pub(crate) fn is_whole_pages(libraries: &Arc<Libraries>, ordinal: usize) -> Result<String, String> {
    let (_device, reader) = open(libraries, ordinal).map_err(|error| error.to_string())?;
    let (memory, first) = pages();
    register(&reader, &memory[first + 1..][..PAGE]).map(|_| "locked in part".to_owned())
}
