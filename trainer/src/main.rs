//! `lcsl-rank`: one process of a run. `lcsl` starts it, through mpirun when there are several; it
//! also runs by hand.

use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::OnceLock;
use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum};
use lcsl_backends::{MpiWorld, measure};
use lcsl_collective::control::{
    ADDRESS_VARIABLE, Control, Failure, FromRank, Hello, SECRET_VARIABLE,
};
use lcsl_collective::solo::Solo;
use lcsl_collective::{Checked, CollectiveError, Communicator};
use lcsl_config::{Devices, Machine, RunConfig};
use lcsl_run_dir::exit::{BAD_DATA, BUG, DONE, RANK_FAILED, STOPPED, USAGE};
use lcsl_trainer::engine::inspect::{self, InspectError, Question, Split};
use lcsl_trainer::engine::run::{self, Run};
use lcsl_trainer::engine::train::{Ending, TrainError};
use lcsl_trainer::engine::{bench, cuda, failure};
use lcsl_trainer::last_words;
use lcsl_trainer::preflight;
use lcsl_trainer::run_dir::RunDir;
use lcsl_trainer::run_dir::durable::{DiskContext, DiskError};

/// One process of a run: libtorch on one device.
#[derive(Parser)]
#[command(name = "lcsl-rank", version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Train as `RUN_DIR/config.toml` says, together with the ranks that were started beside this
    /// one.
    Train {
        /// Directory of the run.
        run_dir: PathBuf,
    },
    /// Measure a run's selected model and print the figures as JSON.
    Eval {
        /// Directory of the run.
        run_dir: PathBuf,
        /// Which images.
        #[arg(long, value_enum, default_value = "test")]
        split: SplitName,
        /// Average logits over the image and its mirror image.
        #[arg(long, action = clap::ArgAction::Set, default_value_t = true)]
        tta: bool,
        /// Normalise the classifier's rows with this exponent first.
        #[arg(long)]
        tau_norm: Option<f64>,
        /// Write what the model says of each image to this file, as CSV.
        #[arg(long)]
        predictions: Option<PathBuf>,
    },
    /// Write a run's selected model as safetensors.
    Export {
        /// Directory of the run.
        run_dir: PathBuf,
        /// File to write.
        out: PathBuf,
        /// Write the labelling copy, whose classifier rows have norm 1.
        #[arg(long)]
        teacher: bool,
    },
    /// Time training steps, together with the ranks that were started beside this one, and print the
    /// figures as JSON.
    BenchStep {
        /// How many steps.
        #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
        steps: u64,
        /// Wait so many milliseconds before each sum over ranks.
        #[arg(long, default_value_t = 0)]
        delay_ms: u64,
        /// Of which run: flags as for `lcsl train`.
        #[arg(last = true)]
        flags: Vec<OsString>,
    },
    /// Time sums over all ranks that mpirun has started beside this one, and print the figures as
    /// JSON.
    BenchAllreduce {
        /// Size of the sum in MiB of float32.
        #[arg(long)]
        mib: usize,
        /// How many sums are timed.
        #[arg(long)]
        repeats: usize,
    },
}

#[derive(Clone, Copy, ValueEnum)]
enum SplitName {
    Test,
    Val,
}

/// How long a rank outlives its launcher: enough for a checkpoint's rename, too short to be in
/// anyone's way.
const ORPHAN_GRACE: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    cuda::open();
    let arguments = Arguments::parse();
    report_panics();
    // A log on a full disk must not panic over its own complaints.
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .log_internal_errors(false)
        .init();
    match arguments.command {
        Command::Train { run_dir } => train(&RunDir::at(run_dir)),
        Command::Eval { run_dir, split, tta, tau_norm, predictions } => {
            let split = match split {
                SplitName::Test => Split::Test,
                SplitName::Val => Split::Validation,
            };
            let predictions = predictions.as_deref();
            let question = Question { split, mirrored: tta, tau: tau_norm, predictions };
            eval(&RunDir::at(run_dir), question)
        }
        Command::Export { run_dir, out, teacher } => export(&RunDir::at(run_dir), &out, teacher),
        Command::BenchStep { steps, delay_ms, flags } => {
            bench_step(steps, Duration::from_millis(delay_ms), &flags)
        }
        Command::BenchAllreduce { mib, repeats } => match bench_allreduce(mib, repeats) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => refuse(&error, None, RANK_FAILED),
        },
    }
}

