//! Sums of buffers that already lie on the GPU, beside a stream that computes: each waits for what that stream was
//! given before, and for nothing else.
#![allow(unsafe_code)] // memory of a GPU, by address

use std::ffi::{c_int, c_void};
use std::sync::Arc;
use std::time::Duration;

use lcsl_backends::nccl::{ComputeStream, Device, DeviceBuffer, Element, Libraries, NcclWorld};
use lcsl_collective::{CollectiveError, Communicator};

const COUNT: usize = 100;

#[expect(clippy::needless_pass_by_value, reason = "it is what map_err gives")]
fn words(error: CollectiveError) -> String {
    error.to_string()
}

fn bytes_of(value: f32) -> Vec<u8> {
    [value; COUNT].iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// A stream that computes, as libtorch's does: a kernel is a copy into a buffer, which the double performs as late as
/// it may.
struct Computing {
    device: Arc<Device>,
    stream: ComputeStream,
}

impl Computing {
    fn on(libraries: &Arc<Libraries>, ordinal: usize) -> Result<Self, String> {
        let device = Device::open(libraries.clone(), ordinal).map_err(words)?;
        // SAFETY: the device is kept beside the stream.
        let stream = unsafe { device.compute_stream() };
        Ok(Self { device, stream })
    }

    fn buffer(&self) -> Result<DeviceBuffer, String> {
        DeviceBuffer::new(self.device.clone(), 4 * COUNT).map_err(words)
    }
}

/// The whole number that all of a buffer holds, once its stream is done with it.
fn value_of(buffer: &DeviceBuffer) -> Result<i64, String> {
    let mut bytes = vec![0; 4 * COUNT];
    buffer.read(&mut bytes).map_err(words)?;
    let value = f32::from_le_bytes(bytes[..4].try_into().expect("four bytes"));
    if bytes == bytes_of(value) { Ok(value as i64) } else { Err(format!("{bytes:?}")) }
}

/// Each sum multiplies equal values by the number of ranks; two buffers take turns, so a sum that was left out, or
/// done twice, or before the values were there, would show.
pub(crate) fn is_kept(
    libraries: &Arc<Libraries>,
    world: &mut NcclWorld,
    ordinal: usize,
) -> Result<(), String> {
    let size = world.world_size() as i64;
    let computing = Computing::on(libraries, ordinal)?;
    let mut buffers = [computing.buffer()?, computing.buffer()?];
    for (buffer, start) in buffers.iter_mut().zip([1.0, 3.0]) {
        buffer.write(&bytes_of(start)).map_err(words)?;
    }
    for turn in 0..6 {
        let (address, stream) = (buffers[turn % 2].address(), computing.stream);
        // Sums in both streams take turns, too: in one communicator they keep their order.
        // SAFETY: the buffer holds 100 float32 on this rank's GPU, and outlives the wait below.
        unsafe {
            if turn % 3 == 0 {
                world.sum_within(stream, address, COUNT, Element::F32).map_err(words)?;
            } else {
                world.sum_behind(stream, address, COUNT, Element::F32).map_err(words)?;
            }
        }
    }
    world.wait().map_err(words)?;
    let found = [value_of(&buffers[0])?, value_of(&buffers[1])?];
    let expected = [size.pow(3), 3 * size.pow(3)];
    if found == expected { Ok(()) } else { Err(format!("out of order: {found:?}")) }
}

/// How many tasks the stream that computes has not performed, on the double.
fn pending(stream: ComputeStream) -> Result<c_int, String> {
    // SAFETY: the double, which is loaded already; the function takes a stream and returns a number.
    unsafe {
        let driver = libloading::Library::new("libcuda.so.1").map_err(|error| error.to_string())?;
        let count: libloading::Symbol<'_, unsafe extern "C" fn(*mut c_void) -> c_int> =
            driver.get(b"double_pending").map_err(|error| error.to_string())?;
        Ok(count(stream.handle()))
    }
}

/// Story: the thread that summed gradients took the stream's position when it came to a bucket, not when the gradients
/// were there, and waited for each sum on the host. So all buckets but the first waited for the whole backward pass.
pub(crate) fn overlaps(
    libraries: &Arc<Libraries>,
    world: &mut NcclWorld,
    ordinal: usize,
) -> Result<(), String> {
    let size = world.world_size() as i64;
    let computing = Computing::on(libraries, ordinal)?;
    let mut buffers = [computing.buffer()?, computing.buffer()?, computing.buffer()?];
    for (place, buffer) in buffers.iter_mut().enumerate() {
        buffer.write(&bytes_of(1.0 + place as f32)).map_err(words)?;
        if place < 2 {
            // SAFETY: the buffer holds 100 float32 on this rank's GPU, and outlives the wait below; what the stream is
            // given later writes elsewhere.
            let address = buffer.address();
            unsafe { world.sum_behind(computing.stream, address, COUNT, Element::F32) }
                .map_err(words)?;
        }
    }
    let given = pending(computing.stream)?;
    world.wait().map_err(words)?;
    let left = pending(computing.stream)?;
    // Two kernels and an event behind each, and a last kernel, for which no sum waits.
    if (given, left) != (5, 1) {
        return Err(format!("{given} tasks were given, and {left} are left behind the sums"));
    }
    let found = [value_of(&buffers[0])?, value_of(&buffers[1])?, value_of(&buffers[2])?];
    if found == [size, 2 * size, 3] { Ok(()) } else { Err(format!("{found:?}")) }
}

/// What the stream that computes is given behind sums finds them, though the host has waited for none.
pub(crate) fn are_found(
    libraries: &Arc<Libraries>,
    world: &mut NcclWorld,
    ordinal: usize,
) -> Result<(), String> {
    let size = world.world_size() as i64;
    let computing = Computing::on(libraries, ordinal)?;
    let mut buffer = computing.buffer()?;
    buffer.write(&bytes_of(5.0)).map_err(words)?;
    let (address, stream) = (buffer.address(), computing.stream);
    // SAFETY: the buffer holds 100 float32 on this rank's GPU, and outlives the wait below.
    unsafe {
        world.sum_behind(stream, address, COUNT, Element::F32).map_err(words)?;
        world.rejoin(stream).map_err(words)?;
    }
    let before = pending(stream)?;
    let mut asked = 0;
    let found = value_of(&buffer)?; // waits for the stream that computes alone
    world
        .wait_for(&mut || {
            asked += 1;
            asked > 2
        })
        .map_err(words)?;
    if before == 0 || asked != 3 {
        return Err(format!("{before} tasks were left to do, and {asked} questions asked"));
    }
    if found == 5 * size { Ok(()) } else { Err(format!("{found} was found")) }
}

/// Shows that the double performs work late enough to expose a sum that does not wait for its values: one in a stream
/// that nothing ties to the one that computes.
pub(crate) fn would_show(
    libraries: &Arc<Libraries>,
    world: &mut NcclWorld,
    ordinal: usize,
) -> Result<(), String> {
    let computing = Computing::on(libraries, ordinal)?;
    let other = Computing::on(libraries, ordinal)?;
    let mut buffer = computing.buffer()?;
    buffer.write(&bytes_of(0.0)).map_err(words)?;
    value_of(&buffer)?;
    buffer.write(&bytes_of(1.0)).map_err(words)?;
    // SAFETY: on a double that performs all work on this thread; the buffer outlives it.
    unsafe { world.sum_within(other.stream, buffer.address(), COUNT, Element::F32) }
        .map_err(words)?;
    value_of(&other.buffer()?).ok(); // waits for the other stream alone
    let found = value_of(&buffer)?;
    // The zeros were summed, and the ones came over the sum.
    if found == 1 { Ok(()) } else { Err(format!("the sum has waited: {found}")) }
}

/// The last rank takes no part in a sum: the others hear of it in time, and their world is gone.
pub(crate) fn patience_ends(world: NcclWorld) -> Result<String, String> {
    let mut world = world.with_patience(Duration::from_secs(1));
    if world.rank() + 1 == world.world_size() {
        std::thread::sleep(Duration::from_secs(3));
        return Ok("nobody".to_owned());
    }
    world.barrier().map(|()| "a barrier of fewer ranks".to_owned()).map_err(words)
}
