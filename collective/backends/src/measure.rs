//! How long a sum over all ranks takes, beside a bare call of MPI on the same memory.

#[cfg(feature = "nccl")]
use std::sync::Arc;
use std::time::Instant;

use lcsl_collective::{CollectiveError, Communicator, Values};

#[cfg(feature = "nccl")]
use crate::nccl::{Device, DeviceBuffer, Libraries, NcclWorld};
use crate::{MpiWorld, pages};

/// Calls of each kind before any is timed: they touch the memory, and set connections up.
const WARM_UP: usize = 3;

/// Medians over all timed calls; a call has taken as long as on its slowest rank.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AllReduceTimes {
    /// Seconds of `all_reduce_sum`.
    pub seconds: f64,
    /// Seconds of one `MPI_Allreduce` in place.
    pub bare_seconds: f64,
}

impl AllReduceTimes {
    /// How fast ours is, in parts of the bare call: 1 is as fast, above is faster.
    pub fn ratio(self) -> f64 {
        self.bare_seconds / self.seconds
    }
}

/// Times `repeats` (at least 1) sums of `count` float32 of each kind, which take turns in going
/// first. Collective.
pub fn all_reduce(
    world: &mut MpiWorld,
    count: usize,
    repeats: usize,
) -> Result<AllReduceTimes, CollectiveError> {
    let mut values: Vec<f32> = Vec::with_capacity(count);
    pages::prefer_large(values.as_ptr().cast(), count * size_of::<f32>());
    values.resize(count, 0.0_f32); // zeros stay zeros, however often they are added
    alternating(world, repeats, |world, is_bare| {
        if is_bare {
            world.bare_all_reduce(&mut values)
        } else {
            world.all_reduce_sum(Values::F32(&mut values))
        }
    })
}

/// The same of memory on the GPU of this ordinal: ours is the sum of a bucket of gradients, behind another stream, and
/// the wait for it; the bare one is NCCL's, in a stream that nothing else uses. Collective.
///
/// # Errors
/// What NCCL and the driver report.
#[cfg(feature = "nccl")]
pub fn all_reduce_on_gpus(
    world: &mut MpiWorld,
    libraries: &Arc<Libraries>,
    ordinal: usize,
    count: usize,
    repeats: usize,
) -> Result<AllReduceTimes, CollectiveError> {
    let mut gpus = NcclWorld::join(libraries, world, ordinal)?;
    let device = Device::open(libraries.clone(), ordinal)?;
    let mut buffer = DeviceBuffer::new(device.clone(), count * size_of::<f32>())?;
    buffer.write(&vec![0; count * size_of::<f32>()])?;
    buffer.read(&mut [0; 4])?; // when the zeros are there
    let times =
        alternating(world, repeats, |_, is_bare| gpus.time_sum(&device, &buffer, count, is_bare))?;
    gpus.leave()?;
    Ok(times)
}

/// Times `repeats` (at least 1) calls of each kind, ours and bare, which take turns in going first. Collective.
fn alternating(
    world: &mut MpiWorld,
    repeats: usize,
    mut call: impl FnMut(&mut MpiWorld, bool) -> Result<(), CollectiveError>,
) -> Result<AllReduceTimes, CollectiveError> {
    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    for turn in 0..WARM_UP + repeats.max(1) {
        for is_bare in [turn % 2 == 0, turn % 2 != 0] {
            world.barrier()?;
            let start = Instant::now();
            call(world, is_bare)?;
            let seconds = start.elapsed().as_secs_f64();
            if turn >= WARM_UP {
                if is_bare { bare.push(seconds) } else { ours.push(seconds) }
            }
        }
    }
    Ok(AllReduceTimes {
        seconds: median(slowest(world, &ours)?),
        bare_seconds: median(slowest(world, &bare)?),
    })
}

/// The longest time of each call over all ranks.
fn slowest(world: &mut MpiWorld, mine: &[f64]) -> Result<Vec<f64>, CollectiveError> {
    let bytes: Vec<u8> = mine.iter().flat_map(|seconds| seconds.to_le_bytes()).collect();
    let everyone = world.all_gather(&bytes)?;
    let mut slowest = vec![0.0_f64; mine.len()];
    for bytes in &everyone {
        for (longest, seconds) in slowest.iter_mut().zip(bytes.as_chunks::<8>().0) {
            *longest = longest.max(f64::from_le_bytes(*seconds));
        }
    }
    Ok(slowest)
}

/// The middle one, or the mean of the two in the middle; `times` is not empty.
fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    let (low, high) = (times[(times.len() - 1) / 2], times[times.len() / 2]);
    f64::midpoint(low, high)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_the_middle() {
        assert!((median(vec![3.0, 1.0, 2.0]) - 2.0).abs() < 1e-12);
        assert!((median(vec![4.0, 1.0, 2.0, 3.0]) - 2.5).abs() < 1e-12);
        let times = AllReduceTimes { seconds: 2.0, bare_seconds: 1.0 };
        assert!((times.ratio() - 0.5).abs() < 1e-12);
    }
}
