//! One client of the library, and what hangs on it.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::Poll,
    time::Duration,
};

use async_nats::{
    Client, ClientError, ConnectErrorKind, Event, ServerError, Subscriber,
    client::traits::Publisher as _, message::OutboundMessage,
};
use futures_util::{FutureExt as _, poll};
use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::{
    bus::{
        fault,
        inbox::{Heard, Pending},
    },
    error::{Error, Kind},
    name::{CallId, Connection, Identity, ServerName, subject},
};

/// How long a probe may take.
const PROBE_MAX: Duration = Duration::from_secs(2);
/// How long the library may have no room for a message.
const SEND_MAX: Duration = Duration::from_secs(2);
/// A refusal comes by another way than the probe behind it, so it may come this much later.
pub(in crate::bus) const REFUSAL_LATE: Duration = Duration::from_millis(20);
/// How often it is said that messages are lost.
const TELL_EVERY: Duration = Duration::from_secs(1);
/// Refused subscriptions that are remembered.
const REFUSED_MAX: usize = 64;

/// A broker that was away refuses everybody until its control plane is back, too: only so many
/// refusals in a row are then about us.
const REFUSALS_AFTER_RETURN: u32 = 6;
/// And where nobody saw it away: one that is started again at once may be back before the first
/// attempt to connect. Three attempts take 280 ms, and the control plane tries every 100.
const REFUSALS: u32 = 3;

/// What came of the library's attempts to connect again.
#[derive(Debug, Default)]
struct Door {
    /// The broker could not be reached meanwhile.
    away: bool,
    /// Refusals in a row.
    refusals: u32,
}

impl Door {
    /// Another attempt failed, for this reason of the library's.
    fn knock(&mut self, why: &str) {
        if why == ConnectErrorKind::AuthorizationViolation.to_string() {
            self.refusals = self.refusals.saturating_add(1);
        } else {
            *self = Self {
                away: true,
                refusals: 0,
            };
        }
    }

    /// Whether it is us that the broker does not let in.
    fn is_barred(&self) -> bool {
        self.refusals
            >= if self.away {
                REFUSALS_AFTER_RETURN
            } else {
                REFUSALS
            }
    }
}

/// A client, its subscription for answers, and the calls that wait for them.
#[derive(Debug)]
pub(in crate::bus) struct Line {
    pub(in crate::bus) client: Client,
    pub(in crate::bus) connection: Connection,
    pub(in crate::bus) pending: Arc<Pending>,
    up: AtomicBool,
    /// Cancelled when the connection of now goes. The library makes another one for this line.
    life: Mutex<CancellationToken>,
    door: Mutex<Door>,
    /// Cancelled when the library's connection task has ended.
    pub(super) dead: CancellationToken,
    refused: watch::Sender<VecDeque<String>>,
    spilled: Mutex<Spilled>,
}

/// Messages that no subscription had room for, since that was said.
#[derive(Debug, Default)]
struct Spilled {
    told: Option<Instant>,
    messages: u64,
}

impl Line {
    pub(super) fn new(client: Client, connection: Connection) -> Self {
        Self {
            client,
            connection,
            pending: Arc::default(),
            up: AtomicBool::new(true),
            life: Mutex::default(),
            door: Mutex::default(),
            dead: CancellationToken::new(),
            refused: watch::Sender::default(),
            spilled: Mutex::default(),
        }
    }

    pub(in crate::bus) fn is_up(&self) -> bool {
        self.up.load(Ordering::Acquire)
    }

    /// What a call is told for which there is no connection.
    pub(in crate::bus) fn down(&self) -> Error {
        if self.door().is_barred() {
            fault::barred()
        } else {
            fault::down()
        }
    }

    fn door(&self) -> MutexGuard<'_, Door> {
        self.door.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Is cancelled when the connection of now goes: what was asked of it will not come.
    pub(in crate::bus) fn life(&self) -> CancellationToken {
        self.living().clone()
    }

    fn living(&self) -> MutexGuard<'_, CancellationToken> {
        self.life.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn rise(&self) {
        *self.door() = Door::default();
        let mut life = self.living();
        if life.is_cancelled() {
            *life = CancellationToken::new();
        }
        drop(life);
        self.up.store(true, Ordering::Release);
    }

    /// The connection went: no call finds it, and those under way are told. In this order, so
    /// that a call which opens meanwhile is told, or sees it (`Exchange::open`).
    pub(super) fn fall(&self) {
        self.up.store(false, Ordering::Release);
        self.pending.lose();
        self.living().cancel();
    }

