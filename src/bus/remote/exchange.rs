//! One call on one connection, from its request to its terminal.

mod beside;

use std::{sync::Arc, time::Duration};

use async_nats::{HeaderMap, Message, Subject, message::OutboundMessage};
use bytes::Bytes;
use tokio::time::Instant;

use super::{
    Outcome, Remote,
    failure::{absent, broken, denied, mesh_error, not_taken, silent, wordless},
};
use crate::{
    bus::{
        fault,
        inbox::{Heard, Ticket},
        link::Line,
        parts::{self, Assembly, Digest, HEADER_ROOM, PartError},
        wire,
    },
    call::{Call, Reply, context::Credential},
    error::{Error, Kind, case},
    name::{
        CallId, Identity,
        header::{Frame, Terms},
        subject,
    },
};

/// So long without a word after a call was accepted, and it is given up.
pub(super) const SILENCE_MAX: Duration = Duration::from_secs(45);

/// A call under way.
pub(super) struct Exchange<'a> {
    remote: &'a Remote,
    line: &'a Line,
    call: &'a Call,
    ticket: Ticket,
    /// Which instance answers, once it said so.
    instance: Option<Arc<str>>,
    /// The number of the next notification.
    next: u32,
    assembly: Option<Assembly>,
    /// How far the instance got with our parts.
    got: u32,
    /// Whether an instance said that it has the call.
    taken: bool,
    /// Until when one has to; `None` where there is no hurry.
    patient_until: Option<Instant>,
    /// Whether somebody may be at work for us who must be told when we leave.
    running: bool,
    /// Whose calls went in the message of this one: of nobody there only this one is told.
    beside: Vec<CallId>,
}

impl<'a> Exchange<'a> {
    pub(super) fn open(remote: &'a Remote, line: &'a Line, call: &'a Call) -> Result<Self, Error> {
        let identity = caller(remote, call);
        let request = &call.request;
        let (method, name) = (request.method(), request.name());
        let to = match &call.instance {
            Some(at) => subject::instance(identity, &call.server, at.as_str(), method, name),
            None => subject::request(identity, &call.server, method, name),
        };
        if to.len() > subject::BYTES_MAX {
            return Err(Error::new(
                Kind::InvalidParams,
                "the names in the call are too long for a subject",
            ));
        }
        let own = remote.link().identity();
        let reply = subject::reply(own, &line.connection, &call.server, call.context.id);
        let ticket = line
            .pending
            .open(call.context.id, to.into(), reply.into())?;
        // A loss before the ticket was there was not told to it.
        if !line.is_up() {
            return Err(line.down());
        }
        Ok(Self {
            ticket,
            remote,
            line,
            call,
            instance: None,
            next: 1,
            assembly: None,
            got: 0,
            taken: false,
            patient_until: call.context.patience.map(|wait| Instant::now() + wait),
            running: false,
            beside: Vec::new(),
        })
    }

    pub(super) async fn send(&mut self, reference: Option<&Arc<str>>) -> Result<(), Error> {
        let (message, large) = self.opening(reference)?;
        self.running = true;
        let sent = self.line.send(message).await;
        self.running = sent.is_ok();
        sent?;
        if large {
            // On the heap, like all that few calls need: a call's own future is moved often, and
            // is the larger by the largest of its parts.
            Box::pin(self.upload()).await?;
        }
        Ok(())
    }

    fn bearer(&self) -> Option<&Arc<str>> {
        match self.call.context.credential.as_ref()? {
            Credential::Bearer(bearer) | Credential::Either { bearer, .. } => Some(bearer),
            Credential::Reference(_) => None,
        }
    }

    /// Tells whoever is at work on a call of this caller's that nobody waits for it. Without room for
    /// the message at once it is not sent; the server's own deadline ends the call then.
    fn cancel(&self, call: CallId) {
        let to = subject::cancel(caller(self.remote, self.call), &self.call.server);
        self.line.send_now(OutboundMessage {
            subject: to.into(),
            reply: None,
            headers: None,
            payload: Bytes::from(call.to_string()),
        });
    }

