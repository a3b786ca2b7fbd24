//! The launcher's end of the control connections: who connects, what they say, and when they fall
//! silent for good.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use lcsl_collective::control::{FromRank, Hello, ToRank, is_same_secret, proof};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::timeout;

use super::processes;

/// How long a connection may take to say hello. Only our ranks know the address, but any local
/// process can find it.
const HELLO_TIMEOUT: Duration = Duration::from_secs(5);

/// A rank that does not read for so long will not stop on request.
const WRITE_TIMEOUT: Duration = Duration::from_secs(1);

/// No message comes near this many bytes.
const LINE_BYTES_MAX: u64 = 1 << 20;

/// Connections that have not shown the secret yet. More wait in the system's queue, so that a flood of them takes
/// neither memory nor descriptors; ranks come through within [`HELLO_TIMEOUT`].
const STRANGERS_MAX: usize = 256;

/// Messages that may wait for the launcher; beyond them, ranks wait.
const QUEUE: usize = 1024;

/// What the server hears.
#[derive(Debug)]
pub enum Heard {
    /// A rank said hello; the other half is for talking to it, and closes the connection when it is
    /// dropped.
    Joined(Hello, Caller),
    /// A rank said something.
    Said(usize, FromRank),
    /// A connection ended.
    Closed(usize),
}

/// The way to talk to a rank. A rank whose launcher disappears ends itself, so this is kept as long
/// as the rank lives.
#[derive(Debug)]
pub struct Caller(OwnedWriteHalf);

impl Caller {
    /// Sends a message. A rank that cannot be reached is on its way out, which is noticed
    /// elsewhere.
    pub async fn tell(&mut self, message: ToRank) {
        let mut line = serde_json::to_vec(&message).expect("messages are plain enums");
        line.push(b'\n');
        let _ = timeout(WRITE_TIMEOUT, self.0.write_all(&line)).await;
    }
}

/// From where ranks connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listen {
    /// From this host alone.
    Here,
    /// Through the interface that has this address.
    At(Ipv4Addr),
    /// From anywhere, by this host's name: it is not known which interface leads to the other hosts.
    Everywhere,
}

/// Listens, and returns the address for ranks and what is heard.
pub async fn listen(secret: String, from: Listen) -> io::Result<(String, mpsc::Receiver<Heard>)> {
    let ip = match from {
        Listen::Here => Ipv4Addr::LOCALHOST,
        Listen::At(address) => address,
        Listen::Everywhere => Ipv4Addr::UNSPECIFIED,
    };
    let listener = TcpListener::bind(SocketAddr::from((ip, 0))).await?;
    let port = listener.local_addr()?.port();
    let host = match from {
        Listen::Everywhere => rustix::system::uname().nodename().to_string_lossy().into_owned(),
        Listen::Here | Listen::At(_) => ip.to_string(),
    };
    // On this host the secret goes nowhere, and a rank that is here knows that by the address, too.
    let proven = |peer: SocketAddr| !peer.ip().is_loopback();
    Ok((format!("{host}:{port}"), accept(listener, secret, proven)))
}

