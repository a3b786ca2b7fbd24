//! How libtorch computes on a GPU, where it may choose.

#![allow(unsafe_code)] // the shim is C++

use std::ffi::c_long;

unsafe extern "C" {
    fn lcsl_set_arithmetic(tf32: bool, deterministic: bool);
    fn lcsl_arithmetic() -> u8;
    fn lcsl_cuda_version() -> c_long;
}

/// The CUDA that libtorch was made for, such as 13000 for 13.0; 0 where its half for GPUs is not loaded.
pub fn cuda_version() -> i32 {
    // SAFETY: no argument; asks the library that libtorch has brought along.
    unsafe { lcsl_cuda_version() as i32 }
}

/// What libtorch may do on a GPU. On the CPU neither changes anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arithmetic {
    /// Round the factors of convolutions and matrix products to 10 bits of mantissa. Left alone, libtorch does that in
    /// convolutions.
    pub tf32: bool,
    /// Take only algorithms that give the same bits every time, in cuDNN and in libtorch's own kernels; where there is
    /// none, libtorch warns.
    pub deterministic: bool,
}

impl Arithmetic {
    /// From now on, in the whole process.
    pub fn set(self) {
        // SAFETY: sets flags of libtorch's global context, as Python's `torch.backends` does at any time: no memory
        // depends on them. A pass that is under way may see either value, so this is called before the first.
        unsafe { lcsl_set_arithmetic(self.tf32, self.deterministic) }
    }

    /// What holds at present: TF32 where either convolutions or products may use it, deterministic where everything
    /// has to be.
    pub fn now() -> Self {
        // SAFETY: reads plain members of libtorch's global context.
        let bits = unsafe { lcsl_arithmetic() };
        Self { tf32: bits & 1 != 0, deterministic: bits & 2 != 0 }
    }
}