fn eval(run_dir: &RunDir, question: Question<'_>) -> ExitCode {
    let config = match prepare(run_dir) {
        Ok(config) => config,
        Err(code) => return code,
    };
    let device = match run::device(&config, 0) {
        Ok(device) => device,
        Err(error) => return refuse(&error, failure::of_training(&error).hint, USAGE),
    };
    match inspect::eval(run_dir, &config, device, question) {
        Ok(figures) => match serde_json::to_string_pretty(&figures) {
            Ok(text) => {
                println!("{text}");
                ExitCode::SUCCESS
            }
            Err(error) => refuse(&error, None, BUG),
        },
        Err(error) => explain(&error),
    }
}

fn export(run_dir: &RunDir, out: &Path, teacher: bool) -> ExitCode {
    let exported = prepare(run_dir).map(|config| inspect::export(run_dir, &config, out, teacher));
    match exported {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(error)) => explain(&error),
        Err(code) => code,
    }
}

fn bench_step(steps: u64, delay: Duration, flags: &[OsString]) -> ExitCode {
    let config = match lcsl_config::parse_train(flags, &Machine { cores: 1, gpus: None }) {
        Ok(command) => command.config,
        Err(stop) => return refuse(&stop, None, USAGE),
    };
    run::set_up_libtorch(config.run.threads);
    let measured =
        join_world(&config).map_err(anyhow::Error::from).and_then(|(world, local_rank)| {
            let is_first = world.rank() == 0;
            let device = run::device(&config, local_rank)?;
            Ok((is_first, bench::step(&config, world, device, steps, delay)?))
        });
    match measured.and_then(|(first, figures)| Ok((first, serde_json::to_string(&figures)?))) {
        Ok((true, text)) => println!("{text}"),
        Ok((false, _)) => {}
        Err(error) => return refuse(&error, None, RANK_FAILED),
    }
    ExitCode::SUCCESS
}

fn bench_allreduce(mib: usize, repeats: usize) -> Result<(), CollectiveError> {
    let mut world = MpiWorld::init()?;
    let times = measure::all_reduce(&mut world, (mib << 20) / size_of::<f32>(), repeats)?;
    if world.rank() == 0 {
        let figures = serde_json::json!({
            "seconds": times.seconds,
            "bare_seconds": times.bare_seconds,
            "ratio": times.ratio(),
            "mib": mib,
            "world_size": world.world_size(),
            "repeats": repeats,
        });
        println!("{figures}");
    }
    world.leave()
}

fn train(run_dir: &RunDir) -> ExitCode {
    let config = match prepare(run_dir) {
        Ok(config) => config,
        Err(code) => return code,
    };
    let (world, local_rank) = match join_world(&config) {
        Ok(joined) => joined,
        Err(error) => return refuse(&error, hint_of_start(&error), USAGE),
    };
    // Found before the launcher hears of this rank, so that it hears of the device that is used; that
    // there is none is said afterwards, as any other failure.
    let device = run::device(&config, local_rank);
    let name = device.as_ref().map_or("none".to_owned(), |it| run::device_name(&config, *it));
    let control = match connect(world.as_ref(), name) {
        Ok(control) => control,
        Err(error) => return refuse(&error, None, RANK_FAILED),
    };
    let _ = CONTROL.set(control.clone()); // set nowhere else
    last_words::prepare(&control);
    let trained = log_to_file(run_dir, world.rank())
        .map_err(TrainError::from)
        .and(device)
        .and_then(|device| Run::open(&config, run_dir, world, control.clone(), device))
        .map_err(|error| failure::of_training(&error))
        .and_then(|mut run| {
            preflight::compare_data(run.rank.world.as_mut(), &run.material)
                .map_err(|error| data_differs(&error))?;
            let ended = run.train().and_then(|ending| {
                run.rank.leave()?;
                Ok(ending)
            });
            ended.map_err(|error| failure::of_training(&error))
        });
    let (exit_code, last_word) = match trained {
        Ok(Ending::Finished) => (DONE.into(), FromRank::Finished { exit_code: DONE.into() }),
        Ok(Ending::Stopped) => (STOPPED.into(), FromRank::Finished { exit_code: STOPPED.into() }),
        Err(failure) => {
            tracing::error!("{}", failure.what);
            (failure.exit_code, FromRank::Failed(failure))
        }
    };
    last_words::no_more();
    control.close(&last_word);
    ExitCode::from(exit_code as u8)
}

/// Reads the configuration and sets libtorch up for it.
fn prepare(run_dir: &RunDir) -> Result<RunConfig, ExitCode> {
    let config = lcsl_config::load(&run_dir.config()).map_err(|problems| {
        eprintln!("{problems}");
        ExitCode::from(USAGE)
    })?;
    run::set_up_libtorch(config.run.threads);
    Ok(config)
}

