//! The launcher's end of the control connections: who connects, what they say, and when they fall
//! silent for good.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use lcsl_collective::control::{FromRank, Hello, ToRank};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;

/// How long a connection may take to say hello. Only our ranks know the address, but any local
/// process can find it.
const HELLO_TIMEOUT: Duration = Duration::from_secs(5);

/// A rank that does not read for so long will not stop on request.
const WRITE_TIMEOUT: Duration = Duration::from_secs(1);

/// No message comes near this many bytes.
const LINE_BYTES_MAX: u64 = 1 << 20;

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

/// Listens, and returns the address for ranks and what is heard. `everywhere` accepts other hosts
/// too.
pub async fn listen(
    secret: String,
    everywhere: bool,
) -> io::Result<(String, mpsc::Receiver<Heard>)> {
    let ip = if everywhere { Ipv4Addr::UNSPECIFIED } else { Ipv4Addr::LOCALHOST };
    let listener = TcpListener::bind(SocketAddr::from((ip, 0))).await?;
    let port = listener.local_addr()?.port();
    let host = if everywhere {
        rustix::system::uname().nodename().to_string_lossy().into_owned()
    } else {
        ip.to_string()
    };
    let (heard, receiver) = mpsc::channel(QUEUE);
    tokio::spawn(async move {
        loop {
            // An error here belongs to one caller, or to a shortage that passes; neither may end
            // the listening.
            match listener.accept().await {
                Ok((stream, _)) => drop(tokio::spawn(serve(stream, secret.clone(), heard.clone()))),
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    });
    Ok((format!("{host}:{port}"), receiver))
}

/// Hears out one connection. Whoever does not know the secret is dropped without an answer.
async fn serve(stream: TcpStream, secret: String, heard: mpsc::Sender<Heard>) {
    let _ = stream.set_nodelay(true);
    let (incoming, outgoing) = stream.into_split();
    let mut incoming = BufReader::new(incoming);
    let Ok(Some(FromRank::Hello(hello))) = timeout(HELLO_TIMEOUT, next(&mut incoming)).await else {
        return;
    };
    if hello.secret != secret {
        return;
    }
    let rank = hello.rank;
    if heard.send(Heard::Joined(hello, Caller(outgoing))).await.is_err() {
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
        let (address, mut heard) = listen("s".to_owned(), false).await.unwrap();
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
        let (address, mut heard) = listen("s".to_owned(), false).await.unwrap();
        for text in ["GET / HTTP/1.1\r\n\r\n".to_owned(), hello("other") + "\n"] {
            let mut stream = connect(&address, &text).await;
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer).await;
            assert!(answer.is_empty());
        }
        assert!(heard.try_recv().is_err(), "nothing a stranger says is heard");
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_rank_is_told_to_stop() {
        let (address, mut heard) = listen("s".to_owned(), false).await.unwrap();
        let mut stream = connect(&address, &(hello("s") + "\n")).await;
        let Some(Heard::Joined(_, mut caller)) = heard.recv().await else { panic!("not joined") };
        caller.tell(ToRank::Stop).await;
        drop(caller);
        let mut told = [0; 19];
        stream.read_exact(&mut told).await.unwrap();
        assert_eq!(&told, b"{\"message\":\"stop\"}\n");
    }
}
