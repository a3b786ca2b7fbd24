//! Batch normalisation over the images of all ranks (`--sync_bn`).

#![allow(unsafe_code)] // the shim is C++

use std::ffi::{c_char, c_void};
use std::fmt;
use std::ptr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lcsl_collective::{CollectiveError, Communicator, Values};
use tch::Tensor;

use super::ffi::{In, Out, checked_message, pointer};

unsafe extern "C" {
    fn lcsl_batch_norm_across(
        x: In,
        weight: In,
        bias: In,
        epsilon: f64,
        context: *mut c_void,
        sum: extern "C" fn(*mut c_void, *mut f64, usize),
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
    world: Option<Box<dyn Communicator>>,
    failed: Option<CollectiveError>,
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
        Self { traffic: Arc::new(Mutex::new(Traffic { world: Some(world), failed: None })) }
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
        world.map_or(Ok(()), |mut world| world.leave())
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

extern "C" fn sum(context: *mut c_void, values: *mut f64, count: usize) {
    // SAFETY: `context` is the `Arc` that `batch_norm` has given away, which is released later. `values`
    // is the memory of a contiguous tensor of `count` float64, which nothing else looks at during the
    // call; it has at least one element, the number of pixels or of sums.
    let (traffic, values) = unsafe {
        (&*context.cast::<Mutex<Traffic>>(), std::slice::from_raw_parts_mut(values, count))
    };
    let mut traffic = traffic.lock().unwrap_or_else(PoisonError::into_inner);
    let Traffic { world, failed } = &mut *traffic;
    if failed.is_none() {
        let gone = || CollectiveError::Unsupported { what: "the world was left before".to_owned() };
        let summed = world.as_mut().ok_or_else(gone);
        *failed = summed.and_then(|world| world.all_reduce_sum(Values::F64(values))).err();
    }
}

extern "C" fn release(context: *mut c_void) {
    // SAFETY: made by `Arc::into_raw` in `batch_norm`, released once, by the destructor of the C++ side's
    // counted handle.
    drop(unsafe { Arc::from_raw(context.cast_const().cast::<Mutex<Traffic>>()) });
}