    /// The first message of the call, and whether its body comes behind it in parts.
    fn opening(&self, reference: Option<&Arc<str>>) -> Result<(OutboundMessage, bool), Error> {
        let mut terms = wire::terms(self.call);
        terms.token = reference.map(Arc::clone);
        let bearer = self.bearer().filter(|_| reference.is_none());
        let bearer = bearer.map(AsRef::as_ref);
        let body = self.call.request.body();
        let header_room = HEADER_ROOM + bearer.map_or(0, str::len);
        let large = body.len() > self.line.client.max_payload().saturating_sub(header_room);
        if large {
            terms.parts = Some((parts::count(body.len()), body.len()));
        }
        let headers = wire::request_headers(&terms, bearer)?;
        let opening = if large { Bytes::new() } else { body.clone() };
        let to = self.ticket.subject().clone();
        Ok((self.message(to, headers, opening), large))
    }

    /// Sends a large body to the instance that took the call, a window at a time.
    async fn upload(&mut self) -> Result<(), Error> {
        let body = self.call.request.body();
        while self.instance.is_none() {
            if !self.upload_step().await? {
                return Ok(());
            }
        }
        let last = parts::count(body.len());
        let mut digest = Digest::default();
        for n in 1..=last {
            while n > self.got.saturating_add(parts::WINDOW) {
                if !self.upload_step().await? {
                    return Ok(());
                }
            }
            let part = parts::part(body, n);
            digest.add(&part);
            let terms = Terms {
                digest: (n == last).then(|| digest.clone().finish().into()),
                ..Terms::default()
            };
            self.tell(Frame::Part(n), &terms, part).await?;
        }
        Ok(())
    }

    /// Hears one thing while a body goes out; says whether to go on. An end that comes now is an
    /// answer before the body was there: a refusal.
    async fn upload_step(&mut self) -> Result<bool, Error> {
        match self.next().await? {
            Heard::Frame(frame, message) => {
                Box::pin(self.frame(frame, message)).await?;
                Ok(true)
            }
            end => {
                self.ticket.put_back(end);
                Ok(false)
            }
        }
    }

    /// Publishes to the instance that answers.
    async fn tell(&self, frame: Frame, terms: &Terms, body: Bytes) -> Result<(), Error> {
        let Some(instance) = &self.instance else {
            return Ok(());
        };
        let request = &self.call.request;
        let identity = caller(self.remote, self.call);
        let to = subject::instance(
            identity,
            &self.call.server,
            instance,
            request.method(),
            request.name(),
        );
        let headers = wire::frame_headers(frame, terms);
        let message = self.message(to.into(), Some(headers), body);
        self.line.send(message).await
    }

    fn message(&self, to: Subject, headers: Option<HeaderMap>, body: Bytes) -> OutboundMessage {
        OutboundMessage {
            subject: to,
            reply: Some(self.ticket.reply().clone()),
            headers,
            payload: body,
        }
    }

    /// What comes next; once an instance said that it is at work, not later than [`SILENCE_MAX`].
    async fn next(&self) -> Result<Heard, Error> {
        let (until, late): (_, fn(&Call) -> Error) = match (self.taken, self.patient_until) {
            (true, _) => (Instant::now() + SILENCE_MAX, silent),
            (false, Some(until)) => (until, not_taken),
            (false, None) => return Ok(self.ticket.next().await),
        };
        let next = Box::pin(tokio::time::timeout_at(until, self.ticket.next()));
        next.await.map_err(|_| late(self.call))
    }

