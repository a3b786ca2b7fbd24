//! Sums of what already lies on the GPU. The host gives them to a stream and goes on.
#![allow(unsafe_code)] // memory of a GPU, by address

use std::ffi::{c_int, c_void};

use lcsl_collective::CollectiveError;

use super::device::{ComputeStream, Device, DeviceBuffer};
use super::sys;
use super::world::NcclWorld;

/// What a device buffer holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Element {
    /// IEEE half precision.
    F16,
    /// bfloat16.
    BF16,
    /// Single precision.
    F32,
    /// Double precision.
    F64,
    /// Counts.
    U64,
}

impl Element {
    fn code(self) -> c_int {
        match self {
            Self::F16 => sys::FLOAT16,
            Self::BF16 => sys::BFLOAT16,
            Self::F32 => sys::FLOAT32,
            Self::F64 => sys::FLOAT64,
            Self::U64 => sys::UINT64,
        }
    }
}

impl NcclWorld {
    /// Sums `count` elements at `pointer` on the GPU over all ranks, in place, behind everything that `stream` was
    /// given before: in this world's own stream, so that `stream` goes on beside it. Returns at once; [`Self::wait`]
    /// tells when it is done, and whether it went well.
    ///
    /// # Safety
    /// `pointer` must hold `count` elements in memory of this rank's GPU, which lives, and which nothing touches that
    /// `stream` is given after this call, until `wait` has returned or [`Self::rejoin`] was called.
    pub unsafe fn sum_behind(
        &mut self,
        stream: ComputeStream,
        pointer: u64,
        count: usize,
        element: Element,
    ) -> Result<(), CollectiveError> {
        let ordered = self.device.enter().and_then(|()| self.device.follow(stream));
        ordered.inspect_err(|_| self.abort())?;
        // SAFETY: the caller vouches for the memory; the stream is this world's own.
        unsafe { self.sum_into(self.device.stream(), pointer, count, element) }
    }

    /// What `stream` is given after this call finds every sum that was given before it. Returns at once.
    ///
    /// # Errors
    /// What the driver reports. The world is gone then.
    pub fn rejoin(&mut self, stream: ComputeStream) -> Result<(), CollectiveError> {
        let ordered = self.device.enter().and_then(|()| self.device.lead(stream));
        ordered.inspect_err(|_| self.abort())
    }

    /// Sums as [`Self::sum_behind`] does, but in `stream` itself: what that is given after this call finds the sum.
    /// Returns at once. Who never calls [`Self::wait`] hears of what went wrong from a later call.
    ///
    /// # Safety
    /// `pointer` must hold `count` elements in memory of this rank's GPU, which only `stream` touches until it has
    /// come so far.
    pub unsafe fn sum_within(
        &mut self,
        stream: ComputeStream,
        pointer: u64,
        count: usize,
        element: Element,
    ) -> Result<(), CollectiveError> {
        self.check_async().inspect_err(|_| self.abort())?;
        // SAFETY: the caller vouches for memory and stream.
        unsafe { self.sum_into(stream.handle(), pointer, count, element) }
    }

    /// # Safety
    /// `pointer` must hold `count` elements in memory of this rank's GPU until `stream`, which is one of its primary
    /// context, has come so far.
    unsafe fn sum_into(
        &mut self,
        stream: sys::Stream,
        pointer: u64,
        count: usize,
        element: Element,
    ) -> Result<(), CollectiveError> {
        let (memory, element) = (pointer as *mut c_void, element.code());
        self.enqueue("ncclAllReduce", |nccl, communicator| {
            // SAFETY: the caller vouches for memory and stream; the communicator is live.
            unsafe {
                (nccl.all_reduce)(memory, memory, count, element, sys::SUM, communicator, stream)
            }
        })
    }

    /// Sums `count` float32 of `buffer`, and waits for the sum: behind the stream of `device`, or `bare` of it.
    pub(crate) fn time_sum(
        &mut self,
        device: &Device,
        buffer: &DeviceBuffer,
        count: usize,
        bare: bool,
    ) -> Result<(), CollectiveError> {
        assert!(count * size_of::<f32>() <= buffer.bytes(), "{count} elements of a shorter buffer");
        // SAFETY: the buffer holds the elements, and the caller has it until the wait is over; the device lives as
        // long.
        unsafe {
            if bare {
                let stream = self.device.stream();
                self.sum_into(stream, buffer.address(), count, Element::F32)?;
            } else {
                let stream = device.compute_stream();
                self.sum_behind(stream, buffer.address(), count, Element::F32)?;
            }
        }
        self.wait()
    }
}
