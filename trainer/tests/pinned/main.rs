//! Batches that a GPU reads by itself, under a test double of the CUDA driver that reads as late as it
//! may: whoever lets a slot be filled again before it was read trains on other images than these.
//!
//! Each part runs in a process of its own, because the double says at its end what is wrong with it.
#![allow(unsafe_code)] // memory that a GPU reads by itself

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use lcsl_backends::nccl::{Device, DeviceBuffer, Libraries, Reader};
use lcsl_data::batch::Piece;
use lcsl_data::loader::{
    CorruptPolicy, ImageEncoding, Loader, LoaderOptions, MemorySource, PinMemory, View,
};
use lcsl_data::sampler::EpochOrder;
use lcsl_trainer::engine::data::pinned::Pinner;
use libtest_mimic::{Arguments, Failed, Trial};

/// Tells a process which part to play, and where the double lies.
const CHILD: &str = "LCSL_PINNED_CHILD";
const FOLDER: &str = "LCSL_PINNED_FOLDER";

const SIDE: usize = 8;
const IMAGE: usize = SIDE * SIDE * 3;
const IMAGES: u64 = 50;
const BATCH: u64 = 11;
const AHEAD: usize = 2;
/// More than the copies that the double can put off.
const BATCHES: usize = 300;
/// As in a run: one for training, one for each evaluation.
const LOADERS: usize = 3;

/// What a process plays, the double's limit on registered memory, and what must be heard.
const PARTS: [(&str, &str, &str, &str, usize); 4] = [
    ("every batch arrives as it was decoded", "all", "64", "900 of 900 batches read", 0),
    ("a loader that ends early waits for the copy", "early", "64", "3 of 3 batches read", 0),
    // Slots take turns, so a third of the batches lies in the one that was not refused.
    ("where some slots are refused, the others are used", "first", "1", "of 300 batches read", 1),
    ("where all are refused, that is said once", "all", "0", "0 of 900 batches read", 1),
];

