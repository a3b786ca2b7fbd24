//! Fetching from a server on this machine that cuts connections, damages what it sends, or knows
//! nothing about ranges.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;

use lcsl_launcher::commands::data::fetch::download::{Download, Wanted, fetch};
use lcsl_launcher::fault::Fault;
use md5::{Digest, Md5};

use crate::stage::Stage;

/// How the server behaves towards its next requests, in order; the last one stays.
#[derive(Clone, Copy, Debug)]
enum Manner {
    /// Everything that is asked for.
    Whole,
    /// The connection ends after so many bytes of the body.
    CutAfter(usize),
    /// Everything from the beginning, whatever was asked for.
    IgnoresRanges,
    /// One byte is another.
    Damaged,
    /// There is no such file.
    Absent,
}

fn content() -> Vec<u8> {
    (0..300_000_u32).flat_map(|at| (at * 7).to_le_bytes()).collect()
}

/// Serves [`content`] for ever; returns the address and the ranges that were asked for.
fn serve(manners: Vec<Manner>) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/file.bin", listener.local_addr().unwrap());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let ranges = asked.clone();
    thread::spawn(move || {
        for (number, stream) in listener.incoming().enumerate() {
            let manner = manners[number.min(manners.len() - 1)];
            answer(&stream.unwrap(), manner, &ranges);
        }
    });
    (address, asked)
}

fn answer(stream: &TcpStream, manner: Manner, ranges: &Mutex<Vec<String>>) {
    let mut begins = None;
    for line in BufReader::new(stream).lines() {
        let line = line.unwrap_or_default().to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(range) = line.strip_prefix("range: bytes=") {
            begins = range.trim_end_matches('-').parse::<usize>().ok();
        }
    }
    ranges.lock().unwrap().push(begins.map_or("all".to_owned(), |at| at.to_string()));
    let mut content = content();
    let total = content.len();
    if matches!(manner, Manner::Damaged) {
        content[total / 2] ^= 1;
    }
    let begins = if matches!(manner, Manner::IgnoresRanges) { None } else { begins };
    let (status, more) = match begins {
        _ if matches!(manner, Manner::Absent) => ("404 Not Found", String::new()),
        None => ("200 OK", String::new()),
        Some(at) if at >= total => ("416 Range Not Satisfiable", String::new()),
        Some(at) => {
            let range = format!("Content-Range: bytes {at}-{}/{total}\r\n", total - 1);
            ("206 Partial Content", range)
        }
    };
    let is_good = status.starts_with('2');
    let body = if is_good { &content[begins.unwrap_or(0)..] } else { b"" };
    let sent = match manner {
        Manner::CutAfter(bytes) => &body[..bytes.min(body.len())],
        _ => body,
    };
    let mut stream = stream;
    let length = body.len();
    let head =
        format!("HTTP/1.1 {status}\r\n{more}Content-Length: {length}\r\nConnection: close\r\n\r\n");
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(sent));
}

fn wanted(address: &str) -> Wanted {
    let bytes = Md5::digest(content());
    let md5 = bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat();
    Wanted { file: "file.bin".to_owned(), address: address.to_owned(), md5 }
}

fn fetched(manners: Vec<Manner>, root: &Path) -> (Result<Download, Fault>, Vec<String>) {
    let (address, asked) = serve(manners);
    let result = fetch(&wanted(&address), root);
    let asked = asked.lock().unwrap().clone();
    (result, asked)
}

#[test]
fn a_file_comes_once() {
    let root = tempfile::tempdir().unwrap();
    let (result, asked) = fetched(vec![Manner::Whole], root.path());
    assert_eq!((result.unwrap(), asked), (Download::Done, vec!["all".to_owned()]));
    assert_eq!(fs::read(root.path().join("file.bin")).unwrap(), content());
    let (result, asked) = fetched(vec![Manner::Absent], root.path());
    assert_eq!((result.unwrap(), asked), (Download::Already, Vec::new()));
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1);
}

