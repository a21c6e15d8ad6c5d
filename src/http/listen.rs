//! Taking connections, as many as there may be, and letting go of them in the end.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{Request, State},
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
};
use hyper::{http::StatusCode, server::conn::http1};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tokio_io_timeout::TimeoutStream;
use tokio_util::sync::CancellationToken;

use super::{
    Guard, GuardError, Options, TlsError, drain, handshake::Handshakes, tls::Certificates,
};
use crate::spawn::{Failure, Tasks};

/// How long no connection is taken after one could not be: the machine has no room for more.
const AFTER_FAILURE: Duration = Duration::from_millis(100);
/// How much of a head is read at most, in bytes.
const HEAD_MAX: usize = 64 * 1024;

/// Why nobody can be listened to.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Somebody else does already.
    #[error(
        "{0} is taken by another program (`ss -ltnp` says which): give another address with \
         --listen, or port 0 for a free one"
    )]
    Taken(SocketAddr),
    /// Anything else.
    #[error("{0} can't be listened on: {1}")]
    Failed(SocketAddr, io::Error),
    /// Its certificate.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// A listener at work.
#[derive(Debug)]
pub struct Listening {
    /// Where it listens.
    pub address: SocketAddr,
    /// Whether TLS is spoken there.
    pub tls: bool,
    tasks: Tasks,
}

impl Listening {
    /// Takes no more connections, and gives those that are there some time to end.
    pub async fn stop(&self, grace: Duration) -> bool {
        self.tasks.stop(grace).await
    }
}

/// An address that is ours. Nothing is answered yet.
#[derive(Debug)]
pub struct Bound {
    listener: TcpListener,
    options: Options,
    certificates: Option<Certificates>,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Bound {
    /// Takes the address, and reads the certificate.
    ///
    /// # Errors
    /// [`ListenError`].
    pub async fn bind(options: Options) -> Result<Self, ListenError> {
        let certificates = options.tls.clone().map(Certificates::load).transpose()?;
        let failed = |error: io::Error| match error.kind() {
            io::ErrorKind::AddrInUse => ListenError::Taken(options.listen),
            _ => ListenError::Failed(options.listen, error),
        };
        let listener = TcpListener::bind(options.listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self {
            listener,
            options,
            certificates,
            address,
        })
    }

    /// Answers by these routes. Ends with `tasks`, or alone.
    #[must_use]
    pub fn serve(self, routes: Router, tasks: &Tasks) -> Listening {
        let guard = Arc::new(Guard::new(&self.options, self.address));
        let tasks = tasks.group();
        let door = Door {
            router: routes.layer(middleware::from_fn_with_state(guard, turn_away)),
            times: Times {
                head: self.options.head_time,
                stall: self.options.stall_time,
            },
            handshakes: self.certificates.clone().map(Handshakes::new),
            tasks: tasks.clone(),
        };
        let tls = self.certificates.is_some();
        if let Some(certificates) = self.certificates {
            certificates.follow(&tasks);
        }
        let places = Arc::new(Semaphore::new(self.options.connections));
        let stop = tasks.stopping();
        tasks.spawn("listener", Failure::Stops, async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = door.run(self.listener, places) => {}
            }
        });
        Listening {
            address: self.address,
            tls,
            tasks,
        }
    }
}

/// Turns away what is not meant for us, whatever it asks.
async fn turn_away(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Response {
    match guard.check(request.uri(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(why) => {
            drain(request.into_body()).await;
            let status = match why {
                GuardError::Query => StatusCode::BAD_REQUEST,
                GuardError::Host(_) | GuardError::Origin(_) => StatusCode::FORBIDDEN,
            };
            (status, why.to_string()).into_response()
        }
    }
}

/// How long a client may take.
#[derive(Clone, Copy)]
struct Times {
    /// For the head of a request.
    head: Duration,
    /// Without taking anything of an answer.
    stall: Duration,
}

struct Door {
    router: Router,
    times: Times,
    handshakes: Option<Handshakes>,
    tasks: Tasks,
}

impl Door {
    async fn run(self, listener: TcpListener, places: Arc<Semaphore>) {
        loop {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else {
                return;
            };
            match listener.accept().await {
                Ok((stream, _)) => self.let_in(stream, place),
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be taken");
                    tokio::time::sleep(AFTER_FAILURE).await;
                }
            }
        }
    }

    fn let_in(&self, stream: TcpStream, place: OwnedSemaphorePermit) {
        // Answers are written whole: there is nothing to wait for.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "a connection has gone already");
        }
        let (router, times) = (self.router.clone(), self.times);
        let stop = self.tasks.stopping();
        let handshakes = self.handshakes.clone();
        self.tasks.spawn("connection", Failure::Logged, async move {
            let _place = place;
            let Some(handshakes) = handshakes else {
                return answer(stream, router, times, stop).await;
            };
            let encrypted = tokio::select! {
                encrypted = handshakes.shake(stream) => encrypted,
                () = stop.cancelled() => None,
            };
            if let Some(encrypted) = encrypted {
                answer(encrypted, router, times, stop).await;
            }
        });
    }
}

/// Answers what comes over one connection, until it ends or shall end.
async fn answer(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    router: Router,
    times: Times,
    stop: CancellationToken,
) {
    // Who takes nothing must not keep a place, and what waits for him, for ever.
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(times.stall));
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(times.head)
        .max_buf_size(HEAD_MAX)
        .serve_connection(
            TokioIo::new(Box::pin(stream)),
            TowerToHyperService::new(router),
        );
    let mut serving = std::pin::pin!(serving);
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        () = stop.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection broke");
    }
}
