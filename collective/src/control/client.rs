//! The rank's end of the control connection.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream, ToSocketAddrs};
use std::os::fd::{AsRawFd, RawFd};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use thiserror::Error;

use crate::calls::CallLog;

use super::message::{FromRank, Hello, Phase, ToRank};
use super::proof;

const HEARTBEAT_PERIOD: Duration = Duration::from_secs(1);

/// How often the heartbeat looks whether there is news in between.
const LOOK_PERIOD: Duration = Duration::from_millis(50);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// No challenge is longer.
const CHALLENGE_BYTES_MAX: usize = 256;

/// A launcher that does not read for so long is as good as gone.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);

/// The launcher could not be reached.
#[derive(Debug, Error)]
#[error("no connection to the launcher at {address}: {source}")]
pub struct ControlError {
    /// The address from the environment.
    pub address: String,
    /// What the system said.
    pub source: std::io::Error,
}

/// Where a rank is; written by the training thread, read by the heartbeat.
#[derive(Debug, Default)]
pub struct HeartbeatCell {
    epoch: AtomicU64,
    step: AtomicU64,
    phase: AtomicU8,
    done: AtomicU64,
    calls: Arc<CallLog>,
}

impl HeartbeatCell {
    /// Notes what the rank does now.
    pub fn enter(&self, phase: Phase) {
        self.done.store(0, Ordering::Relaxed);
        self.phase.store(phase as u8, Ordering::Relaxed);
    }

    /// Notes that a further part of what it does is done: a batch, a file. Where that takes long by nature, this is
    /// what progress is seen by.
    pub fn progress(&self) {
        self.done.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes how far training has come: the epoch, and optimiser steps finished since the run
    /// began.
    pub fn advance(&self, epoch: u64, step: u64) {
        self.epoch.store(epoch, Ordering::Relaxed);
        self.step.store(step, Ordering::Relaxed);
    }

    /// Optimiser steps finished since the run began.
    pub fn step(&self) -> u64 {
        self.step.load(Ordering::Relaxed)
    }

    /// Where a [`crate::Traced`] world notes its calls.
    pub fn calls(&self) -> Arc<CallLog> {
        self.calls.clone()
    }

    fn is_starting(&self) -> bool {
        self.phase.load(Ordering::Relaxed) == Phase::Starting as u8
    }

    fn message(&self) -> FromRank {
        FromRank::Heartbeat {
            epoch: self.epoch.load(Ordering::Relaxed),
            step: self.step(),
            phase: Phase::ALL[usize::from(self.phase.load(Ordering::Relaxed))],
            done: self.done.load(Ordering::Relaxed),
            calls: self.calls.status(),
        }
    }
}

/// A rank's connection to its launcher, or the absence of one: a rank that was started by hand runs
/// all the same.
///
/// Clones share the connection.
#[derive(Debug, Clone)]
pub struct Control {
    heartbeat: Arc<HeartbeatCell>,
    stop: Arc<AtomicBool>,
    stream: Option<Arc<Mutex<TcpStream>>>,
    descriptor: Option<RawFd>,
}

impl Control {
    /// No launcher: messages go nowhere, and nobody asks for a stop.
    pub fn absent() -> Self {
        Self { heartbeat: Arc::default(), stop: Arc::default(), stream: None, descriptor: None }
    }

    /// Connects to the launcher at `address`, says hello, and starts the heartbeat and the
    /// listener.
    ///
    /// `parted` runs on the listener's thread when the launcher has gone, or has told this rank to go; it is expected
    /// to end the process.
    ///
    /// # Errors
    /// When the launcher cannot be reached within five seconds, or says nothing for as long where it is on another
    /// host.
    pub fn connect(
        address: &str,
        mut hello: Hello,
        parted: impl FnOnce(Parting) + Send + 'static,
    ) -> Result<Self, ControlError> {
        let stream = open(address)
            .and_then(|stream| prove(&stream, &mut hello).map(|()| stream))
            .map_err(|source| ControlError { address: address.to_owned(), source })?;
        let incoming = stream
            .try_clone()
            .map_err(|source| ControlError { address: address.to_owned(), source })?;
        let control = Self {
            heartbeat: Arc::default(),
            stop: Arc::default(),
            descriptor: Some(stream.as_raw_fd()),
            stream: Some(Arc::new(Mutex::new(stream))),
        };
        control.send(&FromRank::Hello(hello));
        let listener = control.clone();
        thread::spawn(move || listener.listen(incoming, parted));
        let beating = control.clone();
        thread::spawn(move || {
            let mut told_starting = true;
            while beating.send(&beating.heartbeat.message()) {
                let until = Instant::now() + HEARTBEAT_PERIOD;
                // The end of start-up is sent at once, so that a rank that dies in its first second is
                // not reported as starting.
                while Instant::now() < until && told_starting == beating.heartbeat.is_starting() {
                    thread::sleep(LOOK_PERIOD);
                }
                told_starting = beating.heartbeat.is_starting();
            }
        });
        Ok(control)
    }

