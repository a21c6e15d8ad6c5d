//! A way to the broker on which answers get lost: what a client says arrives, and of what the
//! broker says a window is dropped, after which the connection is reset.

use std::{
    net::SocketAddr,
    ops::Range,
    sync::{Arc, Mutex},
    time::Duration,
};

use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::sleep,
};
use weftbus::spawn::{Failure, Tasks};

/// Bytes that pass before the window at least: about as many as a client is told while it joins.
pub(crate) const PASS_MIN: usize = 3_000;
/// Bytes of the window.
const WINDOW: Range<usize> = 200..4_000;
/// A window that is not full by then ends all the same.
const QUIET: Duration = Duration::from_millis(100);
/// What an acknowledgement has, and nothing else that a writer is told.
const ACKNOWLEDGEMENT: &[u8] = br#""stream":"WEFT_"#;

/// What was done so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) resets: u64,
    pub(crate) bytes: u64,
    /// Acknowledgements among the bytes that were dropped.
    pub(crate) acknowledgements: u64,
}

/// A way to the broker.
#[derive(Debug)]
pub(crate) struct Proxy {
    address: SocketAddr,
    counts: Arc<Mutex<Counts>>,
    tasks: Tasks,
}

impl Proxy {
    /// A way to this address, with so many bytes before each window. The same seed gives the same
    /// windows.
    pub(crate) async fn start(to: String, pass: Range<usize>, seed: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("it is bound");
        let (counts, tasks) = (Arc::default(), Tasks::new());
        let way = Way {
            to,
            pass,
            counts: Arc::clone(&counts),
        };
        let (stop, group) = (tasks.stopping(), tasks.clone());
        let accept = async move {
            let mut seeds = StdRng::seed_from_u64(seed);
            while let Ok((client, _)) = listener.accept().await {
                let (one, random) = (way.clone(), StdRng::from_rng(&mut seeds));
                let stop = group.stopping();
                group.spawn("proxied connection", Failure::Logged, async move {
                    stop.run_until_cancelled(one.join(client, random)).await;
                });
            }
        };
        tasks.spawn("proxy", Failure::Logged, async move {
            stop.run_until_cancelled(accept).await;
        });
        Self {
            address,
            counts,
            tasks,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("nats://{}", self.address)
    }

    pub(crate) fn counts(&self) -> Counts {
        *self.counts.lock().expect("not poisoned")
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.tasks.cancel();
    }
}

/// What all connections have in common.
#[derive(Clone)]
struct Way {
    to: String,
    pass: Range<usize>,
    counts: Arc<Mutex<Counts>>,
}

impl Way {
    /// One connection, to its end.
    async fn join(&self, client: TcpStream, random: StdRng) {
        // A broker that is away is the client's to find out.
        let Ok(broker) = TcpStream::connect(&self.to).await else {
            return;
        };
        let (mut client, mut broker) = (client, broker);
        for end in [&client, &broker] {
            end.set_nodelay(true).expect("it is open");
        }
        let cut = {
            let (mut from_client, to_client) = client.split();
            let (from_broker, mut to_broker) = broker.split();
            let there = async {
                drop(tokio::io::copy(&mut from_client, &mut to_broker).await);
                false
            };
            tokio::select! {
                cut = there => cut,
                cut = self.back(from_broker, to_client, random) => cut,
            }
        };
        if cut {
            self.counts.lock().expect("not poisoned").resets += 1;
            // Reset, not ended: what is still on its way is lost too.
            client.set_zero_linger().expect("it is open");
        }
        // The broker reads to the end what it was sent.
        drop(broker.shutdown().await);
    }

    /// The broker's words: so many pass, a window is dropped. Says whether that came about.
    async fn back(
        &self,
        mut from: impl tokio::io::AsyncRead + Unpin,
        mut to: impl tokio::io::AsyncWrite + Unpin,
        mut random: StdRng,
    ) -> bool {
        let mut pass = random.random_range(self.pass.clone());
        let window = random.random_range(WINDOW);
        let mut buffer = vec![0; 16 * 1024];
        let mut dropped = Vec::new();
        while dropped.len() < window {
            let quiet = async {
                if dropped.is_empty() {
                    std::future::pending().await
                } else {
                    sleep(QUIET).await;
                }
            };
            let read = tokio::select! {
                read = from.read(&mut buffer) => read,
                () = quiet => break,
            };
            let Ok(read @ 1..) = read else {
                return false;
            };
            let (passes, drops) = buffer[..read].split_at(pass.min(read));
            pass -= passes.len();
            if to.write_all(passes).await.is_err() {
                return false;
            }
            dropped.extend_from_slice(drops);
        }
        let finder = memchr::memmem::find_iter(&dropped, ACKNOWLEDGEMENT);
        let mut counts = self.counts.lock().expect("not poisoned");
        counts.bytes += dropped.len() as u64;
        counts.acknowledgements += finder.count() as u64;
        true
    }
}
