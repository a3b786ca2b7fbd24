//! Batch normalisation over the images of all ranks (`--sync_bn`).

#![allow(unsafe_code)] // the shim is C++

use std::ffi::{c_char, c_void};
use std::fmt;
use std::ptr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lcsl_backends::nccl::Element;
use lcsl_collective::{CollectiveError, Communicator, Values};
use tch::Tensor;

use crate::engine::gpu_sums::GpuSums;

use super::ffi::{In, Out, checked_message, pointer};

unsafe extern "C" {
    fn lcsl_batch_norm_across(
        x: In,
        weight: In,
        bias: In,
        epsilon: f64,
        context: *mut c_void,
        sum: extern "C" fn(*mut c_void, *mut f64, usize, bool),
        release: extern "C" fn(*mut c_void),
        result: Out,
        mean: Out,
        variance: Out,
    ) -> *mut c_char;
}

/// The ranks that normalise together. They sum in the middle of forward and backward passes, where no
/// error can be returned: the first one is kept, nothing more is sent, and [`SyncBatchNorm::outcome`] tells.
#[derive(Clone)]
pub struct SyncBatchNorm {
    traffic: Arc<Mutex<Traffic>>,
}

struct Traffic {
    /// None once it was left.
    world: Option<World>,
    failed: Option<CollectiveError>,
}

/// How statistics reach the other ranks.
enum World {
    /// Through the memory of this process.
    Host(Box<dyn Communicator>),
    /// From GPU to GPU, in libtorch's own stream: the host waits for nothing.
    Gpu(GpuSums),
}

/// A layer's result, and the statistics of all ranks' images per channel.
#[derive(Debug)]
pub struct Normalised {
    /// Like the input.
    pub result: Tensor,
    /// Mean (C), float64.
    pub mean: Tensor,
    /// Unbiased variance (C), float64.
    pub variance: Tensor,
}

impl SyncBatchNorm {
    /// The ranks of `world`, a communicator for this alone.
    pub fn new(world: Box<dyn Communicator>) -> Self {
        Self::over(World::Host(world))
    }

    /// The ranks of `sums`, for a network on a GPU.
    pub fn on_gpus(sums: GpuSums) -> Self {
        Self::over(World::Gpu(sums))
    }

    fn over(world: World) -> Self {
        Self { traffic: Arc::new(Mutex::new(Traffic { world: Some(world), failed: None })) }
    }

    /// Where it sums, if that is on GPUs.
    pub fn gpu_sums(&self) -> Option<GpuSums> {
        match &self.lock().world {
            Some(World::Gpu(sums)) => Some(sums.clone()),
            _ => None,
        }
    }

    /// Normalises `x` (N, C, H, W; N may be 0), scaled by `weight` and shifted by `bias` (C), and records
    /// gradients (Ioffe and Szegedy, ICML 2015). Collective, as is the backward pass: all ranks run
    /// the same layers.
    pub fn batch_norm(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        epsilon: f64,
    ) -> Normalised {
        let channels = weight.size();
        assert!(x.dim() == 4 && channels == [x.size()[1]], "a scale for each channel");
        assert_eq!(bias.size(), channels, "a shift for each channel");
        let context = Arc::into_raw(self.traffic.clone()).cast_mut().cast::<c_void>();
        let mut made = [ptr::null_mut(); 3];
        let [result, mean, variance] = &mut made;
        // SAFETY: three valid tensors of the shapes checked above. The callee owns one count of the
        // `Arc` from here on, also when it fails, and gives it up with `release`; `sum` takes what it
        // points to. All three results are written before null is returned.
        checked_message(unsafe {
            lcsl_batch_norm_across(
                pointer(x),
                pointer(weight),
                pointer(bias),
                epsilon,
                context,
                sum,
                release,
                result,
                mean,
                variance,
            )
        });
        // SAFETY: tensors made by `new`, which are ours now; each is wrapped once.
        let [result, mean, variance] = made.map(|it| unsafe { Tensor::from_ptr(it.cast()) });
        Normalised { result, mean, variance }
    }

    /// Whether all sums since the last call went well.
    ///
    /// # Errors
    /// The first that did not.
    pub fn outcome(&self) -> Result<(), CollectiveError> {
        self.lock().failed.take().map_or(Ok(()), Err)
    }

    /// Gives up the communicator, for good. Collective.
    ///
    /// # Errors
    /// What the world reports.
    pub fn leave(&self) -> Result<(), CollectiveError> {
        let world = self.lock().world.take();
        match world {
            None => Ok(()),
            Some(World::Host(mut world)) => world.leave(),
            Some(World::Gpu(sums)) => sums.leave(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Traffic> {
        self.traffic.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for SyncBatchNorm {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SyncBatchNorm")
    }
}

extern "C" fn sum(context: *mut c_void, values: *mut f64, count: usize, on_gpu: bool) {
    // SAFETY: `context` is the `Arc` that `batch_norm` has given away, which is released later.
    let traffic = unsafe { &*context.cast::<Mutex<Traffic>>() };
    let mut traffic = traffic.lock().unwrap_or_else(PoisonError::into_inner);
    let Traffic { world, failed } = &mut *traffic;
    if failed.is_some() {
        return;
    }
    let outcome = match (world, on_gpu) {
        (None, _) => {
            Err(CollectiveError::Unsupported { what: "the world was left before".to_owned() })
        }
        (Some(World::Host(world)), false) => {
            // SAFETY: the memory of a contiguous tensor of `count` float64, which nothing else looks at during the
            // call; it has at least one element, the number of pixels or of sums.
            let values = unsafe { std::slice::from_raw_parts_mut(values, count) };
            world.all_reduce_sum(Values::F64(values))
        }
        // SAFETY: a contiguous tensor of `count` float64 on the GPU, in memory that libtorch's current stream uses and
        // no other.
        (Some(World::Gpu(sums)), true) => unsafe {
            sums.sum_within(values.addr() as u64, count, Element::F64)
        },
        (Some(_), _) => Err(CollectiveError::Unsupported {
            what: "batch statistics lie elsewhere than where they are summed".to_owned(),
        }),
    };
    *failed = outcome.err();
}

extern "C" fn release(context: *mut c_void) {
    // SAFETY: made by `Arc::into_raw` in `batch_norm`, released once, by the destructor of the C++ side's
    // counted handle.
    drop(unsafe { Arc::from_raw(context.cast_const().cast::<Mutex<Traffic>>()) });
}
