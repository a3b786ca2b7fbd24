//! The NCCL world on machines without a card: real processes under mpirun, and a test double of NCCL
//! and of the CUDA driver, which is compiled here and found through `LD_LIBRARY_PATH` as the real
//! ones are. With `LCSL_TEST_DEVICE=cuda:0` the real ones are used, by one rank.

#[path = "../laws/laws.rs"]
mod laws;
#[path = "../support/mpirun.rs"]
mod mpirun;
mod order;
mod pinned;

use std::path::Path;
use std::process::Command;

use lcsl_backends::nccl::{Libraries, NcclWorld};
use lcsl_backends::{MpiWorld, measure};
use lcsl_collective::{CollectiveError, Communicator, Values};
use libtest_mimic::{Arguments, Failed, Trial};

use laws::LAWS;
use mpirun::mpirun;

/// Tells the ranks that mpirun starts what to do.
const CHILD: &str = "LCSL_NCCL_CHILD";

/// Bytes at once through the "GPU": small enough that the laws cross the limit.
const SMALL_PIECE: usize = 64;

fn main() {
    if let Ok(part) = std::env::var(CHILD) {
        child(&part);
    }
    let arguments = Arguments::from_args();
    let mut trials = Vec::new();
    if std::env::var_os("LCSL_TEST_DEVICE").is_some() {
        let real = || laws_hold(Path::new(""), 1);
        trials.push(Trial::test("all laws, on a card", real));
        trials.push(Trial::test("sums wait for what was computed before them, on a card", || {
            let (printed, complaints) = under_mpirun(Path::new(""), "order", &[], 1)?;
            let in_order = printed.lines().any(|line| line == "rank 0 heard: in order");
            if in_order { Ok(()) } else { Err(format!("{printed}{complaints}").into()) }
        }));
        libtest_mimic::run(&arguments, trials).exit();
    }
    let folder = tempfile::tempdir().expect("a folder for the double");
    compile(folder.path());
    for size in [1, 2, 3, 4, 7] {
        let label = format!("all laws, on {size} doubles of a GPU");
        let double = folder.path().to_owned();
        trials.push(Trial::test(label, move || laws_hold(&double, size)));
    }
    for case in CASES {
        let double = folder.path().to_owned();
        trials.push(Trial::test(case.name, move || case.is_heard(&double)));
    }
    libtest_mimic::run(&arguments, trials).exit();
}

/// Builds the double of each library under the name of the real one.
fn compile(folder: &Path) {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/double");
    for (source, library) in [("cuda.c", "libcuda.so.1"), ("nccl.c", "libnccl.so.2")] {
        let status = Command::new("cc")
            .args(["-std=c11", "-D_DEFAULT_SOURCE", "-O1", "-Wall", "-Wextra", "-Werror"])
            .args(["-shared", "-fPIC", "-o"])
            .args([folder.join(library), sources.join(source)])
            .args(["-ldl", "-lrt"])
            .status();
        assert!(status.is_ok_and(|status| status.success()), "{source} does not compile");
    }
}

