//! The libraries, and a GPU with its memory and one stream, through the CUDA driver.
#![allow(unsafe_code)] // calls into the CUDA driver

use std::ffi::{c_int, c_void};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::ptr;
use std::sync::Arc;

use lcsl_collective::CollectiveError;

use super::codes::{check_driver, check_nccl};
use super::context::{self, Context};
use super::locate;
use super::sys::{self, Driver, Nccl};

/// The oldest NCCL that is accepted, as `NCCL_VERSION_CODE` has it: 2.28, which libtorch 2.11 needs
/// too.
const VERSION_MIN: c_int = 22_800;
const VERSION_END: c_int = 30_000;

/// NCCL and the CUDA driver, loaded.
pub struct Libraries {
    pub(super) nccl: Nccl,
    pub(super) driver: Arc<Driver>,
    /// For example `2.28.9`.
    version: String,
}

impl Libraries {
    /// Finds and loads both libraries, and starts the driver.
    ///
    /// # Errors
    /// [`CollectiveError::Missing`] where one cannot be loaded, or is too old.
    pub fn load() -> Result<Arc<Self>, CollectiveError> {
        Self::load_from(&locate::candidates(), Path::new(locate::DRIVER))
    }

    /// The same from named files: the first of `nccl` that can be loaded.
    pub fn load_from(nccl: &[PathBuf], driver: &Path) -> Result<Arc<Self>, CollectiveError> {
        let driver = context::load(driver)?;
        let (nccl, path) = open_nccl(nccl)?;
        let mut code = 0;
        // SAFETY: writes one integer.
        let asked = unsafe { (nccl.get_version)(&raw mut code) };
        check_nccl(&nccl, ptr::null_mut(), "ncclGetVersion", asked)?;
        accept_version(code, &path)?;
        context::start(&driver)?;
        Ok(Arc::new(Self { nccl, driver: Arc::new(driver), version: version_text(code) }))
    }

    /// NCCL's version, for example `2.28.9`.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// How many GPUs this process sees.
    pub fn device_count(&self) -> Result<usize, CollectiveError> {
        let mut count = 0;
        // SAFETY: writes one integer.
        let code = unsafe { (self.driver.device_count)(&raw mut count) };
        check_driver(&self.driver, "cuDeviceGetCount", code)?;
        Ok(count.max(0) as usize)
    }

    /// What names the GPU of this ordinal, among those that the process sees, wherever it is seen from: as NVIDIA's
    /// own tools write it, for example `GPU-8932f937-d72c-4106-c12f-20bd9faed9f6`. A part of a GPU (MIG) has its own.
    pub fn device_uuid(&self, ordinal: usize) -> Result<String, CollectiveError> {
        let (mut device, mut uuid) = (0, [0; 16]);
        // SAFETY: the driver is started; writes one integer, and then 16 bytes.
        unsafe {
            let code = (self.driver.device_get)(&raw mut device, ordinal as c_int);
            check_driver(&self.driver, "cuDeviceGet", code)?;
            let code = (self.driver.device_uuid)(&raw mut uuid, device);
            check_driver(&self.driver, "cuDeviceGetUuid", code)?;
        }
        Ok(uuid_text(uuid))
    }
}

fn open_nccl(candidates: &[PathBuf]) -> Result<(Nccl, PathBuf), CollectiveError> {
    let mut complaints = Vec::new();
    for path in candidates {
        // SAFETY: a file of this name is NCCL; whoever puts another one there can run code in this
        // process anyway.
        match unsafe { Nccl::open(path) } {
            Ok(nccl) => return Ok((nccl, path.clone())),
            Err(error) => complaints.push(error.to_string()),
        }
    }
    Err(CollectiveError::Missing {
        what: format!("NCCL cannot be loaded: {}", complaints.join("; ")),
        hint: "install it with `pip install nvidia-nccl-cu13` beside torch, or put the folder of \
               libnccl.so.2 into LD_LIBRARY_PATH; --gpu=cpu does without",
    })
}

fn accept_version(code: c_int, path: &Path) -> Result<(), CollectiveError> {
    if (VERSION_MIN..VERSION_END).contains(&code) {
        return Ok(());
    }
    Err(CollectiveError::Missing {
        what: format!(
            "NCCL at {} is version {}, and 2.28 or a later 2.x is needed",
            path.display(),
            version_text(code)
        ),
        hint: "install it with `pip install nvidia-nccl-cu13` beside torch, and look in \
               LD_LIBRARY_PATH for an older one",
    })
}

fn uuid_text(bytes: [u8; 16]) -> String {
    let mut text = "GPU".to_owned();
    for (place, byte) in bytes.iter().enumerate() {
        let dash = if [0, 4, 6, 8, 10].contains(&place) { "-" } else { "" };
        let _ = write!(text, "{dash}{byte:02x}");
    }
    text
}