    pub(super) async fn hear(&mut self) -> Result<Outcome, Error> {
        loop {
            match self.next().await? {
                Heard::Frame(frame, message) => Box::pin(self.frame(frame, message)).await?,
                Heard::Terminal(message) => {
                    self.running = false;
                    return self.terminal(message);
                }
                Heard::NoResponders => {
                    self.running = false;
                    self.line.pending.absent(&self.beside);
                    // Said of an acknowledgement, it is about an instance that had answered.
                    return Err(if self.assembly.is_some() {
                        fault::gone(&self.call.server)
                    } else {
                        absent(&self.call.server)
                    });
                }
                Heard::Denied => {
                    self.running = false;
                    return Err(denied(self.call, self.ticket.subject()));
                }
                Heard::Lost => {
                    self.running = false;
                    return Err(fault::lost());
                }
            }
        }
    }

    async fn frame(&mut self, frame: Frame, message: Message) -> Result<(), Error> {
        let terms = self.terms_of(&message)?;
        self.taken = true;
        if self.instance.is_none() {
            self.instance.clone_from(&terms.instance);
        }
        match frame {
            // Of one sender, in order: what comes with an old number was there before.
            Frame::Message(n) if n < self.next => {}
            Frame::Message(n) => {
                if let Some(notify) = &self.call.context.notify {
                    notify.lost(u64::from(n - self.next));
                    notify.send(message.payload.clone());
                }
                self.next = n.saturating_add(1);
            }
            Frame::Part(n) => {
                let added = self.add(n, &terms, &message.payload);
                let acknowledge = added.map_err(|error| broken(&self.call.server, &error))?;
                if let Some(n) = acknowledge {
                    self.tell(Frame::Got(n), &Terms::default(), Bytes::new())
                        .await?;
                }
            }
            Frame::Got(n) => self.got = self.got.max(n),
            Frame::Ack | Frame::KeepAlive => {}
        }
        Ok(())
    }

    /// Takes a part of the answer. Says up to which one they are to be acknowledged now.
    fn add(&mut self, n: u32, terms: &Terms, part: &[u8]) -> Result<Option<u32>, PartError> {
        if let Some(assembly) = &mut self.assembly {
            return assembly.add(n, part);
        }
        let (_, size) = terms.parts.ok_or(PartError::Unannounced)?;
        let assembly = Assembly::new(size, self.remote.inner.bounds.body)?;
        self.assembly.insert(assembly).add(n, part)
    }

    fn terms_of(&self, message: &Message) -> Result<Terms, Error> {
        wire::read_terms(message).map_err(|error| fault::garbled(&self.call.server, &error))
    }

    fn terminal(&mut self, message: Message) -> Result<Outcome, Error> {
        let terms = self.terms_of(&message)?;
        if let (Some(notify), Some(frames)) = (&self.call.context.notify, terms.frames) {
            notify.lost(u64::from(
                frames.saturating_add(1).saturating_sub(self.next),
            ));
        }
        let server = &self.call.server;
        let failed = wire::header(&message, &wire::SERVICE_ERROR_CODE).is_some();
        let body = match self.assembly.take() {
            Some(assembly) if message.payload.is_empty() => assembly
                .finish(terms.digest.as_deref())
                .map_err(|error| broken(server, &error))?,
            // Words of its own in place of the rest: an error.
            _ if failed && message.payload.is_empty() => return Err(wordless(server, &message)),
            _ => message.payload,
        };
        if failed && let Some(error) = mesh_error(&body) {
            if error.is_case(case::TOKEN_UNKNOWN) {
                return Ok(Outcome::TokenUnknown(error));
            }
            return Err(error);
        }
        Ok(Outcome::Answer(Reply { body, failed }))
    }
}

impl Drop for Exchange<'_> {
    fn drop(&mut self) {
        if !self.running {
            return;
        }
        // We leave before the end: whoever is at work for us shall stop.
        self.cancel(self.call.context.id);
    }
}

/// As whom a call is published: an edge calls for its clients.
fn caller<'a>(remote: &'a Remote, call: &'a Call) -> &'a Identity {
    call.context
        .caller
        .as_ref()
        .unwrap_or_else(|| remote.link().identity())
}
