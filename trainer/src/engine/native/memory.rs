//! What becomes of memory that tensors leave behind, and how much they have had.

#![allow(unsafe_code)] // the shim is C++

use std::ffi::c_char;

use super::ffi::message;

unsafe extern "C" {
    fn lcsl_keep_freed_memory() -> bool;
    fn lcsl_peak_gpu_memory(gpu: i8, bytes: *mut u64) -> *mut c_char;
}

/// Lets the allocator keep memory that was freed instead of giving it back to the system: a step
/// frees and takes the same hundred megabytes again, and each page given back costs a page fault
/// when it returns. Whether the allocator agreed.
pub fn keep_freed_memory() -> bool {
    // SAFETY: no argument; mallopt takes its own lock.
    unsafe { lcsl_keep_freed_memory() }
}

/// The most bytes that tensors of this process had at a time on a GPU that it computes on.
///
/// # Errors
/// What libtorch says.
pub fn peak_gpu_memory(ordinal: usize) -> Result<u64, String> {
    let gpu = i8::try_from(ordinal).map_err(|_| format!("there is no GPU {ordinal}"))?;
    let mut bytes = 0;
    // SAFETY: writes one number, where it leaves no message.
    unsafe { message(lcsl_peak_gpu_memory(gpu, &raw mut bytes)) }.map_or(Ok(bytes), Err)
}
