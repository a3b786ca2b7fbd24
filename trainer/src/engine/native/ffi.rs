//! How tensors and messages cross the border to C++.
//!
//! The C++ side takes and gives pointers to `at::Tensor`, which is what a [`Tensor`] holds, and turns
//! exceptions into messages.

#![allow(unsafe_code)] // messages are C strings

use std::ffi::{CStr, c_char, c_void};

use tch::Tensor;

/// A pointer to an `at::Tensor` that the callee only reads.
pub(super) type In = *const c_void;
/// Where the callee leaves a new `at::Tensor` for the caller.
pub(super) type Out = *mut *mut c_void;

unsafe extern "C" {
    fn lcsl_release_message(message: *mut c_char);
}

/// The `at::Tensor` inside, for as long as `tensor` is borrowed.
pub(super) fn pointer(tensor: &Tensor) -> In {
    tensor.as_ptr().cast()
}

/// What a message says, which is released; none where all went well.
///
/// # Safety
/// It must be null or a message of the shim, given to this once.
pub(super) unsafe fn message(message: *mut c_char) -> Option<String> {
    // SAFETY: a message is a C string made by `strdup`, released once.
    (!message.is_null()).then(|| unsafe {
        let text = CStr::from_ptr(message).to_string_lossy().into_owned();
        lcsl_release_message(message);
        text
    })
}

/// Ends with a panic if the callee left a message.
pub(super) fn checked_message(left: *mut c_char) {
    // SAFETY: what a function of the shim has just returned.
    if let Some(text) = unsafe { message(left) } {
        panic!("the shim failed: {text}");
    }
}
