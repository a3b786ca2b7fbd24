//! Return codes of NCCL and of the CUDA driver, in the libraries' own words.
#![allow(unsafe_code)] // the words are strings of C libraries

use std::ffi::{CStr, c_char, c_int};
use std::ptr;

use lcsl_collective::CollectiveError;

use super::sys::{Communicator, Driver, Nccl, SUCCESS};

/// An error unless `code` is success. `communicator` may be null.
pub(super) fn check_nccl(
    nccl: &Nccl,
    communicator: Communicator,
    operation: &'static str,
    code: c_int,
) -> Result<(), CollectiveError> {
    if code == SUCCESS {
        return Ok(());
    }
    // SAFETY: both return strings that live as long as the library, or null; the communicator is
    // live or null, which NCCL accepts here.
    let (what, detail) =
        unsafe { (words((nccl.error_string)(code)), words((nccl.last_error)(communicator))) };
    let message = match detail.as_deref() {
        Some(detail) if !detail.is_empty() => {
            format!("{} ({detail})", what.unwrap_or_else(|| format!("code {code}")))
        }
        _ => what.unwrap_or_else(|| format!("code {code}")),
    };
    Err(CollectiveError::Library { operation, library: "NCCL", message })
}

/// An error unless `code` is success.
pub(super) fn check_driver(
    driver: &Driver,
    operation: &'static str,
    code: c_int,
) -> Result<(), CollectiveError> {
    if code == SUCCESS {
        return Ok(());
    }
    let mut text = ptr::null();
    // SAFETY: writes one pointer, to a string that lives as long as the library, or null.
    let message = unsafe {
        (driver.error_string)(code, &raw mut text);
        words(text)
    };
    let message = message.unwrap_or_else(|| format!("code {code}"));
    Err(CollectiveError::Library { operation, library: "the CUDA driver", message })
}

/// # Safety
/// `text` must be null or a C string.
unsafe fn words(text: *const c_char) -> Option<String> {
    // SAFETY: not null, so a C string by contract; it is copied at once.
    (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned())
}