/// A world that goes wrong in a way that the double was asked for.
#[derive(Clone, Copy)]
struct Case {
    name: &'static str,
    /// What the ranks do: see [`child`].
    part: &'static str,
    variables: &'static [(&'static str, &'static str)],
    /// What each of the four ranks must print, by rank.
    heard: [&'static str; 4],
    /// How many of them abort their communicator.
    aborts: usize,
}

const OLD: &str = "NCCL at libnccl.so.2 is version 2.17.3, and 2.28 or a later 2.x is needed";
const MIXED: &str =
    "ranks disagree on the version of NCCL: rank 2 has 2.29.1; ranks 0-1 and 3 have 2.28.9";
const REMOTE: &str = "a collective on the GPU failed in NCCL: remote process exited or there was a \
                      network error (the double was asked to fail), then: has left";
const HERE: &str = "a collective on the GPU failed in NCCL: unhandled system error (the double was \
                    asked to fail), then: has left";
const NO_CARD: &str = "cuDeviceGet failed in the CUDA driver: invalid device ordinal";

const REFUSED: &str = "cuMemHostRegister failed in the CUDA driver: out of memory";
const TWICE: &str = "cuMemHostRegister failed in the CUDA driver: part or all of the requested memory \
                     range is already mapped";
const NO_PAGE: &str = "cuMemHostRegister failed in the CUDA driver: invalid argument";

const LATE: &str = "a collective on the GPU failed in NCCL: not over after 1 s: another rank does not take \
                    part, or the GPU is stuck";

const CASES: [Case; 15] = [
    Case {
        name: "an old version is refused in words",
        part: "join",
        variables: &[("DOUBLE_VERSION", "21703")],
        heard: [OLD; 4],
        aborts: 0,
    },
    Case {
        name: "one rank with another version is named",
        part: "join",
        variables: &[("DOUBLE_VERSION_2", "22901")],
        heard: [MIXED; 4],
        aborts: 0,
    },
    Case {
        name: "a GPU that is not there is named",
        part: "join without a card",
        variables: &[],
        heard: [NO_CARD; 4],
        aborts: 0,
    },
    Case {
        name: "an error on the way reaches every rank, and ends the world",
        part: "sums",
        variables: &[("DOUBLE_FAIL", "1:3")],
        heard: [REMOTE, HERE, REMOTE, REMOTE],
        aborts: 4,
    },
    Case {
        name: "a world that is dropped is aborted, and nobody waits",
        part: "drop",
        variables: &[],
        heard: ["dropped"; 4],
        aborts: 4,
    },
    Case {
        name: "work in a stream is done in order, also without waiting in between",
        part: "order",
        variables: &[],
        heard: ["in order"; 4],
        aborts: 0,
    },
    Case {
        name: "sums wait for what was computed before them, and not for what follows",
        part: "overlap",
        variables: &[],
        heard: ["overlapped"; 4],
        aborts: 0,
    },
    Case {
        name: "the stream that computes goes on behind sums, and the host waits for none",
        part: "rejoined",
        variables: &[],
        heard: ["found"; 4],
        aborts: 0,
    },
    Case {
        name: "sums are timed beside bare ones",
        part: "timed",
        variables: &[],
        heard: ["timed"; 4],
        aborts: 4,
    },
    Case {
        name: "a sum that waits for nothing would show",
        part: "tied to nothing",
        variables: &[],
        heard: ["shown"; 4],
        aborts: 0,
    },
    Case {
        name: "a sum in which a rank takes no part ends in time",
        part: "patience",
        variables: &[],
        heard: [LATE, LATE, LATE, "nobody"],
        aborts: 4,
    },
    Case {
        name: "memory that a GPU reads by itself is read before it is written again",
        part: "pinned",
        variables: &[],
        heard: ["read in time"; 4],
        aborts: 4,
    },
    Case {
        name: "memory beyond the limit is refused, and what was locked before is let go",
        part: "pinned",
        variables: &[("DOUBLE_PINS", "1")],
        heard: [REFUSED; 4],
        aborts: 4,
    },
    Case {
        name: "memory is not locked twice",
        part: "pinned twice",
        variables: &[],
        heard: [TWICE; 4],
        aborts: 4,
    },
    Case {
        name: "memory that is not whole pages is refused",
        part: "pinned in part",
        variables: &[],
        heard: [NO_PAGE; 4],
        aborts: 4,
    },
];

impl Case {
    fn is_heard(&self, double: &Path) -> Result<(), Failed> {
        let (printed, complaints) = under_mpirun(double, self.part, self.variables, 4)?;
        let fail = |what: String| Err(format!("{what}\n{printed}{complaints}").into());
        for (rank, heard) in self.heard.iter().enumerate() {
            let expected = format!("rank {rank} heard: {heard}");
            if !printed.lines().any(|line| line == expected) {
                return fail(format!("not heard: {expected}"));
            }
        }
        if let Some(line) = complaints.lines().find(|line| line.contains("registered")) {
            return fail(format!("memory was locked for too long, or not long enough: {line}"));
        }
        let aborts = complaints.lines().filter(|line| line.contains("aborts")).count();
        if aborts == self.aborts { Ok(()) } else { fail(format!("{aborts} aborts")) }
    }
}

fn laws_hold(double: &Path, size: usize) -> Result<(), Failed> {
    let (printed, complaints) = under_mpirun(double, "laws", &[], size)?;
    let held = format!("heard: {} laws hold", 2 * LAWS.len());
    let ranks = printed.lines().filter(|line| line.ends_with(&held)).count();
    if ranks == size && !complaints.contains("aborts") {
        return Ok(());
    }
    Err(format!("{ranks} of {size} ranks finished:\n{printed}{complaints}").into())
}

fn under_mpirun(
    double: &Path,
    part: &str,
    variables: &[(&str, &str)],
    size: usize,
) -> Result<(String, String), Failed> {
    let inherited = std::env::var("LD_LIBRARY_PATH").unwrap_or_default();
    let output = mpirun()
        .args(["-np", &size.to_string()])
        .arg(std::env::current_exe()?)
        .env(CHILD, part)
        .env("LD_LIBRARY_PATH", format!("{}:{inherited}", double.display()))
        .envs(variables.iter().copied())
        .output()?;
    let [printed, complaints] =
        [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    Ok((printed, complaints))
}

/// One rank: does its part, says what came of it, and leaves MPI in good order.
fn child(part: &str) -> ! {
    let ended = MpiWorld::init().and_then(|mut mpi| {
        let heard = play(part, &mut mpi);
        println!("rank {} heard: {}", mpi.rank(), heard.unwrap_or_else(|error| error));
        mpi.leave()
    });
    if let Err(error) = ended {
        eprintln!("{error}");
        std::process::exit(1);
    }
    std::process::exit(0);
}

fn play(part: &str, mpi: &mut MpiWorld) -> Result<String, String> {
    let words = |error: CollectiveError| error.to_string();
    let libraries = Libraries::load().map_err(words)?;
    let gpus = libraries.device_count().map_err(words)?;
    let ordinal = if part == "join without a card" { gpus } else { mpi.rank() % gpus };
    let mut world = NcclWorld::join(&libraries, mpi, ordinal).map_err(words)?;
    match part {
        "laws" => {
            let mut small =
                NcclWorld::join(&libraries, mpi, ordinal).map_err(words)?.in_pieces_of(SMALL_PIECE);
            for (name, law) in LAWS {
                law(&mut world).map_err(|why| format!("{name}: {why}"))?;
                law(&mut small).map_err(|why| format!("{name}, in pieces: {why}"))?;
            }
            small.leave().map_err(words)?;
            world.leave().map_err(words)?;
            Ok(format!("{} laws hold", 2 * LAWS.len()))
        }
        "sums" => {
            for _ in 0..5 {
                if let Err(error) = world.all_reduce_sum(Values::F32(&mut [1.0; 40])) {
                    let after = world.barrier().map_err(words).err().unwrap_or_default();
                    let left = if after.contains("has left its world") { "has left" } else { "?" };
                    return Err(format!("{error}, then: {left}"));
                }
            }
            Ok("nothing went wrong".to_owned())
        }
        "drop" => {
            drop(world);
            Ok("dropped".to_owned())
        }
        "order" => {
            order::is_kept(&libraries, &mut world, ordinal)?;
            world.leave().map_err(words)?;
            Ok("in order".to_owned())
        }
        "overlap" => {
            order::overlaps(&libraries, &mut world, ordinal)?;
            world.leave().map_err(words)?;
            Ok("overlapped".to_owned())
        }
        "rejoined" => {
            order::are_found(&libraries, &mut world, ordinal)?;
            world.leave().map_err(words)?;
            Ok("found".to_owned())
        }
        "tied to nothing" => {
            order::would_show(&libraries, &mut world, ordinal)?;
            world.leave().map_err(words)?;
            Ok("shown".to_owned())
        }
        "timed" => {
            let times =
                measure::all_reduce_on_gpus(mpi, &libraries, ordinal, 1000, 3).map_err(words)?;
            if times.seconds > 0.0 && times.bare_seconds > 0.0 {
                Ok("timed".to_owned())
            } else {
                Err(format!("{times:?}"))
            }
        }
        "patience" => order::patience_ends(world),
        "pinned" => pinned::is_read_in_time(&libraries, ordinal),
        "pinned twice" => pinned::is_locked_once(&libraries, ordinal),
        "pinned in part" => pinned::is_whole_pages(&libraries, ordinal),
        _ => Err(format!("joined, and no part is called {part}")),
    }
}
