//! Opening a process: which era it is of, and what it says of itself.
//!
//! By the client's rules of 2026-07-28 (basic/versioning, Backward Compatibility): ask
//! `server/discover`; a result or one of the errors that only 2026-07-28 has means modern, any
//! other error means `initialize` in the same process. A process that ended or stayed silent at
//! the question gets a successor that is asked `initialize` first: some older servers exit on
//! whatever comes before it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::watch,
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{link::Link, options::Options, trouble::Trouble, writer::Full};
use crate::{
    adapter::{
        handshake::{Probe, initialized, judged, opening, refusal, request},
        message::{Answer, Message, read},
        status::{Peer, Status},
    },
    child::{SpawnError, Watchdog},
    mcp::{framing::Line, version::Era},
    name::ServerName,
    spawn::Tasks,
};

/// A server that was found to be older is asked again after this: it may have been renewed, and
/// an older opening would go well for ever.
const LEGACY_HOLDS: Duration = Duration::from_secs(3600);
/// What is needed to open a server.
#[derive(Debug)]
pub(super) struct Opener<'a> {
    pub(super) server: &'a ServerName,
    pub(super) options: &'a Options,
    pub(super) watchdog: &'a Watchdog,
    pub(super) tasks: &'a Tasks,
    pub(super) ids: &'a AtomicU64,
    pub(super) status: Arc<watch::Sender<Status>>,
    pub(super) stopping: CancellationToken,
}

/// What the last opening found out, and when.
#[derive(Clone, Copy, Debug)]
pub(super) struct Verdict {
    era: Era,
    at: Instant,
}

/// Why a server could not be opened.
#[derive(Debug)]
pub(super) enum OpenError {
    /// There is nothing to start: waiting a little would not help.
    Missing(String),
    /// Anything else.
    Failed(String),
    /// The adapter is to end.
    Stopping,
}

impl From<SpawnError> for OpenError {
    fn from(error: SpawnError) -> Self {
        let why = error.to_string();
        match error {
            SpawnError::Other { .. } => Self::Failed(why),
            _ => Self::Missing(why),
        }
    }
}

/// Why there was no answer.
#[derive(Debug)]
enum Gap {
    Gone,
    Silent,
    Other(String),
    Stopping,
}

impl Opener<'_> {
    /// Starts a process and opens it.
    pub(super) async fn open(
        &self,
        verdict: &mut Option<Verdict>,
    ) -> Result<(Link, Peer), OpenError> {
        let known = verdict.filter(|v| v.era == Era::Legacy && v.at.elapsed() < LEGACY_HOLDS);
        let mut link = self.start()?;
        let found = match known {
            Some(_) => Ok(Probe::Legacy),
            None => self.probe(&mut link).await,
        };
        let opened = match found {
            Ok(Probe::Modern(peer)) => Ok(peer),
            Ok(Probe::Legacy) => self.initialize(&mut link).await,
            Ok(Probe::Successor) => {
                link.stop(self.options).await;
                link = self.start()?;
                self.initialize(&mut link).await
            }
            Ok(Probe::Foreign(why)) => Err(Gap::Other(why)),
            Err(gap) => Err(gap),
        };
        match opened {
            Ok(peer) => {
                // The date of a verdict is that of its question.
                *verdict = known.or(Some(Verdict {
                    era: peer.era,
                    at: Instant::now(),
                }));
                Ok((link, peer))
            }
            Err(gap) => {
                *verdict = None;
                Err(self.close(link, gap).await)
            }
        }
    }

    fn start(&self) -> Result<Link, SpawnError> {
        let link = Link::start(self.server, self.options, self.watchdog, self.tasks)?;
        self.status
            .send_modify(|status| status.pid = Some(link.child.pid()));
        Ok(link)
    }

    /// Ends a process that could not be opened, and says why it could not.
    async fn close(&self, mut link: Link, gap: Gap) -> OpenError {
        let within = self.options.start_timeout;
        let why = match gap {
            Gap::Stopping => {
                link.stop(self.options).await;
                return OpenError::Stopping;
            }
            Gap::Gone => {
                let words = link.last_words().await;
                let exit = link.stop(self.options).await;
                return OpenError::Failed(format!(
                    "it ended at its start with {exit}{words}. Run its command by hand to see why"
                ));
            }
            Gap::Silent => format!(
                "it did not answer `initialize` within {within:?}{}. Is it an MCP server on stdio? \
                 A slow one needs a longer start timeout",
                link.last_words().await
            ),
            Gap::Other(why) => why,
        };
        link.stop(self.options).await;
        OpenError::Failed(why)
    }

    async fn probe(&self, link: &mut Link) -> Result<Probe, Gap> {
        let within = self.options.probe_timeout;
        let discover = |id| request(id, "server/discover", "", Era::Modern);
        let answer = match self.ask(link, discover, within).await {
            Ok(answer) => answer,
            Err(Gap::Gone | Gap::Silent) => return Ok(Probe::Successor),
            Err(gap) => return Err(gap),
        };
        Ok(judged(&answer))
    }

    async fn initialize(&self, link: &mut Link) -> Result<Peer, Gap> {
        let params = opening();
        let within = self.options.start_timeout;
        let initialize = |id| request(id, "initialize", &params, Era::Legacy);
        let answer = self.ask(link, initialize, within).await?;
        let peer = initialized(&answer).map_err(Gap::Other)?;
        // Not before its answer is there: servers that were told earlier were seen to lose tools.
        let told = br#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
        link.writer
            .send(told.to_vec())
            .map_err(|Full| Gap::Silent)?;
        Ok(peer)
    }

    /// Asks the process, and waits for its answer.
    async fn ask(
        &self,
        link: &mut Link,
        request: impl FnOnce(u64) -> Vec<u8>,
        within: Duration,
    ) -> Result<Answer, Gap> {
        let id = self.ids.fetch_add(1, Ordering::Relaxed);
        link.writer.send(request(id)).map_err(|Full| Gap::Silent)?;
        tokio::select! {
            biased;
            () = self.stopping.cancelled() => Err(Gap::Stopping),
            answer = timeout(within, self.answer(link, id)) => {
                answer.unwrap_or(Err(Gap::Silent))
            }
        }
    }

    /// The answer to this id; whatever else comes meanwhile is answered or passed over.
    async fn answer(&self, link: &mut Link, id: u64) -> Result<Answer, Gap> {
        let mut trouble = Trouble::new(self.options.limits.bad_lines);
        let mut bad = |line: &[u8], why: &str| {
            self.status
                .send_modify(|status| status.dropped.bad_lines += 1);
            trouble.add(self.server, line, why).map_err(|_| {
                Gap::Other("it writes lines to its standard output that are no MCP messages: is it an MCP server on stdio?".to_owned())
            })
        };
        loop {
            let line = tokio::select! {
                biased;
                line = link.lines.next() => line,
                _ = link.child.wait() => return Err(Gap::Gone),
            };
            match line {
                Ok(Some(Line::Whole(line))) => {
                    for message in read(&line) {
                        match message {
                            Ok(Message::Answer(answer)) if answer.number() == Some(id) => {
                                return Ok(answer);
                            }
                            Ok(Message::Request { id, method }) => {
                                link.writer
                                    .send(refusal(&id, &method))
                                    .map_err(|Full| Gap::Silent)?;
                            }
                            Ok(_) => {}
                            Err(why) => bad(&line, &why)?,
                        }
                    }
                }
                Ok(Some(Line::TooLong { .. })) => bad(b"", "it is longer than the limit")?,
                Ok(None) | Err(_) => return Err(Gap::Gone),
            }
        }
    }
}
