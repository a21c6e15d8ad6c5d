//! When a nats-server serves: it has written on which ports it listens, and greets who connects.

use std::{fs, io, path::Path, time::Duration};

use serde::Deserialize;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader},
    net::TcpStream,
    time::timeout,
};

/// The greeting is one line; a mesh of thousands of servers fits in it, in bytes.
const GREETING_MAX: u64 = 64 << 10;
const GREETING_WITHIN: Duration = Duration::from_secs(1);

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ports {
    /// The client port.
    pub(super) client: u16,
    /// The URL of its HTTP monitoring, where that listens.
    pub(super) monitor: Option<String>,
}

/// What `--ports_file_dir` has nats-server write.
#[derive(Deserialize)]
struct File {
    nats: Vec<String>,
    #[serde(default)]
    monitoring: Vec<String>,
}

/// What a server says first on a connection.
#[derive(Deserialize)]
struct Greeting {
    port: u16,
    #[serde(default)]
    jetstream: bool,
    #[serde(default)]
    auth_required: bool,
}

impl Ports {
    /// Reads the one file of the folder; none while it is missing or half written.
    pub(super) fn read(dir: &Path) -> Option<Self> {
        let entry = fs::read_dir(dir).ok()?.next()?.ok()?;
        Self::parse(&fs::read(entry.path()).ok()?)
    }

    fn parse(text: &[u8]) -> Option<Self> {
        let file: File = serde_json::from_slice(text).ok()?;
        let client = file.nats.first()?.rsplit(':').next()?.parse().ok()?;
        Some(Self {
            client,
            monitor: file.monitoring.into_iter().next(),
        })
    }

    /// Connects and reads the greeting.
    ///
    /// # Errors
    /// Nobody listens, or it is not the server that the configuration makes: with streams, and
    /// open to nobody without a key or token.
    pub(super) async fn greet(&self) -> io::Result<()> {
        let client = self.client;
        let line = async move {
            let stream = TcpStream::connect(("127.0.0.1", client)).await?;
            let mut line = String::new();
            let mut reader = BufReader::new(stream).take(GREETING_MAX);
            reader.read_line(&mut line).await?;
            io::Result::Ok(line)
        };
        let line = timeout(GREETING_WITHIN, line).await??;
        check(&line, client).map_err(|why| io::Error::new(io::ErrorKind::InvalidData, why))
    }
}

fn check(line: &str, port: u16) -> Result<(), &'static str> {
    let json = line.strip_prefix("INFO ").ok_or("it is no nats-server")?;
    let greeting: Greeting = serde_json::from_str(json).map_err(|_| "its greeting is no JSON")?;
    if greeting.port != port {
        Err("another server answers on its port")
    } else if !greeting.jetstream {
        Err("it has no JetStream")
    } else if !greeting.auth_required {
        Err("it lets anybody in")
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ports_are_read_from_a_whole_file_only() {
        let whole =
            br#"{"nats":["nats://127.0.0.1:37813"],"monitoring":["http://127.0.0.1:40459"]}"#;
        let ports = Ports::parse(whole).expect("whole");
        assert_eq!(ports.client, 37813);
        assert_eq!(ports.monitor.as_deref(), Some("http://127.0.0.1:40459"));
        assert_eq!(Ports::parse(&whole[..40]), None);
        let plain = Ports::parse(br#"{"nats":["nats://127.0.0.1:4222"]}"#).expect("whole");
        assert_eq!(plain.monitor, None);
    }

    #[test]
    fn only_our_own_server_is_ready() {
        let info = |jetstream, auth| {
            format!(r#"INFO {{"port":4222,"jetstream":{jetstream},"auth_required":{auth},"x":1}}"#)
        };
        assert_eq!(check(&info(true, true), 4222), Ok(()));
        assert_eq!(
            check(&info(true, true), 4223),
            Err("another server answers on its port")
        );
        assert_eq!(check(&info(false, true), 4222), Err("it has no JetStream"));
        assert_eq!(check(&info(true, false), 4222), Err("it lets anybody in"));
        assert_eq!(check("HTTP/1.1 400", 4222), Err("it is no nats-server"));
        assert_eq!(check("INFO {", 4222), Err("its greeting is no JSON"));
    }
}
