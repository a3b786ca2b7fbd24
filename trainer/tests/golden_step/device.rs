//! The device of a test: the CPU, or what `LCSL_TEST_DEVICE` names, as in `cuda:0`.

use lcsl_trainer::engine::cuda;
use tch::Device;

static OPENED: std::sync::Once = std::sync::Once::new();

/// Where tensors of tests lie.
pub(crate) fn device() -> Device {
    let Some(name) = std::env::var_os("LCSL_TEST_DEVICE") else { return Device::Cpu };
    let name = name.to_string_lossy();
    if name == "cpu" {
        return Device::Cpu;
    }
    let ordinal = name.strip_prefix("cuda:").and_then(|ordinal| ordinal.parse().ok());
    let ordinal =
        ordinal.unwrap_or_else(|| panic!("LCSL_TEST_DEVICE is {name:?}, but must be as cuda:0"));
    OPENED.call_once(cuda::open);
    assert!(
        tch::Cuda::is_available(),
        "no GPU: {}",
        cuda::trouble().unwrap_or("libtorch sees none")
    );
    Device::Cuda(ordinal)
}