#[test]
fn a_connection_that_is_cut_goes_on_where_it_was() {
    let root = tempfile::tempdir().unwrap();
    let manners = vec![Manner::CutAfter(500_000), Manner::CutAfter(100_000), Manner::Whole];
    let (result, asked) = fetched(manners, root.path());
    assert_eq!(result.unwrap(), Download::Done);
    assert_eq!(asked, ["all", "500000", "600000"]);
    assert_eq!(fs::read(root.path().join("file.bin")).unwrap(), content());
}

#[test]
fn what_an_earlier_command_left_is_used() {
    let root = tempfile::tempdir().unwrap();
    let (result, _) = fetched(vec![Manner::CutAfter(0)], root.path());
    let fault = result.unwrap_err();
    assert_eq!(fault.exit_code, 3);
    assert!(fault.what.contains("cannot fetch http://127.0.0.1"), "{fault}");
    fs::write(root.path().join("file.bin.part"), &content()[..700_000]).unwrap();
    let (result, asked) = fetched(vec![Manner::Whole], root.path());
    assert_eq!((result.unwrap(), asked), (Download::Done, vec!["700000".to_owned()]));
    assert_eq!(fs::read(root.path().join("file.bin")).unwrap(), content());

    // Everything had come, and only the name was missing.
    let part = root.path().join("file.bin.part");
    fs::rename(root.path().join("file.bin"), part).unwrap();
    let (result, _) = fetched(vec![Manner::Whole], root.path());
    assert_eq!(result.unwrap(), Download::Done);
}

#[test]
fn a_server_without_ranges_sends_everything_again() {
    let root = tempfile::tempdir().unwrap();
    let manners = vec![Manner::CutAfter(500_000), Manner::IgnoresRanges];
    let (result, asked) = fetched(manners, root.path());
    assert_eq!((result.unwrap(), asked.len()), (Download::Done, 2));
    assert_eq!(fs::read(root.path().join("file.bin")).unwrap(), content());
}

#[test]
fn what_is_damaged_gets_no_name_and_is_not_kept() {
    let root = tempfile::tempdir().unwrap();
    let (result, _) = fetched(vec![Manner::Damaged], root.path());
    let fault = result.unwrap_err();
    assert_eq!(fault.exit_code, 3);
    assert!(fault.what.contains("and was removed"), "{fault}");
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
    // A beginning that is damaged is found out at the end, and then fetched anew.
    fs::write(root.path().join("file.bin.part"), vec![1; 700_000]).unwrap();
    fetched(vec![Manner::Whole], root.path()).0.unwrap_err();
    assert_eq!(fetched(vec![Manner::Whole], root.path()).0.unwrap(), Download::Done);
}

#[test]
fn another_file_of_that_name_is_not_overwritten() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("file.bin"), "mine").unwrap();
    let (result, asked) = fetched(vec![Manner::Whole], root.path());
    assert!(result.unwrap_err().what.contains("has MD5"));
    assert!(asked.is_empty());
    assert_eq!(fs::read(root.path().join("file.bin")).unwrap(), b"mine");
}

#[test]
fn a_mirror_without_the_file_is_named() {
    let stage = Stage::new();
    let (address, _) = serve(vec![Manner::Absent]);
    let mirror = address.trim_end_matches("/file.bin");
    let mut command = stage.lcsl(&["data", "fetch", "cifar10", "--root=data", "--from", mirror]);
    command.env_remove("http_proxy").env_remove("HTTP_PROXY");
    let outcome = stage.outcome(command);
    outcome.ended(3).said("cifar-10-binary.tar.gz: the server answers 404 Not Found");
    // What comes from a mirror is checked as well.
    let (address, _) = serve(vec![Manner::Whole]);
    let mirror = address.trim_end_matches("/file.bin");
    let mut command = stage.lcsl(&["data", "fetch", "cifar10", "--root=data", "--from", mirror]);
    command.env_remove("http_proxy").env_remove("HTTP_PROXY");
    stage.outcome(command).ended(3).said("instead of c32a1d4ab5d03f1284b67883e8d87530");
}

#[test]
fn what_may_not_be_fetched_is_explained() {
    let stage = Stage::new();
    let said = ["imagenet_lt", "inaturalist2018", "folder", "synthetic"]
        .map(|name| stage.outcome(stage.lcsl(&["data", "fetch", name])).out);
    insta::assert_snapshot!(said.join("\n"));
}
