//! A forwarder that adds a bearer token: the official suite has no way to send one.
//!
//! One connection carries one request, so nothing of HTTP has to be understood but the head of the
//! request. What the suite is about stays as it was sent, bytes and order; only where the
//! forwarder's own address stands as Host or Origin, the gateway's takes its place.

use std::net::SocketAddr;

use tokio::{
    io::{self, AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

/// A head larger than this is none of the suite's.
const HEAD_MAX: usize = 64 << 10;

/// A forwarder, for as long as this is held.
pub(super) struct Forwarder {
    pub(super) address: SocketAddr,
    _serving: JoinSet<()>,
}

impl Forwarder {
    /// Listens on a free port of loopback, in front of `to` (`host:port`).
    pub(super) async fn start(to: &str, token: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let (to, token) = (to.to_owned(), token.to_owned());
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let (to, token) = (to.clone(), token.clone());
                // An end that is gone is the suite's own doing: it cancels so.
                connections.spawn(async move { drop(forward(client, address, &to, &token).await) });
            }
        });
        Self {
            address,
            _serving: serving,
        }
    }
}

async fn forward(mut client: TcpStream, own: SocketAddr, to: &str, token: &str) -> io::Result<()> {
    let mut read = Vec::new();
    let end = loop {
        if let Some(end) = read.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            break end;
        }
        if read.len() > HEAD_MAX || client.read_buf(&mut read).await? == 0 {
            return Ok(());
        }
    };
    let head = String::from_utf8_lossy(&read[..end]).into_owned();
    let mut request = rewritten(&head, own, to, token).into_bytes();
    request.extend_from_slice(&read[end + 4..]);
    let mut server = TcpStream::connect(to).await?;
    // In one piece: a server that refuses by the head and closes would reset what comes after it,
    // and its answer would be lost.
    server.write_all(&request).await?;
    io::copy_bidirectional(&mut client, &mut server).await?;
    Ok(())
}

/// The head with the token, and with the one request on its connection.
fn rewritten(head: &str, own: SocketAddr, to: &str, token: &str) -> String {
    let own = [own.to_string(), format!("localhost:{}", own.port())];
    let mut lines = head.split("\r\n");
    let mut out = format!("{}\r\n", lines.next().unwrap_or_default());
    for line in lines {
        let name = line
            .split(':')
            .next()
            .unwrap_or_default()
            .to_ascii_lowercase();
        match name.as_str() {
            "connection" | "authorization" => {}
            "host" | "origin" => {
                let line = own
                    .iter()
                    .fold(line.to_owned(), |line, own| line.replace(own, to));
                out += &format!("{line}\r\n");
            }
            _ => out += &format!("{line}\r\n"),
        }
    }
    out + &format!("Authorization: Bearer {token}\r\nConnection: close\r\n\r\n")
}

#[test]
fn only_its_own_address_is_replaced() {
    let own = "127.0.0.1:4000".parse().expect("an address");
    let head = "POST /mcp HTTP/1.1\r\nHost: 127.0.0.1:4000\r\nOrigin: http://localhost:4000\r\n\
                Connection: keep-alive\r\nMcp-Name:   a  ";
    let out = "POST /mcp HTTP/1.1\r\nHost: 127.0.0.1:7420\r\nOrigin: http://127.0.0.1:7420\r\n\
               Mcp-Name:   a  \r\nAuthorization: Bearer t\r\nConnection: close\r\n\r\n";
    assert_eq!(rewritten(head, own, "127.0.0.1:7420", "t"), out);
    let foreign = "POST /mcp HTTP/1.1\r\nHost: evil.example.com";
    assert!(
        rewritten(foreign, own, "127.0.0.1:7420", "t").contains("\r\nHost: evil.example.com\r\n")
    );
}
