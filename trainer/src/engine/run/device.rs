//! Where a rank computes, and how libtorch does there.

use lcsl_backends::nccl::driver::NoGpu;
use lcsl_collective::placement;
use lcsl_config::{Devices, Precision, RunConfig};
use tch::Device;

use crate::engine::cuda;
use crate::engine::native::{self, arithmetic::Arithmetic};
use crate::engine::run::error::TrainError;

/// Sets how many threads libtorch uses in this process, whose own default is all cores, lets it keep the memory that
/// it frees between two steps, and says how exactly a GPU has to compute.
pub fn set_up_libtorch(config: &RunConfig) {
    if !native::keep_freed_memory() {
        tracing::warn!("the allocator gives freed memory back to the system; steps will be slower");
    }
    tch::set_num_threads(config.run.threads as i32);
    tch::set_num_interop_threads(1);
    // On a CPU this would cost something and change nothing: only GPUs have other algorithms.
    let deterministic = config.run.deterministic && config.run.gpu != Devices::Cpu;
    Arithmetic { tf32: config.train.precision == Precision::Tf32, deterministic }.set();
}

/// The device of a rank: its GPU among those that this process sees. From here on this thread computes there in a
/// stream of its own.
///
/// # Errors
/// Where there is no such GPU, or it cannot be used.
pub fn of_rank(config: &RunConfig, local_rank: usize) -> Result<Device, TrainError> {
    let Devices::Gpus(listed) = &config.run.gpu else {
        return Ok(Device::Cpu);
    };
    let visible = tch::Cuda::device_count().max(0) as usize;
    let Some(ordinal) = placement::ordinal(local_rank, listed, visible, is_narrowed()) else {
        let NoGpu { why, hint } = cuda::why_no_gpu();
        return Err(TrainError::NoDevice { why, hint });
    };
    match native::stream::enter(ordinal) {
        Ok(()) => Ok(Device::Cuda(ordinal)),
        Err(why) => Err(TrainError::DeviceFailed { ordinal, why }),
    }
}

/// What a person calls a device: `cpu`, or the number of a GPU in the list that was given.
pub fn name(config: &RunConfig, device: Device) -> String {
    match (device, &config.run.gpu) {
        (Device::Cuda(ordinal), Devices::Gpus(listed)) => {
            placement::device_name(ordinal, listed, is_narrowed())
        }
        _ => "cpu".to_owned(),
    }
}

/// Whether a launcher has left this process only the GPUs listed.
pub fn is_narrowed() -> bool {
    std::env::var_os(placement::NARROWED_VARIABLE).is_some()
}
