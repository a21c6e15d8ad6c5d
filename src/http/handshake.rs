//! From a connection to one that is encrypted, in time, and not too many at once.

use std::{sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::Semaphore,
    time::timeout,
};
use tokio_rustls::{LazyConfigAcceptor, rustls::server::Acceptor, server::TlsStream};

use super::tls::Certificates;

/// How long a client may take until its connection is encrypted.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// Handshakes that are worked on at once: each costs a signature. Whoever has said nothing yet
/// holds none of these places, only one of the connections.
const HANDSHAKES_MAX: usize = 64;
/// How a TLS record of a handshake begins.
const HANDSHAKE: u8 = 0x16;
/// How long one that spoke plainly may take to hear that.
const PLAIN_MAX: Duration = Duration::from_secs(1);
/// How much of what it sent is read, so that it hears the answer, in bytes.
const PLAIN_BYTES: usize = 64 * 1024;

/// What one that speaks plainly is told.
const PLAINLY: &[u8] = b"HTTP/1.1 400 Bad Request\r\n\
    Content-Type: text/plain\r\nContent-Length: 47\r\nConnection: close\r\n\r\n\
    TLS is spoken here: begin the URL with https://";

/// Encrypts connections. Clones share their bound.
#[derive(Clone, Debug)]
pub(super) struct Handshakes {
    certificates: Certificates,
    places: Arc<Semaphore>,
}

impl Handshakes {
    pub(super) fn new(certificates: Certificates) -> Self {
        Self {
            certificates,
            places: Arc::new(Semaphore::new(HANDSHAKES_MAX)),
        }
    }

    /// An encrypted connection; none where the other end did not come to one in time.
    pub(super) async fn shake(self, stream: TcpStream) -> Option<TlsStream<TcpStream>> {
        match timeout(HANDSHAKE_MAX, self.encrypt(stream)).await {
            Ok(Ok(encrypted)) => encrypted,
            Ok(Err(error)) => {
                tracing::debug!(%error, "a TLS handshake failed");
                None
            }
            Err(_) => {
                tracing::debug!("a TLS handshake was not done within {HANDSHAKE_MAX:?}");
                None
            }
        }
    }

    async fn encrypt(&self, stream: TcpStream) -> std::io::Result<Option<TlsStream<TcpStream>>> {
        let mut first = [0];
        if stream.peek(&mut first).await? == 0 {
            return Ok(None);
        }
        if first != [HANDSHAKE] {
            refuse_plain(stream).await;
            return Ok(None);
        }
        let hello = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
        let Ok(_place) = self.places.acquire().await else {
            return Ok(None);
        };
        hello.into_stream(self.certificates.now()).await.map(Some)
    }
}

/// Says to a client that speaks plainly what is wrong. Nothing that it sent is looked at.
async fn refuse_plain(mut stream: TcpStream) {
    let told = async {
        stream.write_all(PLAINLY).await?;
        stream.shutdown().await?;
        let mut left = (&mut stream).take(PLAIN_BYTES as u64);
        tokio::io::copy(&mut left, &mut tokio::io::sink()).await
    };
    match timeout(PLAIN_MAX, told).await {
        Ok(Err(error)) => tracing::debug!(%error, "one that spoke plainly has gone"),
        Ok(Ok(_)) | Err(_) => tracing::debug!("a client spoke plainly where TLS is spoken"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_plain_are_told_is_as_long_as_it_says() {
        let text = std::str::from_utf8(PLAINLY).expect("text");
        let (head, body) = text.split_once("\r\n\r\n").expect("a head and a body");
        let length = format!("Content-Length: {}\r\n", body.len());
        assert!(head.contains(&length), "{head}");
    }
}
