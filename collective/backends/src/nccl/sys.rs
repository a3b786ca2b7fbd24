//! The entry points of NCCL 2 and of the CUDA driver that we call, looked up by name.
//!
//! Signatures are those of `nccl.h` 2.28 and `cuda.h` 13; the names with `_v2` are what `cuda.h`
//! makes of the plain ones.
#![allow(unsafe_code)] // functions of shared libraries

use std::ffi::{c_char, c_int, c_uint, c_void};
use std::path::Path;

use libloading::Library;

/// `ncclComm_t`.
pub(super) type Communicator = *mut c_void;
/// `CUstream`, which is also `cudaStream_t`.
pub(super) type Stream = *mut c_void;
/// `CUevent`.
pub(super) type Event = *mut c_void;
/// `CUcontext`.
pub(super) type Context = *mut c_void;

/// `ncclUniqueId`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct UniqueId(pub(super) [u8; 128]);

/// Values of `ncclDataType_t`.
pub(super) const UINT8: c_int = 1;
pub(super) const UINT64: c_int = 5;
pub(super) const FLOAT16: c_int = 6;
pub(super) const FLOAT32: c_int = 7;
pub(super) const FLOAT64: c_int = 8;
pub(super) const BFLOAT16: c_int = 9;
/// `ncclSum`.
pub(super) const SUM: c_int = 0;
/// `ncclSuccess` and `CUDA_SUCCESS`.
pub(super) const SUCCESS: c_int = 0;
/// `ncclInProgress`.
pub(super) const IN_PROGRESS: c_int = 7;
/// `CUDA_ERROR_NOT_READY`.
pub(super) const NOT_READY: c_int = 600;
/// `CU_STREAM_NON_BLOCKING`.
pub(super) const NON_BLOCKING: c_uint = 1;
/// `CU_EVENT_DISABLE_TIMING`.
pub(super) const WITHOUT_TIMING: c_uint = 2;
/// `CU_EVENT_BLOCKING_SYNC`: who waits for it sleeps.
pub(super) const SLEEPING: c_uint = 1;
/// `CU_MEMHOSTREGISTER_PORTABLE`: locked for every context.
pub(super) const PORTABLE: c_uint = 1;

/// Defines a struct of function pointers and a function that finds all of them in a library. The
/// library is kept: its functions live as long as it does.
macro_rules! entry_points {
    ($(#[$doc:meta])* $name:ident {
        $($field:ident = $symbol:literal: fn($($argument:ty),*) -> $result:ty;)*
    }) => {
        $(#[$doc])*
        #[allow(non_snake_case)] // the names are the library's
        pub(super) struct $name {
            $(pub(super) $field: unsafe extern "C" fn($($argument),*) -> $result,)*
            _library: Library,
        }

        impl $name {
            /// # Safety
            /// The file at `path` must be this library, or behave as it does.
            pub(super) unsafe fn open(path: &Path) -> Result<Self, libloading::Error> {
                // SAFETY: loading runs the library's own start-up code, and the caller answers for
                // its being the library that it should be; so its functions have these signatures.
                unsafe {
                    let library = Library::new(path)?;
                    Ok(Self {
                        $($field: *library.get($symbol)?,)*
                        _library: library,
                    })
                }
            }
        }
    };
}

entry_points! {
    /// NCCL.
    Nccl {
        get_version = b"ncclGetVersion": fn(*mut c_int) -> c_int;
        get_unique_id = b"ncclGetUniqueId": fn(*mut UniqueId) -> c_int;
        init_rank = b"ncclCommInitRank": fn(*mut Communicator, c_int, UniqueId, c_int) -> c_int;
        destroy = b"ncclCommDestroy": fn(Communicator) -> c_int;
        abort = b"ncclCommAbort": fn(Communicator) -> c_int;
        async_error = b"ncclCommGetAsyncError": fn(Communicator, *mut c_int) -> c_int;
        error_string = b"ncclGetErrorString": fn(c_int) -> *const c_char;
        last_error = b"ncclGetLastError": fn(Communicator) -> *const c_char;
        all_reduce = b"ncclAllReduce":
            fn(*const c_void, *mut c_void, usize, c_int, c_int, Communicator, Stream) -> c_int;
        all_gather = b"ncclAllGather":
            fn(*const c_void, *mut c_void, usize, c_int, Communicator, Stream) -> c_int;
        send = b"ncclSend": fn(*const c_void, usize, c_int, c_int, Communicator, Stream) -> c_int;
        receive = b"ncclRecv": fn(*mut c_void, usize, c_int, c_int, Communicator, Stream) -> c_int;
        group_start = b"ncclGroupStart": fn() -> c_int;
        group_end = b"ncclGroupEnd": fn() -> c_int;
    }
}

entry_points! {
    /// The CUDA driver.
    Driver {
        init = b"cuInit": fn(c_uint) -> c_int;
        get_version = b"cuDriverGetVersion": fn(*mut c_int) -> c_int;
        device_count = b"cuDeviceGetCount": fn(*mut c_int) -> c_int;
        device_get = b"cuDeviceGet": fn(*mut c_int, c_int) -> c_int;
        device_uuid = b"cuDeviceGetUuid_v2": fn(*mut [u8; 16], c_int) -> c_int;
        retain_context = b"cuDevicePrimaryCtxRetain": fn(*mut Context, c_int) -> c_int;
        release_context = b"cuDevicePrimaryCtxRelease_v2": fn(c_int) -> c_int;
        set_context = b"cuCtxSetCurrent": fn(Context) -> c_int;
        allocate = b"cuMemAlloc_v2": fn(*mut u64, usize) -> c_int;
        free = b"cuMemFree_v2": fn(u64) -> c_int;
        to_device_async = b"cuMemcpyHtoDAsync_v2":
            fn(u64, *const c_void, usize, Stream) -> c_int;
        to_host = b"cuMemcpyDtoH_v2": fn(*mut c_void, u64, usize) -> c_int;
        register_host = b"cuMemHostRegister_v2": fn(*mut c_void, usize, c_uint) -> c_int;
        unregister_host = b"cuMemHostUnregister": fn(*mut c_void) -> c_int;
        create_stream = b"cuStreamCreate": fn(*mut Stream, c_uint) -> c_int;
        destroy_stream = b"cuStreamDestroy_v2": fn(Stream) -> c_int;
        query_stream = b"cuStreamQuery": fn(Stream) -> c_int;
        synchronise_stream = b"cuStreamSynchronize": fn(Stream) -> c_int;
        create_event = b"cuEventCreate": fn(*mut Event, c_uint) -> c_int;
        destroy_event = b"cuEventDestroy_v2": fn(Event) -> c_int;
        record_event = b"cuEventRecord": fn(Event, Stream) -> c_int;
        wait_for_event = b"cuStreamWaitEvent": fn(Stream, Event, c_uint) -> c_int;
        synchronise_event = b"cuEventSynchronize": fn(Event) -> c_int;
        error_string = b"cuGetErrorString": fn(c_int, *mut *const c_char) -> c_int;
    }
}
