//! One file over HTTP: goes on where it was cut off, and is whole, with the right MD5, before it
//! gets its name.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use md5::{Digest, Md5};
use ureq::Agent;
use ureq::http::{Response, StatusCode, header};

use crate::commands::data::progress::{Position, show_while};
use crate::fault::Fault;
use crate::report::table::grouped;
use crate::terminal;
use lcsl_run_dir::exit;

/// No file is longer than this; a server that sends on is not believed.
const BYTES_MAX: u64 = 4 << 30;
/// A connection that breaks is made again so many times, as long as each brings something.
const ATTEMPTS: u32 = 5;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(60);

/// A file to fetch.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// What it will be called.
    pub file: String,
    /// Where it is.
    pub address: String,
    /// Its MD5, in hexadecimal.
    pub md5: String,
}

/// How a file came to be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Download {
    /// It was there.
    Already,
    /// It was fetched, or the rest of it.
    Done,
}

/// Why one attempt ended early.
enum Broken {
    /// The network or the server; what has come is kept.
    Connection(String),
    /// The disk.
    Disk(io::Error),
}

/// Fetches a file into `root`.
///
/// # Errors
/// When another file has its name, the server does not have it, the connection breaks again and
/// again, what came has another MD5, or the disk refuses it.
pub fn fetch(wanted: &Wanted, root: &Path) -> Result<Download, Fault> {
    let path = root.join(&wanted.file);
    if path.exists() {
        let found = md5_of(&path).map_err(|error| Fault::disk("read", &path, &error))?;
        if found == wanted.md5 {
            return Ok(Download::Already);
        }
        return Err(bad(
            format!("{} has MD5 {found} instead of {}", path.display(), wanted.md5),
            "it is not the official file: move it away, and fetch again",
        ));
    }
    let part = root.join(format!("{}.part", wanted.file));
    let (done, total) = (AtomicU64::new(0), AtomicU64::new(0));
    let position = |_| {
        let [done, total] = [&done, &total].map(|number| number.load(Ordering::Relaxed));
        let [done_mib, total_mib] = [done, total].map(|bytes| grouped(bytes >> 20));
        Position { done, total, words: format!("{}: {done_mib} of {total_mib} MiB", wanted.file) }
    };
    show_while(position, || attempts(wanted, &part, &done, &total))?;
    let found = md5_of(&part).map_err(|error| Fault::disk("read", &part, &error))?;
    if found != wanted.md5 {
        // Kept, it would be taken for the beginning of the right file.
        fs::remove_file(&part).map_err(|error| Fault::disk("remove", &part, &error))?;
        return Err(bad(
            format!(
                "{} came with MD5 {found} instead of {}, and was removed",
                wanted.address, wanted.md5
            ),
            "fetch again; if it comes like that again, take a mirror with --from",
        ));
    }
    fs::rename(&part, &path).map_err(|error| Fault::disk("rename", &part, &error))?;
    Ok(Download::Done)
}

fn bad(what: String, hint: impl Into<String>) -> Fault {
    Fault { hint: Some(hint.into()), ..Fault::new(what, exit::BAD_DATA) }
}

fn attempts(
    wanted: &Wanted,
    part: &Path,
    done: &AtomicU64,
    total: &AtomicU64,
) -> Result<(), Fault> {
    let config = Agent::config_builder()
        .timeout_connect(Some(CONNECT_TIMEOUT))
        .timeout_recv_response(Some(RESPONSE_TIMEOUT))
        .http_status_as_error(false)
        .build();
    let agent = Agent::new_with_config(config);
    for attempt in 1.. {
        let before = fs::metadata(part).map_or(0, |metadata| metadata.len());
        match attempt_once(&agent, wanted, part, done, total) {
            Ok(()) => return Ok(()),
            Err(Broken::Disk(error)) => return Err(Fault::disk("write", part, &error)),
            Err(Broken::Connection(what)) => {
                let came = fs::metadata(part).map_or(0, |metadata| metadata.len());
                if attempt < ATTEMPTS && came > before {
                    terminal::show_line(&format!("{}: {what}; going on", wanted.file));
                    continue;
                }
                return Err(bad(
                    format!("cannot fetch {}: {what}", wanted.address),
                    format!(
                        "{} of its bytes are kept: the same command goes on; or fetch it by other \
                         means into {}",
                        grouped(came),
                        part.with_extension("").display()
                    ),
                ));
            }
        }
    }
    unreachable!("the loop above has no end of its own")
}

/// Asks for what is missing, and appends it.
fn attempt_once(
    agent: &Agent,
    wanted: &Wanted,
    part: &Path,
    done: &AtomicU64,
    total: &AtomicU64,
) -> Result<(), Broken> {
    let mut file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(part)
        .map_err(Broken::Disk)?;
    let have = file.seek(SeekFrom::End(0)).map_err(Broken::Disk)?;
    let mut request = agent.get(&wanted.address);
    if have > 0 {
        request = request.header(header::RANGE, format!("bytes={have}-"));
    }
    let mut response = request.call().map_err(|error| Broken::Connection(error.to_string()))?;
    let begins = match response.status() {
        StatusCode::OK => 0,
        StatusCode::PARTIAL_CONTENT if range_begins_at(&response) == Some(have) => have,
        // Nothing is missing, if the server can be believed; the MD5 decides.
        StatusCode::RANGE_NOT_SATISFIABLE if have > 0 => return Ok(()),
        status => return Err(Broken::Connection(format!("the server answers {status}"))),
    };
    // A server that does not know about ranges sends everything again.
    file.set_len(begins).map_err(Broken::Disk)?;
    file.seek(SeekFrom::Start(begins)).map_err(Broken::Disk)?;
    let length = response.headers().get(header::CONTENT_LENGTH);
    let length = length.and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    done.store(begins, Ordering::Relaxed);
    total.store(begins + length.unwrap_or(0), Ordering::Relaxed);
    let mut body = response.body_mut().with_config().limit(BYTES_MAX).reader();
    let mut buffer = vec![0; 1 << 16];
    let mut came = 0;
    loop {
        let count = match body.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(Broken::Connection(error.to_string())),
        };
        file.write_all(&buffer[..count]).map_err(Broken::Disk)?;
        came += count as u64;
        done.fetch_add(count as u64, Ordering::Relaxed);
    }
    if length.is_some_and(|length| came < length) {
        return Err(Broken::Connection(format!("the connection ended after {came} bytes")));
    }
    file.sync_all().map_err(Broken::Disk)
}

/// The first byte of `Content-Range: bytes 100-199/200`.
fn range_begins_at<T>(response: &Response<T>) -> Option<u64> {
    let range = response.headers().get(header::CONTENT_RANGE)?.to_str().ok()?;
    range.strip_prefix("bytes ")?.split_once('-')?.0.parse().ok()
}

fn md5_of(path: &PathBuf) -> io::Result<String> {
    let (mut file, mut hasher) = (File::open(path)?, Md5::new());
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            count => hasher.update(&buffer[..count]),
        }
    }
    let mut digits = String::with_capacity(32);
    for byte in hasher.finalize() {
        let _ = write!(digits, "{byte:02x}");
    }
    Ok(digits)
}
