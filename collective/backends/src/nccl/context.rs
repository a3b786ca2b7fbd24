//! The CUDA driver, loaded, and the primary context of a GPU: the one that libtorch uses too, so that
//! both see the same memory.
#![allow(unsafe_code)] // calls into the CUDA driver

use std::ffi::c_int;
use std::path::Path;
use std::ptr;
use std::sync::Arc;

use lcsl_collective::CollectiveError;

use super::codes::check_driver;
use super::sys::{self, Driver};

/// Loads the driver from the file at `path`.
pub(super) fn load(path: &Path) -> Result<Driver, CollectiveError> {
    // SAFETY: the name belongs to NVIDIA's driver; whoever puts another file under it on the
    // loader's path can run code in this process anyway.
    unsafe { Driver::open(path) }.map_err(|error| CollectiveError::Missing {
        what: format!("the CUDA driver cannot be loaded: {error}"),
        hint: "install NVIDIA's driver, or train on the CPU with --gpu=cpu",
    })
}

/// Starts the driver, before anything else is asked of it; once more does nothing.
pub(super) fn start(driver: &Driver) -> Result<(), CollectiveError> {
    // SAFETY: the driver's start; it may be called any number of times.
    check_driver(driver, "cuInit", unsafe { (driver.init)(0) })
}

/// The primary context of a GPU, which is kept while this lives.
pub(super) struct Context {
    driver: Arc<Driver>,
    raw: sys::Context,
    /// `CUdevice`.
    gpu: c_int,
}

// SAFETY: a context of the driver may be used from any thread, once it is current there, which
// `enter` sees to.
unsafe impl Send for Context {}
// SAFETY: as above; the driver locks what its handles share.
unsafe impl Sync for Context {}

impl Context {
    /// That of the GPU of this ordinal, among those that the process sees; current on this thread.
    pub(super) fn open(driver: Arc<Driver>, ordinal: usize) -> Result<Self, CollectiveError> {
        let (mut gpu, mut raw) = (0, ptr::null_mut());
        // SAFETY: the driver is started; both pointers are to live locals of the type that is written.
        unsafe {
            let code = (driver.device_get)(&raw mut gpu, ordinal as c_int);
            check_driver(&driver, "cuDeviceGet", code)?;
            let code = (driver.retain_context)(&raw mut raw, gpu);
            check_driver(&driver, "cuDevicePrimaryCtxRetain", code)?;
        }
        let opened = Self { driver, raw, gpu };
        opened.enter()?;
        Ok(opened)
    }

    pub(super) fn driver(&self) -> &Driver {
        &self.driver
    }

    /// Makes the context current on this thread; before every other call.
    pub(super) fn enter(&self) -> Result<(), CollectiveError> {
        // SAFETY: the context lives as long as `self`.
        let code = unsafe { (self.driver.set_context)(self.raw) };
        check_driver(&self.driver, "cuCtxSetCurrent", code)
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: retained by this value, and not used again. The code is of no use here: a process
        // that ends after an error may find the driver in any state.
        unsafe { (self.driver.release_context)(self.gpu) };
    }
}