/// The world that this process was started into, and its rank among the processes of its host. A
/// run of one rank needs no MPI.
fn join_world(config: &RunConfig) -> Result<(Box<dyn Communicator>, usize), CollectiveError> {
    let nproc = config.run.nproc;
    if nproc == 1 {
        return Ok((Box::new(Solo), 0));
    }
    let mut world = MpiWorld::init()?;
    if world.world_size() != nproc {
        return Err(CollectiveError::Unsupported {
            what: format!(
                "{} ranks were started for a run of {nproc}; start it through `lcsl train`",
                world.world_size()
            ),
        });
    }
    let (local_rank, _) = world.local_rank()?;
    let mut world: Box<dyn Communicator> = Box::new(world);
    if config.run.check_collectives {
        world = Box::new(Checked::new(world));
    }
    let version = preflight::version(env!("CARGO_PKG_VERSION"), Path::new("/proc/self/exe"));
    preflight::compare_start(world.as_mut(), &version, config)?;
    if config.run.gpu != Devices::Cpu {
        cuda::check_placement(world.as_mut(), &host_name())?;
    }
    Ok((world, local_rank))
}

fn hint_of_start(error: &CollectiveError) -> Option<String> {
    let hint = "install the same program on every host, and start it with the same configuration";
    let disagreement = matches!(error, CollectiveError::Disagreement { .. }).then_some(hint);
    disagreement.or(error.hint()).map(str::to_owned)
}

fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Every rank finds out at once, so none is a bystander.
fn data_differs(error: &CollectiveError) -> Failure {
    let differs = matches!(error, CollectiveError::Disagreement { .. });
    let hint = "every host needs the same copy of the dataset under data.root";
    Failure {
        what: error.to_string(),
        hint: differs.then(|| hint.to_owned()),
        exit_code: if differs { BAD_DATA } else { RANK_FAILED }.into(),
        bystander: !differs,
    }
}

/// From here on everything that this process prints goes to its log.
fn log_to_file(run_dir: &RunDir, rank: usize) -> Result<(), DiskError> {
    let path = run_dir.log(rank);
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).or_disk("create", folder)?;
    }
    let log = OpenOptions::new().create(true).append(true).open(&path).or_disk("open", &path)?;
    let redirected =
        rustix::stdio::dup2_stdout(&log).and_then(|()| rustix::stdio::dup2_stderr(&log));
    redirected.map_err(std::io::Error::from).or_disk("print to", &path)
}

fn connect(world: &dyn Communicator, device: String) -> anyhow::Result<Control> {
    let Ok(address) = std::env::var(ADDRESS_VARIABLE) else {
        return Ok(Control::absent());
    };
    let hello = Hello {
        secret: std::env::var(SECRET_VARIABLE).unwrap_or_default(),
        rank: world.rank(),
        world_size: world.world_size(),
        host: host_name(),
        pid: std::process::id(),
        device,
        version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let orphaned = || {
        std::thread::sleep(ORPHAN_GRACE);
        tracing::error!("the launcher has gone; this rank ends too");
        std::process::exit(RANK_FAILED.into());
    };
    Ok(Control::connect(&address, hello, orphaned)?)
}

/// Where a panic is reported, once there is a launcher to report it to.
static CONTROL: OnceLock<Control> = OnceLock::new();

/// A panic is our bug, and the failure of a rank: it is reported like any other, and the process ends
/// instead of leaving the other ranks waiting.
fn report_panics() {
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        print(panic);
        last_words::no_more();
        if let Some(control) = CONTROL.get() {
            control.close(&FromRank::Failed(Failure {
                what: format!("internal error: {panic}"),
                hint: Some("please report this, with logs/ of the run directory".to_owned()),
                exit_code: i32::from(RANK_FAILED),
                bystander: false,
            }));
        }
        std::process::exit(BUG.into());
    }));
}

fn explain(error: &InspectError) -> ExitCode {
    let (code, hint) = failure::of_inspection(error);
    refuse(error, hint, code)
}

fn refuse(error: &dyn std::fmt::Display, hint: Option<String>, code: u8) -> ExitCode {
    let hint = hint.map(|hint| format!("  hint: {hint}\n")).unwrap_or_default();
    // In one piece, because other ranks write to the same place; where that fails, nobody is left to read.
    let _ = std::io::stderr().write_all(format!("error: {error}\n{hint}").as_bytes());
    ExitCode::from(code)
}
