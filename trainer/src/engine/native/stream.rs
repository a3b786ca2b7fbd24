//! The stream in which libtorch computes on a GPU.
//!
//! libtorch knows a current stream for each thread; left alone, it is the default stream, for which other streams may
//! have to wait, and which no graph can be made of. A backward pass computes where its forward pass did, whichever
//! thread of libtorch works on it.

#![allow(unsafe_code)] // the shim is C++

use std::ffi::{c_char, c_void};
use std::ptr;

use lcsl_backends::nccl::ComputeStream;

use super::ffi::message;

unsafe extern "C" {
    fn lcsl_enter_stream(gpu: i8, handle: *mut *mut c_void) -> *mut c_char;
    fn lcsl_current_stream(gpu: i8, handle: *mut *mut c_void) -> *mut c_char;
    fn lcsl_mark_stream(gpu: i8, mark: *mut *mut c_void) -> *mut c_char;
    fn lcsl_mark_passed(mark: *const c_void, passed: *mut bool) -> *mut c_char;
    fn lcsl_mark_delete(mark: *mut c_void);
}

/// Makes a stream on a GPU, by its ordinal, and has libtorch compute in it on this thread from now on.
///
/// # Errors
/// What libtorch says, such as where its half for GPUs is not loaded.
pub fn enter(ordinal: usize) -> Result<(), String> {
    ask(ordinal, lcsl_enter_stream).map(drop)
}

/// The stream in which libtorch computes on this thread.
///
/// # Errors
/// As for [`enter`].
pub fn current(ordinal: usize) -> Result<ComputeStream, String> {
    ask(ordinal, lcsl_current_stream)
}

fn ask(
    ordinal: usize,
    question: unsafe extern "C" fn(i8, *mut *mut c_void) -> *mut c_char,
) -> Result<ComputeStream, String> {
    let gpu = i8::try_from(ordinal).map_err(|_| format!("there is no GPU {ordinal}"))?;
    let mut handle = ptr::null_mut();
    // SAFETY: writes one pointer, where it leaves no message. libtorch makes streams in the GPU's primary context and
    // never destroys them.
    unsafe {
        match message(question(gpu, &raw mut handle)) {
            Some(text) => Err(text),
            None => Ok(ComputeStream::from_raw(handle)),
        }
    }
}

/// A place in the stream in which libtorch computes: behind what it was given before.
#[derive(Debug)]
pub struct Mark(*mut c_void);

impl Mark {
    /// At the end of what this thread's stream has been given so far.
    ///
    /// # Errors
    /// As for [`enter`].
    pub fn here(ordinal: usize) -> Result<Self, String> {
        let gpu = i8::try_from(ordinal).map_err(|_| format!("there is no GPU {ordinal}"))?;
        let mut mark = ptr::null_mut();
        // SAFETY: writes one pointer, where it leaves no message; it is this value's from here on.
        match unsafe { message(lcsl_mark_stream(gpu, &raw mut mark)) } {
            Some(text) => Err(text),
            None => Ok(Self(mark)),
        }
    }

    /// Whether the GPU has come so far.
    ///
    /// # Errors
    /// What went wrong on the GPU, in libtorch's words.
    pub fn is_passed(&self) -> Result<bool, String> {
        let mut passed = false;
        // SAFETY: made by `here`, and not deleted before drop; writes one flag.
        match unsafe { message(lcsl_mark_passed(self.0, &raw mut passed)) } {
            Some(text) => Err(text),
            None => Ok(passed),
        }
    }
}

impl Drop for Mark {
    fn drop(&mut self) {
        // SAFETY: made by `here`, deleted once.
        unsafe { lcsl_mark_delete(self.0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_gpu_libtorch_says_so() {
        for asked in [enter(0), current(0).map(drop), Mark::here(0).map(drop)] {
            let said = asked.unwrap_err();
            assert!(said.contains("CUDA") || said.contains("cuda"), "{said}");
        }
        assert_eq!(current(1000).map(drop), Err("there is no GPU 1000".to_owned()));
    }
}