/// Hears out everyone who connects. Ranks whose address is to be `proven` show that they know the secret, and others
/// say it.
fn accept(
    listener: TcpListener,
    secret: String,
    proven: impl Fn(SocketAddr) -> bool + Send + 'static,
) -> mpsc::Receiver<Heard> {
    let (heard, receiver) = mpsc::channel(QUEUE);
    let strangers = Arc::new(Semaphore::new(STRANGERS_MAX));
    tokio::spawn(async move {
        loop {
            let Ok(stranger) = strangers.clone().acquire_owned().await else { return };
            // An error here belongs to one caller, or to a shortage that passes; neither may end
            // the listening.
            match listener.accept().await {
                Ok((stream, peer)) => {
                    let (secret, heard) = (secret.clone(), heard.clone());
                    tokio::spawn(serve(stream, secret, proven(peer), heard, stranger));
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    });
    receiver
}

/// Hears out one connection. Whoever does not know the secret is dropped without an answer. Where it is to be `proven`,
/// it is not sent; a rank counts as a `stranger` until then.
async fn serve(
    stream: TcpStream,
    mut secret: String,
    proven: bool,
    heard: mpsc::Sender<Heard>,
    stranger: OwnedSemaphorePermit,
) {
    let _ = stream.set_nodelay(true);
    let (incoming, outgoing) = stream.into_split();
    let (mut incoming, mut caller) = (BufReader::new(incoming), Caller(outgoing));
    let nonce = proven.then(processes::new_secret);
    // Where the system gives no random bytes, nobody can be trusted.
    let Ok(nonce) = nonce.transpose() else { return };
    if let Some(nonce) = &nonce {
        caller.tell(ToRank::Challenge { nonce: nonce.clone() }).await;
    }
    let Ok(Some(FromRank::Hello(hello))) = timeout(HELLO_TIMEOUT, next(&mut incoming)).await else {
        return;
    };
    let rank = hello.rank;
    if let Some(nonce) = nonce {
        secret = proof(&secret, &nonce, rank);
    }
    if !is_same_secret(&hello.secret, &secret) {
        return;
    }
    drop(stranger);
    if heard.send(Heard::Joined(hello, caller)).await.is_err() {
        return;
    }
    while let Some(message) = next(&mut incoming).await {
        if heard.send(Heard::Said(rank, message)).await.is_err() {
            return;
        }
    }
    let _ = heard.send(Heard::Closed(rank)).await;
}

/// The next message; none when the connection has ended, or holds something that is no message.
async fn next(incoming: &mut BufReader<OwnedReadHalf>) -> Option<FromRank> {
    let mut line = Vec::new();
    incoming.take(LINE_BYTES_MAX).read_until(b'\n', &mut line).await.ok()?;
    serde_json::from_slice(line.strip_suffix(b"\n")?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hello(secret: &str) -> String {
        let who = format!(r#"{{"message":"hello","secret":"{secret}","rank":1,"world_size":2,"#);
        who + r#""host":"h","pid":7,"device":"cpu","version":"0"}"#
    }

    async fn connect(address: &str, text: &str) -> TcpStream {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(text.as_bytes()).await.unwrap();
        stream
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_rank_is_heard_until_its_connection_ends() {
        let (address, mut heard) = listen("s".to_owned(), Listen::Here).await.unwrap();
        let text =
            format!("{}\n{{\"message\":\"finished\",\"exit_code\":0}}\n{{\"mess", hello("s"));
        drop(connect(&address, &text).await);
        assert!(matches!(heard.recv().await, Some(Heard::Joined(hello, _)) if hello.rank == 1));
        let Some(Heard::Said(1, message)) = heard.recv().await else { panic!("no message") };
        assert_eq!(message, FromRank::Finished { exit_code: 0 });
        assert!(matches!(heard.recv().await, Some(Heard::Closed(1))), "half a line is no message");
    }

    #[tokio::test(flavor = "current_thread")]
    async fn strangers_are_dropped() {
        let (address, mut heard) = listen("s".to_owned(), Listen::Here).await.unwrap();
        for text in ["GET / HTTP/1.1\r\n\r\n".to_owned(), hello("other") + "\n"] {
            let mut stream = connect(&address, &text).await;
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer).await;
            assert!(answer.is_empty());
        }
        assert!(heard.try_recv().is_err(), "nothing a stranger says is heard");
    }

    /// Story: between hosts the secret went over the network as it is.
    #[tokio::test(flavor = "current_thread")]
    async fn between_hosts_the_secret_is_proven_and_not_sent() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut heard = accept(listener, "s".to_owned(), |_| true);
        for knows_it in [false, true] {
            let stream = TcpStream::connect(&address).await.unwrap();
            let mut stream = BufReader::new(stream);
            let mut line = String::new();
            stream.read_line(&mut line).await.unwrap();
            let Ok(ToRank::Challenge { nonce }) = serde_json::from_str(&line) else {
                panic!("{line}")
            };
            let shown = if knows_it { proof("s", &nonce, 1) } else { "s".to_owned() };
            stream.write_all((hello(&shown) + "\n").as_bytes()).await.unwrap();
            if knows_it {
                assert!(
                    matches!(heard.recv().await, Some(Heard::Joined(hello, _)) if hello.rank == 1)
                );
            } else {
                let mut answer = Vec::new();
                let _ = stream.read_to_end(&mut answer).await;
                assert!(
                    answer.is_empty() && heard.try_recv().is_err(),
                    "the secret itself is no proof"
                );
            }
        }
    }

    /// Story: with `--hosts=localhost:2`, or the host's own name where that means loopback, the launcher waited for a
    /// proof and the ranks, who saw that it was here, gave none: "no rank ever reached the launcher".
    #[tokio::test(flavor = "current_thread")]
    async fn a_rank_on_this_host_is_heard_wherever_the_launcher_listens() {
        for from in [Listen::Here, Listen::Everywhere, Listen::At(Ipv4Addr::LOCALHOST)] {
            let (address, mut heard) = listen("s".to_owned(), from).await.unwrap();
            let port = address.rsplit_once(':').unwrap().1;
            let _rank = connect(&format!("127.0.0.1:{port}"), &(hello("s") + "\n")).await;
            assert!(matches!(heard.recv().await, Some(Heard::Joined(..))), "{from:?}");
        }
    }

    /// A flood of connections that say nothing keeps no rank out.
    #[tokio::test(flavor = "current_thread")]
    async fn a_flood_of_strangers_is_waited_out() {
        let (address, mut heard) = listen("s".to_owned(), Listen::Here).await.unwrap();
        let mut flood = Vec::new();
        for _ in 0..STRANGERS_MAX {
            flood.push(TcpStream::connect(&address).await.unwrap());
        }
        let _rank = connect(&address, &(hello("s") + "\n")).await;
        drop(flood);
        assert!(matches!(heard.recv().await, Some(Heard::Joined(..))));
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_rank_is_told_to_stop() {
        let (address, mut heard) = listen("s".to_owned(), Listen::Here).await.unwrap();
        let mut stream = connect(&address, &(hello("s") + "\n")).await;
        let Some(Heard::Joined(_, mut caller)) = heard.recv().await else { panic!("not joined") };
        caller.tell(ToRank::Stop).await;
        drop(caller);
        let mut told = [0; 19];
        stream.read_exact(&mut told).await.unwrap();
        assert_eq!(&told, b"{\"message\":\"stop\"}\n");
    }
}