/// `22809` is 2.28.9; before 2.9 a code had one digit less.
fn version_text(code: c_int) -> String {
    if code < 10_000 {
        return format!("{}.{}.{}", code / 1000, code / 100 % 10, code % 100);
    }
    format!("{}.{}.{}", code / 10_000, code / 100 % 100, code % 100)
}

/// One GPU: its primary context, which libtorch uses too, so that both see the same memory; and a
/// stream of its own.
pub struct Device {
    libraries: Arc<Libraries>,
    context: Context,
    stream: sys::Stream,
    /// How far another stream had come when this one was to follow it.
    reached: sys::Event,
}

/// The stream in which libtorch computes: what is given to it is worked off in order, while the host goes on. It is
/// one that was created, and not the default stream, which waits for others and cannot be recorded in a graph.
#[derive(Debug, Clone, Copy)]
pub struct ComputeStream(sys::Stream);

// SAFETY: a stream may be used from any thread, once its context is current there.
unsafe impl Send for ComputeStream {}
// SAFETY: as above; the driver locks what its handles share.
unsafe impl Sync for ComputeStream {}

impl ComputeStream {
    /// The stream of this handle, a `cudaStream_t`.
    ///
    /// # Safety
    /// It must be a stream of the primary context of the GPU that it is used with, for as long as it is used.
    pub unsafe fn from_raw(handle: *mut c_void) -> Self {
        Self(handle)
    }

    /// What libraries of CUDA know it by.
    pub fn handle(self) -> *mut c_void {
        self.0
    }
}

// SAFETY: streams and events of the driver may be used from any thread, once the context is current
// there, which `enter` sees to.
unsafe impl Send for Device {}
// SAFETY: as above; the driver locks what its handles share.
unsafe impl Sync for Device {}

impl Device {
    /// The GPU of this ordinal, among those that the process sees.
    pub fn open(libraries: Arc<Libraries>, ordinal: usize) -> Result<Arc<Self>, CollectiveError> {
        let context = Context::open(libraries.driver.clone(), ordinal)?;
        let driver = &libraries.driver;
        let (mut stream, mut reached) = (ptr::null_mut(), ptr::null_mut());
        // SAFETY: the context is current on this thread; both pointers are to live locals of the type
        // that the call writes.
        unsafe {
            let code = (driver.create_stream)(&raw mut stream, sys::NON_BLOCKING);
            check_driver(driver, "cuStreamCreate", code)?;
            let code = (driver.create_event)(&raw mut reached, sys::WITHOUT_TIMING);
            check_driver(driver, "cuEventCreate", code)?;
        }
        Ok(Arc::new(Self { libraries, context, stream, reached }))
    }

    /// The libraries that this GPU is reached through.
    pub fn libraries(&self) -> &Arc<Libraries> {
        &self.libraries
    }

    pub(super) fn stream(&self) -> sys::Stream {
        self.stream
    }

    /// Its own stream, as one in which something computes.
    ///
    /// # Safety
    /// The device must live as long as the stream is used.
    pub unsafe fn compute_stream(&self) -> ComputeStream {
        ComputeStream(self.stream)
    }

    /// Makes the GPU's context current on this thread; before every other call.
    pub(super) fn enter(&self) -> Result<(), CollectiveError> {
        self.context.enter()
    }

    /// Lets this device's own stream wait for everything that `other` was given so far. The host does not wait, and
    /// `other` goes on.
    pub(super) fn follow(&self, other: ComputeStream) -> Result<(), CollectiveError> {
        let driver = &self.libraries.driver;
        // SAFETY: event and stream are this device's, whose context the caller has made current; whoever made `other`
        // vouches for it. Waiting takes the event as it stands, so it may be recorded again at once.
        unsafe {
            let code = (driver.record_event)(self.reached, other.handle());
            check_driver(driver, "cuEventRecord", code)?;
            let code = (driver.wait_for_event)(self.stream, self.reached, 0);
            check_driver(driver, "cuStreamWaitEvent", code)
        }
    }

    /// Lets `other` wait for everything that this device's own stream was given so far. The host does not wait.
    pub(super) fn lead(&self, other: ComputeStream) -> Result<(), CollectiveError> {
        let driver = &self.libraries.driver;
        // SAFETY: as in `follow`, with the streams exchanged.
        unsafe {
            let code = (driver.record_event)(self.reached, self.stream);
            check_driver(driver, "cuEventRecord", code)?;
            let code = (driver.wait_for_event)(other.handle(), self.reached, 0);
            check_driver(driver, "cuStreamWaitEvent", code)
        }
    }

    /// Whether everything that `stream` was given is done.
    pub(super) fn is_idle(&self, stream: sys::Stream) -> Result<bool, CollectiveError> {
        let driver = &self.libraries.driver;
        // SAFETY: the stream is this device's, or the caller's, who vouches for it.
        match unsafe { (driver.query_stream)(stream) } {
            sys::NOT_READY => Ok(false),
            code => check_driver(driver, "cuStreamQuery", code).map(|()| true),
        }
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        // Errors are of no use here: a process that ends after one may find the driver in any state.
        let _ = self.enter();
        let driver = &self.libraries.driver;
        // SAFETY: handles of this value alone, not used again; the context goes after them.
        unsafe {
            (driver.destroy_event)(self.reached);
            (driver.destroy_stream)(self.stream);
        }
    }
}