    /// The descriptor of the connection, for whoever must say something when nothing else works
    /// any more; none without a launcher.
    pub fn descriptor(&self) -> Option<RawFd> {
        self.descriptor
    }

    /// Where this rank is, as its heartbeats tell.
    pub fn heartbeat(&self) -> &HeartbeatCell {
        &self.heartbeat
    }

    /// Whether the launcher has asked for a stop at the next step boundary.
    pub fn stop_requested(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Asks this rank to stop at the next step boundary, as the launcher's `Stop` would.
    pub fn request_stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// The wish to stop itself, for whoever can do no more than set it: a signal handler.
    pub fn stop_flag(&self) -> Arc<AtomicBool> {
        self.stop.clone()
    }

    /// Sends a message; whether it could be handed to the system. A lost launcher is the listener's
    /// business, so no error is reported here.
    pub fn send(&self, message: &FromRank) -> bool {
        let Some(stream) = &self.stream else {
            return false;
        };
        let Ok(mut line) = serde_json::to_vec(message) else {
            return false;
        };
        line.push(b'\n');
        // A thread that panicked while it wrote has at worst left half a line, which the launcher
        // reports.
        let mut stream = stream.lock().unwrap_or_else(PoisonError::into_inner);
        stream.write_all(&line).is_ok()
    }

    /// Sends the last word of this rank ([`FromRank::Failed`] or [`FromRank::Finished`]) and closes
    /// the connection.
    pub fn close(&self, last_word: &FromRank) {
        self.send(&self.heartbeat.message()); // so that the launcher names the step of this moment
        self.send(last_word);
        if let Some(stream) = &self.stream {
            let stream = stream.lock().unwrap_or_else(PoisonError::into_inner);
            // Only our direction: the listener still waits for the launcher's side, and what was
            // sent is delivered first.
            let _ = stream.shutdown(Shutdown::Write);
        }
    }

    fn listen(&self, incoming: TcpStream, parted: impl FnOnce(Parting)) {
        for line in BufReader::new(incoming).lines() {
            let Ok(line) = line else { break };
            match serde_json::from_str::<ToRank>(&line) {
                Ok(ToRank::Stop) => self.request_stop(),
                Ok(ToRank::Leave) => return parted(Parting::Told),
                // Not our launcher's language, or not at its time: treat the connection as lost.
                Ok(ToRank::Challenge { .. }) | Err(_) => break,
            }
        }
        parted(Parting::Lost);
    }
}

/// Why a rank is without its launcher.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parting {
    /// The launcher has gone, or cannot be reached any more.
    Lost,
    /// It has said that the run has failed.
    Told,
}

/// A launcher on another host is not told the secret, but shown that it is known.
fn prove(stream: &TcpStream, hello: &mut Hello) -> std::io::Result<()> {
    if stream.peer_addr()?.ip().is_loopback() {
        return Ok(());
    }
    stream.set_read_timeout(Some(CONNECT_TIMEOUT))?;
    // Byte by byte: what comes behind the first line is for the listener.
    let mut line = Vec::new();
    let mut from = stream;
    while line.last() != Some(&b'\n') && line.len() < CHALLENGE_BYTES_MAX {
        let mut byte = [0];
        from.read_exact(&mut byte)?;
        line.extend(byte);
    }
    stream.set_read_timeout(None)?;
    let Ok(ToRank::Challenge { nonce }) = serde_json::from_slice(&line) else {
        return Err(std::io::Error::other("whoever listens there is no launcher of this version"));
    };
    hello.secret = proof(&hello.secret, &nonce, hello.rank);
    Ok(())
}

fn open(address: &str) -> std::io::Result<TcpStream> {
    let mut last = std::io::Error::other("the address names no host");
    for address in address.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, CONNECT_TIMEOUT) {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                stream.set_write_timeout(Some(WRITE_TIMEOUT))?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}
