//! What is done with each message of an open process, and with each wish of a handle.

use std::{
    ops::ControlFlow,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

use super::{
    failure,
    inbox::{Answered, Asked, Command},
    options::Limits,
    owner::Owner,
    pending::Pending,
    session::Why,
    trouble::Trouble,
    writer::{Full, Writer},
};
use crate::{
    adapter::{
        board::Board,
        follow::{Follow, Step},
        handshake::{refusal, request},
        message::{Answer, Message, Notification, read},
        pulse::{Pulse, Silence},
        raise,
        status::Peer,
    },
    error::Error,
    mcp::{framing::Line, members::quoted, tools::ToolList, version::Era},
    name::ServerName,
};

/// Where everything about an open process is kept.
#[derive(Debug)]
pub(super) struct Desk {
    peer: Arc<Peer>,
    limits: Limits,
    page_within: Duration,
    pending: Pending,
    follow: Follow,
    trouble: Trouble,
    pulse: Pulse,
    unlogged: u64,
    ids: Arc<AtomicU64>,
    board: Board,
}

impl Desk {
    pub(super) fn new(owner: &Owner, peer: Peer) -> Self {
        Self {
            peer: Arc::new(peer),
            limits: owner.options.limits,
            page_within: owner.options.start_timeout,
            pending: Pending::default(),
            follow: Follow::default(),
            trouble: Trouble::new(owner.options.limits.bad_lines),
            pulse: Pulse::new(owner.options.probing, Instant::now()),
            unlogged: 0,
            ids: Arc::clone(&owner.ids),
            board: Board {
                server: owner.server.clone(),
                status: Arc::clone(&owner.inbox.status),
                changed: owner.changed.clone(),
                touched: owner.touched.clone(),
            },
        }
    }

    pub(super) fn server(&self) -> &ServerName {
        &self.board.server
    }

    /// Begins with what the server has; it is up when that is known.
    pub(super) fn begin(&mut self) {
        let peer = Arc::clone(&self.peer);
        self.board
            .status
            .send_modify(|status| status.peer = Some(peer));
        let now = Instant::now();
        let listens = self.peer.era == Era::Modern && !self.peer.changes().is_empty();
        let reads = self.peer.offers("tools");
        self.follow.begin(reads, listens, now);
        if !reads {
            self.board.settle(&mut self.follow, Ok(ToolList::none()));
        }
    }

    /// When there is something to do next, without a message or a wish.
    pub(super) fn due(&self) -> Option<Instant> {
        let pulse = self.board.status.borrow().is_up().then(|| self.pulse.due());
        let due = [self.follow.due(), self.pending.due(), pulse];
        due.into_iter().flatten().min()
    }

    /// Does what is due.
    pub(super) fn tick(&mut self, writer: &mut Writer) -> ControlFlow<Why> {
        let now = Instant::now();
        self.pending.flush(now);
        for changed in self.follow.tells_now(now) {
            self.board.tell(changed);
        }
        if self.follow.is_late(now) {
            let why = format!("it did not answer within {:?}", self.page_within);
            self.board.settle(&mut self.follow, Err(why));
        }
        if self.follow.reads_now(now) {
            self.read_page(None, writer);
        }
        if self.follow.listens_now(now) {
            let params = format!(r#""notifications":{{{}}}"#, self.peer.changes());
            let id = self.ask("subscriptions/listen", &params, writer);
            self.follow.listening(id);
        }
        self.probe(now, writer)
    }

    /// Asks the server whether it answers, where it is time, and sees whether it did.
    fn probe(&mut self, now: Instant, writer: &mut Writer) -> ControlFlow<Why> {
        if !self.board.status.borrow().is_up() {
            return ControlFlow::Continue(());
        }
        match self.pulse.silence(now, self.pending.len() > 0) {
            Some(Silence::Hangs) => return ControlFlow::Break(Why::Silent),
            Some(Silence::Busy) => self.board.probed(None),
            Some(Silence::Nothing) | None => {}
        }
        if self.pulse.asks_now(now) {
            let method = match (self.pulse.is_small(), self.peer.era) {
                (false, _) if self.peer.offers("tools") => "tools/list",
                (_, Era::Modern) => "server/discover",
                (_, Era::Legacy) => "ping",
            };
            let id = self.ask(method, "", writer);
            self.pulse.asked(id, now);
        }
        ControlFlow::Continue(())
    }

    /// Takes a wish of a handle.
    pub(super) fn command(&mut self, command: Command, writer: &mut Writer) {
        match command {
            Command::Call(asked) => self.call(*asked, writer),
            Command::Cancel(id) => {
                if self.pending.take(id).is_some() {
                    let line = format!(
                        r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{{"requestId":{id},"reason":"the caller no longer waits"}}}}"#
                    );
                    self.write(line.into_bytes(), writer);
                }
            }
            Command::Refresh(done) => self.follow.refresh(done, Instant::now()),
        }
    }

    fn call(&mut self, asked: Asked, writer: &mut Writer) {
        // Cancelled while it waited here: it never started.
        if asked.reply.is_closed() {
            return;
        }
        if self.pending.len() >= self.limits.in_flight {
            let limit = self.limits.in_flight;
            asked.end(Err(failure::full(&format!(
                "{limit} calls in flight, its limit"
            ))));
            return;
        }
        let line = raise::lower(&asked.request, asked.id, self.peer.era);
        match writer.send(line) {
            Ok(line) => self.pending.add(asked, line),
            Err(Full) => {
                asked.end(Err(failure::full("more requests than it reads")));
            }
        }
    }

    /// Takes a line of the server.
    pub(super) fn line(&mut self, line: Line, writer: &mut Writer) -> ControlFlow<Why> {
        let line = match line {
            Line::Whole(line) => line,
            Line::TooLong { length, id } => {
                self.too_long(length, id);
                return ControlFlow::Continue(());
            }
        };
        for message in read(&line) {
            match message {
                Ok(Message::Answer(answer)) => self.answer(answer, writer),
                Ok(Message::Request { id, method }) => self.write(refusal(&id, &method), writer),
                Ok(Message::Notification(said)) => self.notification(&said),
                Err(why) => {
                    self.board.count(|dropped| &mut dropped.bad_lines);
                    if self.trouble.add(&self.board.server, &line, &why).is_err() {
                        return ControlFlow::Break(Why::Noise);
                    }
                }
            }
        }
        ControlFlow::Continue(())
    }

    fn answer(&mut self, answer: Answer, writer: &mut Writer) {
        let id = answer.number();
        let now = Instant::now();
        if let Some(took) = id.and_then(|id| self.pulse.answered(id, now)) {
            return self.board.probed(Some(took));
        }
        self.pulse.lived(now);
        if let Some(running) = id.and_then(|id| self.pending.take(id)) {
            let peer = Arc::clone(&self.peer);
            running.end(Ok(Answered { answer, peer }));
        } else if id.is_some_and(|id| self.follow.awaits(id)) {
            self.page(&answer, writer);
        } else if id.is_some_and(|id| self.follow.listening_ended(id, Instant::now())) {
            let error = answer.error().unwrap_or("it was ended");
            tracing::debug!(server = %self.board.server, error, "a server stopped telling its changes");
        } else {
            self.board.count(|dropped| &mut dropped.answers);
        }
    }

    fn notification(&mut self, said: &Notification) {
        let now = Instant::now();
        match said.method.as_str() {
            "notifications/progress" => {
                let members = said.members();
                let token = members.get("progressToken");
                let ear = token.and_then(|token| self.pending.ear(token.parse().ok()?));
                match (ear, token) {
                    (Some(ear), Some(token)) => ear.progress(said, token),
                    _ => self.board.count(|dropped| &mut dropped.notifications),
                }
            }
            "notifications/message" => match self.pending.log_ear(self.peer.era == Era::Modern) {
                Some(ear) => ear.log(said),
                None => self.board.log(said),
            },
            method => {
                let touched = self.board.touch(said);
                if !(self.follow.notified(method, now) || touched) {
                    self.board.count(|dropped| &mut dropped.notifications);
                }
            }
        }
    }

    fn too_long(&mut self, length: u64, id: Option<String>) {
        self.board.count(|dropped| &mut dropped.long_lines);
        let limit = self.limits.line;
        tracing::warn!(server = %self.board.server, length, limit, "a line of a server was over the limit, and was thrown away");
        let Some(id) = id else {
            for running in self.pending.drain() {
                running.end(Err(failure::too_large(length, limit, false)));
            }
            return;
        };
        let id = id.parse().ok();
        if let Some(running) = id.and_then(|id| self.pending.take(id)) {
            running.end(Err(failure::too_large(length, limit, true)));
        } else if id.is_some_and(|id| self.follow.awaits(id)) {
            let why =
                format!("a page of it has {length} bytes on one line, and the limit is {limit}");
            self.board.settle(&mut self.follow, Err(why));
        }
    }

    fn read_page(&mut self, cursor: Option<&str>, writer: &mut Writer) {
        let params = cursor.map(|cursor| format!(r#""cursor":{}"#, quoted(cursor)));
        let id = self.ask("tools/list", &params.unwrap_or_default(), writer);
        self.follow.asked(id, Instant::now() + self.page_within);
    }

    fn page(&mut self, answer: &Answer, writer: &mut Writer) {
        let step = match (answer.result(), answer.error()) {
            (Some(result), _) => self.follow.page(result),
            (None, error) => Err(format!("it answered {}", error.unwrap_or_default())),
        };
        match step {
            Ok(Step::Next(cursor)) => self.read_page(Some(&cursor), writer),
            Ok(Step::Done(list)) => self.board.settle(&mut self.follow, Ok(list)),
            Err(why) => self.board.settle(&mut self.follow, Err(why)),
        }
    }

    /// Ends every call with what `outcome` says; it is told whether the server may have begun it.
    pub(super) fn end_all(&mut self, writer: &Writer, outcome: impl Fn(bool) -> Error) {
        for running in self.pending.drain() {
            let begun = writer.has_begun(running.line);
            running.end(Err(outcome(begun)));
        }
    }

    /// Asks the server something for ourselves.
    fn ask(&mut self, method: &str, params: &str, writer: &mut Writer) -> u64 {
        let id = self.ids.fetch_add(1, Ordering::Relaxed);
        let line = request(id, method, params, self.peer.era);
        self.write(line, writer);
        id
    }

    /// A server that does not read is told of elsewhere: here a line is lost with it.
    fn write(&self, line: Vec<u8>, writer: &mut Writer) {
        if let Err(Full) = writer.send(line) {
            tracing::debug!(server = %self.board.server, "a server does not read: a line to it was dropped");
        }
    }

    /// Takes over how many lines of this process were not logged so far.
    pub(super) fn tell_unlogged(&mut self, count: u64) {
        let more = count.saturating_sub(std::mem::replace(&mut self.unlogged, count));
        self.board.status.send_if_modified(|status| {
            status.dropped.log_lines += more;
            false
        });
    }
}
