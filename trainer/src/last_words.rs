//! The last words of a rank that cannot return from `main`: it says on the control connection what
//! ends it, so that the launcher names the cause and not merely an absence.
//!
//! A fatal signal finds a process in any state, so everything that its handler needs is made
//! beforehand: one finished message for each signal, and the descriptor to write it to. SIGKILL leaves
//! no time for words; of all deaths it alone stays silent.

#![allow(unsafe_code)] // signal handlers, which the standard library does not offer

use std::io::Write as _;
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use lcsl_collective::control::{Control, Failure, FromRank};
use lcsl_run_dir::exit;

/// What a broken program is ended by, and what `abort` ends it with.
const FATAL: [(libc::c_int, &str); 5] = [
    (libc::SIGSEGV, "SIGSEGV"),
    (libc::SIGBUS, "SIGBUS"),
    (libc::SIGFPE, "SIGFPE"),
    (libc::SIGILL, "SIGILL"),
    (libc::SIGABRT, "SIGABRT"),
];

/// What schedulers send to a rank directly, or through MPI's daemons: the wish that it stop. They repeat themselves.
const WISHES: [libc::c_int; 4] = [libc::SIGTERM, libc::SIGHUP, libc::SIGUSR1, libc::SIGUSR2];

/// Set when somebody wishes that this rank stop.
static STOP: OnceLock<Arc<AtomicBool>> = OnceLock::new();

struct Prepared {
    descriptor: RawFd,
    /// A line for each of [`FATAL`], and what was to happen before we came.
    by_signal: [(Vec<u8>, libc::sigaction); FATAL.len()],
    on_exit: Vec<u8>,
}

static PREPARED: OnceLock<Prepared> = OnceLock::new();

/// Whether the last word has been said: by us, or by [`no_more`].
static SAID: AtomicBool = AtomicBool::new(false);

/// From now on a signal of a scheduler sets the wish to stop, and a fatal one, and an `exit` that nobody announced, is
/// reported on `control`. Call it after `MPI_Init`, whose own handlers print a backtrace: they come after ours.
pub fn prepare(control: &Control) {
    if STOP.set(control.stop_flag()).is_ok() {
        // What the caller has chosen to ignore, as `nohup` does SIGHUP, stays ignored.
        let chosen = |signal: &libc::c_int| current(*signal).sa_sigaction != libc::SIG_IGN;
        for signal in WISHES.into_iter().filter(chosen) {
            install(signal, on_wish, libc::SA_RESTART);
        }
    }
    let Some(descriptor) = control.descriptor() else { return };
    let line = |what: String| {
        let word = FromRank::Failed(Failure {
            what,
            hint: Some("its log holds what the system and the libraries said".to_owned()),
            exit_code: exit::RANK_FAILED.into(),
            bystander: false,
        });
        let mut line = serde_json::to_vec(&word).expect("messages are plain enums");
        line.push(b'\n');
        line
    };
    let by_signal =
        FATAL.map(|(signal, name)| (line(format!("killed by {name}")), current(signal)));
    let on_exit = line("something called exit in the middle of the run".to_owned());
    if PREPARED.set(Prepared { descriptor, by_signal, on_exit }).is_err() {
        return;
    }
    // SAFETY: `say_farewell` is an `extern "C"` function without captures that lives as long as the
    // process; it only reads statics and writes to a descriptor.
    unsafe { libc::atexit(say_farewell) };
    for (signal, _) in FATAL {
        install(signal, on_signal, libc::SA_ONSTACK | libc::SA_NODEFER);
    }
}

/// The rank has said its last word by itself.
pub fn no_more() {
    SAID.store(true, Ordering::Relaxed);
}

/// Ends this process at once, without the destructors of its libraries: other threads still use what these would take
/// away. What was printed is written out before.
pub fn leave(code: u8) -> ! {
    no_more();
    let _ = std::io::stdout().flush(); // standard error has no buffer
    // SAFETY: `_exit` takes an integer and does not return.
    unsafe { libc::_exit(code.into()) }
}

/// What a signal does at present.
fn current(signal: libc::c_int) -> libc::sigaction {
    // SAFETY: a `sigaction` is plain integers and a mask, for which zeros are valid; the call with a null
    // new action only writes the old one into the live local.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        libc::sigaction(signal, std::ptr::null(), &raw mut action);
        action
    }
}

fn install(signal: libc::c_int, handler: extern "C" fn(libc::c_int), flags: libc::c_int) {
    // SAFETY: the action is zeroed, which is valid, and then given a handler of the plain form (no
    // SA_SIGINFO) that takes one integer, and an empty mask. SA_ONSTACK lets it run on the stack that Rust
    // keeps for overflows. The handlers do only what is async-signal-safe: see `on_signal` and `on_wish`.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as *const () as libc::sighandler_t;
        action.sa_flags = flags;
        libc::sigemptyset(&raw mut action.sa_mask);
        libc::sigaction(signal, &raw const action, std::ptr::null_mut());
    }
}

/// Reading a `OnceLock` and storing into an atomic are async-signal-safe.
extern "C" fn on_wish(_: libc::c_int) {
    if let Some(stop) = STOP.get() {
        stop.store(true, Ordering::Relaxed);
    }
}

extern "C" fn on_signal(signal: libc::c_int) {
    let Some(prepared) = PREPARED.get() else { return };
    let Some(place) = FATAL.iter().position(|(fatal, _)| *fatal == signal) else { return };
    let (line, before) = &prepared.by_signal[place];
    say(prepared.descriptor, line);
    // SAFETY: `sigaction` and `raise` are async-signal-safe, and `before` is what `sigaction` itself
    // returned for this signal. What was to happen before we came (a backtrace, then death) happens now.
    unsafe {
        libc::sigaction(signal, before, std::ptr::null_mut());
        libc::raise(signal);
    }
}

extern "C" fn say_farewell() {
    if let Some(prepared) = PREPARED.get() {
        say(prepared.descriptor, &prepared.on_exit);
    }
}

/// Writes a line once. Reading a `OnceLock`, an atomic swap and `write` are all async-signal-safe: none
/// of them takes a lock or allocates.
fn say(descriptor: RawFd, line: &[u8]) {
    if SAID.swap(true, Ordering::Relaxed) {
        return;
    }
    // SAFETY: `line` is live and as long as said. A descriptor that was closed meanwhile makes the call
    // fail, which changes nothing: the process ends.
    unsafe { libc::write(descriptor, line.as_ptr().cast(), line.len()) };
}