    /// Hands a message to the library, which has room at once or gets two seconds.
    ///
    /// # Errors
    /// What the library refuses; `SERVER_OVERLOADED` (BROKER_UNAVAILABLE) without room. Then the
    /// message is not sent.
    pub(in crate::bus) fn send(
        &self,
        message: OutboundMessage,
    ) -> impl Future<Output = Result<(), Error>> + Send + use<'_> {
        // On the heap: the library's future has the message in it four times, and ours would be
        // moved with all of them.
        // Not held to the task's budget: a task that answers many calls would pass for one that
        // waits for room.
        let sending = tokio::task::unconstrained(self.client.publish_message(message));
        let mut sending = sending.boxed();
        async move {
            // A timer is made only for who waits.
            if let Poll::Ready(sent) = poll!(&mut sending) {
                return sent.map_err(fault::publish);
            }
            Box::pin(tokio::time::timeout(SEND_MAX, sending))
                .await
                .map_err(|_| fault::stuck())?
                .map_err(fault::publish)
        }
    }

    /// Hands a message to the library if there is room now. Says whether there was.
    pub(in crate::bus) fn send_now(&self, message: OutboundMessage) -> bool {
        // Not held to the task's budget: who drops a thousand calls at once cancels them all.
        tokio::task::unconstrained(self.client.publish_message(message))
            .now_or_never()
            .is_some_and(|sent| sent.is_ok())
    }

    /// Subscribes; a request to a subject that nobody has comes back after the broker has seen
    /// the subscription, and after its refusal, if it refused.
    pub(in crate::bus) async fn subscribe(
        &self,
        identity: &Identity,
        subject: String,
        queue: bool,
    ) -> Result<Subscriber, Error> {
        // What was refused before may be granted now.
        self.refused
            .send_modify(|refused| refused.retain(|known| *known != subject));
        let subscribing = async {
            if queue {
                self.client
                    .queue_subscribe(subject.clone(), subject::QUEUE.to_owned())
                    .await
            } else {
                self.client.subscribe(subject.clone()).await
            }
        };
        let subscriber = tokio::time::timeout(PROBE_MAX, subscribing)
            .await
            .map_err(|_| fault::down())?
            .map_err(|error| fault::down().source(error))?;
        self.probe(identity).await?;
        if self.refuses(&subject).await {
            return Err(Error::new(
                Kind::AccessDenied,
                format!(
                    "the broker does not let `{identity}` subscribe to `{subject}`: its token \
                     has no permission for it"
                ),
            ));
        }
        Ok(subscriber)
    }

    /// A request that nobody answers: the broker must say so, or that it denies it. Where somebody
    /// listens to everything (`nats sub '>'`) it says nothing; then any sign of life will do.
    pub(in crate::bus) async fn probe(&self, identity: &Identity) -> Result<(), Error> {
        let call = CallId::now();
        let nobody = ServerName::new("prb").expect("it is a name");
        let to = subject::probe(identity);
        let reply = subject::reply(identity, &self.connection, &nobody, call);
        let ticket = self.pending.open_probe(call, to.into(), reply.into())?;
        let asked = async {
            self.send(OutboundMessage {
                subject: ticket.subject().clone(),
                reply: Some(ticket.reply().clone()),
                headers: None,
                payload: bytes::Bytes::new(),
            })
            .await?;
            match ticket.next().await {
                Heard::NoResponders | Heard::Denied => Ok(()),
                Heard::Lost => Err(fault::down()),
                other => Err(Error::new(
                    Kind::InternalError,
                    format!("a request that nobody may answer was answered: {other:?}"),
                )),
            }
        };
        let before = self.bytes_heard();
        tokio::time::timeout(PROBE_MAX, asked)
            .await
            .unwrap_or_else(|_| {
                if self.bytes_heard() == before {
                    Err(fault::down())
                } else {
                    Ok(())
                }
            })
    }

    fn bytes_heard(&self) -> u64 {
        self.client.statistics().in_bytes.load(Ordering::Relaxed)
    }

    /// Whether the broker refused a subscription. Asked after a probe.
    pub(super) async fn refuses(&self, subject: &str) -> bool {
        let mut refused = self.refused.subscribe();
        let told = refused.wait_for(|refused| refused.iter().any(|known| known == subject));
        tokio::time::timeout(REFUSAL_LATE, told).await.is_ok()
    }

    pub(super) fn hear(&self, event: &Event) {
        match event {
            Event::Connected => self.rise(),
            Event::Disconnected | Event::Closed => self.fall(),
            Event::ServerError(error) => self.hear_error(error),
            Event::SlowConsumer(_) => self.spill(),
            Event::ClientError(ClientError::Other(why)) => self.door().knock(why),
            Event::LameDuckMode | Event::Draining | Event::ClientError(_) => {
                tracing::debug!(%event, "the connection to the broker");
            }
        }
    }

    /// A message had no room. It is said once a second: they come by thousands.
    fn spill(&self) {
        let mut spilled = self.spilled.lock().unwrap_or_else(PoisonError::into_inner);
        spilled.messages += 1;
        if spilled.told.is_none_or(|told| told.elapsed() >= TELL_EVERY) {
            tracing::warn!(
                messages = spilled.messages,
                "a subscription held more messages than it may; the newest are lost"
            );
            *spilled = Spilled {
                told: Some(Instant::now()),
                messages: 0,
            };
        }
    }

    fn hear_error(&self, error: &ServerError) {
        let text = error.to_string();
        if let Some(subject) = fault::denied_publish(&text) {
            self.pending.deny(subject);
        } else if let Some(subject) = fault::denied_subscription(&text) {
            self.refused.send_modify(|refused| {
                if refused.len() == REFUSED_MAX {
                    refused.pop_front();
                }
                refused.push_back(subject.to_owned());
            });
        } else {
            tracing::warn!(error = text, "the broker refused something");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_that_was_started_again_may_refuse_for_a_while() {
        let refused = ConnectErrorKind::AuthorizationViolation.to_string();
        let mut door = Door::default();
        assert!(!door.is_barred());
        for n in 1..=REFUSALS {
            door.knock(&refused);
            assert_eq!(door.is_barred(), n == REFUSALS, "{n}, never seen away");
        }
        door.knock("IO error");
        assert!(!door.is_barred());
        for n in 1..=REFUSALS_AFTER_RETURN {
            door.knock(&refused);
            assert_eq!(door.is_barred(), n == REFUSALS_AFTER_RETURN, "{n}");
        }
    }
}