/// Memory of a GPU.
pub struct DeviceBuffer {
    device: Arc<Device>,
    address: u64,
    bytes: usize,
}

impl DeviceBuffer {
    /// `bytes` (at least 1) of uninitialised memory.
    pub fn new(device: Arc<Device>, bytes: usize) -> Result<Self, CollectiveError> {
        device.enter()?;
        let mut address = 0;
        let driver = &device.libraries.driver;
        // SAFETY: the context is current; writes one address.
        let code = unsafe { (driver.allocate)(&raw mut address, bytes.max(1)) };
        check_driver(driver, "cuMemAlloc", code)?;
        Ok(Self { device, address, bytes })
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Where it lies on the GPU.
    pub fn address(&self) -> u64 {
        self.address
    }

    /// Copies to its beginning, in the device's own stream: behind what that was given, and before what it will be.
    /// The bytes may be changed once this returns, unless they lie in registered memory ([`super::pinned`]).
    ///
    /// A copy outside that stream would not do: from memory that is not locked it may be over for the host, and not
    /// for the GPU, and other streams do not wait for it.
    ///
    /// # Panics
    /// When there are more bytes than it holds.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), CollectiveError> {
        assert!(bytes.len() <= self.bytes, "{} bytes into {}", bytes.len(), self.bytes);
        self.device.enter()?;
        let driver = &self.device.libraries.driver;
        let (from, stream) = (bytes.as_ptr().cast::<c_void>(), self.device.stream);
        // SAFETY: `from` is live for `bytes.len()`, and the buffer is at least as long.
        let code = unsafe { (driver.to_device_async)(self.address, from, bytes.len(), stream) };
        check_driver(driver, "cuMemcpyHtoDAsync", code)
    }

    /// Copies from its beginning, when all is done that the device's own stream was given.
    ///
    /// # Panics
    /// When more bytes are asked for than it holds.
    pub fn read(&self, bytes: &mut [u8]) -> Result<(), CollectiveError> {
        assert!(bytes.len() <= self.bytes, "{} bytes from {}", bytes.len(), self.bytes);
        self.device.enter()?;
        let driver = &self.device.libraries.driver;
        let to = bytes.as_mut_ptr().cast::<c_void>();
        // SAFETY: the stream is this device's own; `to` is live and exclusive for `bytes.len()`, and the buffer is at
        // least as long.
        unsafe {
            let code = (driver.synchronise_stream)(self.device.stream);
            check_driver(driver, "cuStreamSynchronize", code)?;
            let code = (driver.to_host)(to, self.address, bytes.len());
            check_driver(driver, "cuMemcpyDtoH", code)
        }
    }
}

impl Drop for DeviceBuffer {
    fn drop(&mut self) {
        let _ = self.device.enter(); // as in the device's own drop
        // SAFETY: the address is this value's alone, and not used again.
        unsafe { (self.device.libraries.driver.free)(self.address) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_nccl_writes_them() {
        assert_eq!(version_text(22_809), "2.28.9");
        assert_eq!(version_text(21_703), "2.17.3");
        assert_eq!(version_text(2_708), "2.7.8");
    }

    #[test]
    fn gpus_are_named_as_by_nvidias_tools() {
        let bytes: [u8; 16] = std::array::from_fn(|place| place as u8 * 17);
        assert_eq!(uuid_text(bytes), "GPU-00112233-4455-6677-8899-aabbccddeeff");
    }

    #[test]
    fn other_versions_are_refused_in_words() {
        let path = Path::new("/opt/libnccl.so.2");
        assert!(accept_version(22_809, path).is_ok());
        assert!(accept_version(23_001, path).is_ok());
        let refused = |code| accept_version(code, path).unwrap_err().to_string();
        assert_eq!(
            refused(21_703),
            "NCCL at /opt/libnccl.so.2 is version 2.17.3, and 2.28 or a later 2.x is needed"
        );
        assert!(refused(30_101).contains("version 3.1.1"));
    }

    #[test]
    fn a_machine_without_the_libraries_says_what_to_install() {
        let nowhere = Path::new("/nowhere/libcuda.so.1");
        let error = Libraries::load_from(&[], nowhere).err().unwrap();
        assert!(error.to_string().starts_with("the CUDA driver cannot be loaded: "), "{error}");
        assert!(error.hint().unwrap().contains("--gpu=cpu"));
        let error = open_nccl(&["/nowhere/libnccl.so.2".into()]).err().unwrap();
        assert!(error.to_string().starts_with("NCCL cannot be loaded: /nowhere/libnccl.so.2"));
        assert!(error.hint().unwrap().contains("pip install nvidia-nccl-cu13"));
    }
}