fn main() {
    if let Ok(part) = std::env::var(CHILD) {
        tracing_subscriber::fmt().with_ansi(false).init();
        println!("heard: {}", play(&part).unwrap_or_else(|error| error));
        return;
    }
    let folder = tempfile::tempdir().expect("a folder for the double");
    compile(folder.path());
    let mut trials = vec![Trial::test("the CPU needs nothing of this", || {
        Pinner::of(tch::Device::Cpu).map_or(Ok(()), |_| Err("memory is locked for it".into()))
    })];
    for (name, part, limit, heard, warnings) in PARTS {
        let double = folder.path().to_owned();
        trials.push(Trial::test(name, move || is_heard(&double, part, limit, heard, warnings)));
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

/// Builds the double of each library under the name of the real one.
fn compile(folder: &Path) {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("../collective/backends/tests/double");
    for (source, library) in [("cuda.c", "libcuda.so.1"), ("nccl.c", "libnccl.so.2")] {
        let status = Command::new("cc")
            .args(["-std=c11", "-D_DEFAULT_SOURCE", "-O1", "-shared", "-fPIC", "-o"])
            .args([folder.join(library), sources.join(source)])
            .args(["-ldl", "-lrt", "-pthread"])
            .status();
        assert!(status.is_ok_and(|status| status.success()), "{source} does not compile");
    }
}

fn is_heard(
    folder: &Path,
    part: &str,
    limit: &str,
    heard: &str,
    warnings: usize,
) -> Result<(), Failed> {
    let output = Command::new(std::env::current_exe()?)
        .envs([(CHILD, part), ("DOUBLE_PINS", limit)])
        .env(FOLDER, folder)
        .output()?;
    let [printed, complaints] =
        [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let warned = printed.lines().filter(|line| line.contains("WARN")).count();
    let named = printed.contains("cuMemHostRegister failed in the CUDA driver: out of memory");
    let well = output.status.success() && !complaints.contains("double:");
    let said = printed.lines().any(|line| line.starts_with("heard: ") && line.ends_with(heard));
    if well && said && warned == warnings && named == (warnings > 0) {
        return Ok(());
    }
    Err(format!("expected {heard:?} and {warnings} warnings:\n{printed}{complaints}").into())
}

/// A GPU of the double, and what knows the memory that it reads.
struct Gpu {
    device: Arc<Device>,
    pinner: Arc<Pinner>,
}

fn play(part: &str) -> Result<String, String> {
    let folder = PathBuf::from(std::env::var_os(FOLDER).ok_or("no folder")?);
    let driver = folder.join("libcuda.so.1");
    let words = |error: lcsl_collective::CollectiveError| error.to_string();
    let libraries = Libraries::load_from(&[folder.join("libnccl.so.2")], &driver).map_err(words)?;
    let device = Device::open(libraries, 0).map_err(words)?;
    // SAFETY: the device is dropped at the end of this process's part.
    let stream = unsafe { device.compute_stream() };
    let pinner = Pinner::with(Reader::open_from(&driver, 0, stream).map_err(words)?);
    let gpu = Gpu { device, pinner };
    let (loaders, batches) = match part {
        "all" => (LOADERS, BATCHES),
        "first" => (1, BATCHES),
        "early" => (LOADERS, 1),
        _ => return Err(format!("no part is called {part}")),
    };
    let mut read = 0;
    for _ in 0..loaders {
        read += pass(&gpu, batches).map_err(words)??;
    }
    let all = loaders * batches;
    if part == "first" && (read == 0 || read == all) {
        return Err(format!("{read} batches were read from one slot of {}", AHEAD + 1));
    }
    Ok(format!("{read} of {all} batches read"))
}

/// Sends some batches of a loader to the GPU, ends the loader, and only then looks at what has arrived.
/// Returns how many the GPU has read by itself.
fn pass(
    gpu: &Gpu,
    batches: usize,
) -> Result<Result<usize, String>, lcsl_collective::CollectiveError> {
    let (mut loader, mut expected) = (start(Some(gpu.pinner.clone() as _)), start(None));
    let (mut arrived, mut read) = (Vec::new(), 0);
    for _ in 0..batches {
        let loaded = loader.next_batch().expect("no end").expect("good images");
        let pixels = &loaded.batch.pixels;
        let mut buffer = DeviceBuffer::new(gpu.device.clone(), pixels.len())?;
        // SAFETY: the buffer is as long as the batch, and nothing else uses it.
        if unsafe { gpu.pinner.upload_to(pixels, buffer.address()) } {
            read += 1;
        } else {
            buffer.write(pixels)?;
        }
        arrived.push(buffer);
    }
    drop(loader);
    for (number, buffer) in arrived.iter().enumerate() {
        let pixels = &expected.next_batch().expect("no end").expect("good images").batch.pixels;
        let mut bytes = vec![0; pixels.len()];
        buffer.read(&mut bytes)?;
        if bytes != pixels[..] {
            return Ok(Err(format!("batch {number} is another one on the GPU")));
        }
    }
    Ok(Ok(read))
}

/// A loader without end, of images of one colour each.
fn start(pin: Option<Arc<dyn PinMemory>>) -> Loader {
    let size = ImageEncoding::Rgb { width: SIDE as u32, height: SIDE as u32 };
    let image = |i| (size, vec![i as u8 + 1; IMAGE], i as u32);
    let requests = (0_u64..).map(|batch| {
        let first = batch * 7 % (IMAGES - BATCH);
        Piece { epoch: batch, positions: first..first + BATCH }
    });
    Loader::start(
        Box::new(MemorySource { images: (0..IMAGES).map(image).collect() }),
        None,
        Box::new(|epoch| EpochOrder::random(IMAGES, 1, epoch)),
        Box::new(requests),
        LoaderOptions {
            threads: 2,
            ahead: AHEAD,
            batch_images: BATCH as usize,
            pin,
            seed: 1,
            view: View::evaluation(SIDE),
            corrupt_policy: CorruptPolicy::Fail,
        },
    )
}
