//! One open server: what is read of it, what is heard from it, and what handles ask, one at a
//! time, to its end. Calls are not among it: each has a request of its own.

use std::{
    ops::ControlFlow,
    sync::{Arc, atomic::AtomicU64},
};

use futures_util::{StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use tokio::{
    sync::oneshot,
    time::{Duration, Instant, sleep_until},
};

use super::{
    gap::Gap,
    listen::{Heard, Listening},
    open::Shut,
    owner::{Command, Owner, Stopped},
    session::{Question, Session},
};
use crate::{
    adapter::{
        follow::{Follow, Step},
        handshake::refusal,
        message::{Answer, Message, Notification},
        status::State,
    },
    error::Error,
    mcp::{Method, members::quoted, tools::ToolList, version::Era},
};

/// A server is opened again for the adapter's own sake at most once in this time.
const REOPEN_EVERY: Duration = Duration::from_secs(10);

/// How a stay ended.
#[derive(Debug)]
pub(super) enum Ended {
    /// It was told to.
    Stopped,
    /// The server can't be reached any more.
    Failed(Shut),
}

type Page = BoxFuture<'static, Result<Answer, Gap>>;

/// An open server.
pub(super) struct Stay<'a> {
    owner: &'a mut Owner,
    session: Arc<Session>,
    follow: Follow,
    page: Option<Page>,
    listening: Option<Listening>,
    /// Where a listening of an older server goes on.
    last_event: Option<String>,
    /// What is being told; as many as there were calls at most.
    told: FuturesUnordered<BoxFuture<'static, ()>>,
    reopened: Option<Instant>,
}

enum Event {
    Command(Option<Command>),
    Page(Result<Answer, Gap>),
    Heard(Heard),
    Due,
    Stopping,
}

impl<'a> Stay<'a> {
    pub(super) fn new(owner: &'a mut Owner, session: Arc<Session>) -> Self {
        Self {
            owner,
            session,
            follow: Follow::default(),
            page: None,
            listening: None,
            last_event: None,
            told: FuturesUnordered::new(),
            reopened: None,
        }
    }

    /// Follows the server until it, or the adapter, ends.
    pub(super) async fn run(mut self) -> Ended {
        self.begin();
        loop {
            let event = self.next().await;
            if let ControlFlow::Break(ended) = self.take(event).await {
                if matches!(ended, Ended::Stopped) {
                    let session = Arc::clone(&self.session);
                    self.finish().await;
                    self.owner.close(&session).await;
                }
                return ended;
            }
        }
    }

    /// Begins with what the server has; it is up when that is known.
    fn begin(&mut self) {
        let listens = !self.session.peer.changes().is_empty();
        let reads = self.session.peer.offers("tools");
        self.follow = Follow::default();
        self.follow.begin(reads, listens, Instant::now());
        (self.page, self.listening) = (None, None);
        if !reads {
            self.owner
                .board
                .settle(&mut self.follow, Ok(ToolList::none()));
        }
    }

    async fn next(&mut self) -> Event {
        let due = self.follow.due();
        let tick = async {
            match due {
                Some(due) => sleep_until(due).await,
                None => std::future::pending().await,
            }
        };
        let page = async {
            match &mut self.page {
                Some(page) => page.await,
                None => std::future::pending().await,
            }
        };
        let heard = async {
            match &mut self.listening {
                Some(listening) => listening.next().await,
                None => std::future::pending().await,
            }
        };
        let told = async {
            while self.told.next().await.is_some() {}
            std::future::pending::<Event>().await
        };
        tokio::select! {
            () = self.owner.stopping.cancelled() => Event::Stopping,
            command = self.owner.commands.recv() => Event::Command(command),
            page = page => Event::Page(page),
            heard = heard => Event::Heard(heard),
            never = told => never,
            () = tick => Event::Due,
        }
    }

    async fn take(&mut self, event: Event) -> ControlFlow<Ended> {
        match event {
            Event::Stopping | Event::Command(None) => return ControlFlow::Break(Ended::Stopped),
            Event::Command(Some(command)) => return self.command(command).await,
            Event::Heard(heard) => return self.heard(heard).await,
            Event::Page(answer) => {
                self.page = None;
                return self.read(answer).await;
            }
            Event::Due => self.tick(),
        }
        ControlFlow::Continue(())
    }

    /// Does what is due.
    fn tick(&mut self) {
        let now = Instant::now();
        for changed in self.follow.tells_now(now) {
            self.owner.board.tell(changed);
        }
        if self.follow.is_late(now) {
            self.page = None;
            let why = format!(
                "it did not answer within {:?}",
                self.owner.options.timeouts.open
            );
            self.owner.board.settle(&mut self.follow, Err(why));
        }
        if self.follow.reads_now(now) {
            self.read_page(None);
        }
        if self.follow.listens_now(now) {
            let bounds = (
                self.owner.options.limits.answer,
                self.owner.options.timeouts.open,
            );
            let ids: &AtomicU64 = &self.owner.ids;
            let after = self.last_event.as_deref();
            let listening = Listening::begin(&self.session, ids, after, bounds);
            self.follow.listening(listening.id);
            self.listening = Some(listening);
        }
    }

    async fn command(&mut self, command: Command) -> ControlFlow<Ended> {
        match command {
            Command::Refresh(done) => self.follow.refresh(done, Instant::now()),
            Command::Heard(method) => {
                self.follow.notified(&method, Instant::now());
            }
            Command::Say(session, body) => {
                let within = self.owner.options.timeouts.say;
                self.told.push(Box::pin(session.say(body, within)));
            }
            Command::Reopen(turn, done) if turn == self.session.turn => {
                return self.reopen(true, Some(done)).await;
            }
            Command::Reopen(_, done) => hand_over(done, Ok(Arc::clone(&self.session))),
            Command::Trouble(turn, gap) if turn == self.session.turn => {
                return self.trouble(gap).await;
            }
            Command::Trouble(..) => {}
        }
        ControlFlow::Continue(())
    }

    /// What a call or a stream met that is about the whole server.
    async fn trouble(&mut self, gap: Gap) -> ControlFlow<Ended> {
        let shut = Shut::of(&gap, &self.owner.options);
        match gap {
            gap if gap.is_about_the_server() => return ControlFlow::Break(Ended::Failed(shut)),
            // One tool may be forbidden, and the others not.
            Gap::Denied(_) => {
                self.owner.board.status.send_modify(|status| {
                    status.turn(State::Degraded);
                    status.last_error = Some(shut.why);
                });
                self.follow.read_later(Instant::now());
            }
            Gap::Forgotten(_) if self.may_reopen() => return self.reopen(true, None).await,
            // Nothing answers there, or not in this era: perhaps another server took its place.
            Gap::Rejected(_) if self.may_reopen() => return self.reopen(false, None).await,
            _ => {}
        }
        ControlFlow::Continue(())
    }

    /// Whether the server may be opened again without a call that waits for it: a server that
    /// forgets at once would be opened without an end.
    fn may_reopen(&mut self) -> bool {
        let now = Instant::now();
        let may = self.reopened.is_none_or(|last| last + REOPEN_EVERY <= now);
        if may {
            self.reopened = Some(now);
        }
        may
    }

    /// Opens the server again in place of a session that is gone; who waits for that is told.
    async fn reopen(
        &mut self,
        is_legacy: bool,
        waits: Option<oneshot::Sender<Result<Arc<Session>, Error>>>,
    ) -> ControlFlow<Ended> {
        let (outcome, flow) = match self.owner.open(is_legacy).await {
            Err(Stopped) => (None, ControlFlow::Break(Ended::Stopped)),
            Ok(Err(shut)) => {
                let error = Gap::Forgotten(shut.why.clone()).error();
                (Some(Err(error)), ControlFlow::Break(Ended::Failed(shut)))
            }
            Ok(Ok(session)) => {
                tracing::info!(server = %self.owner.board.server, "a server was opened again");
                self.session = Arc::clone(&session);
                self.last_event = None;
                self.begin();
                (Some(Ok(session)), ControlFlow::Continue(()))
            }
        };
        if let (Some(waits), Some(outcome)) = (waits, outcome) {
            hand_over(waits, outcome);
        }
        flow
    }

    fn read_page(&mut self, cursor: Option<&str>) {
        let within = self.owner.options.timeouts.open;
        let params = cursor.map(|cursor| format!(r#""cursor":{}"#, quoted(cursor)));
        let question = Question {
            method: Method::TOOLS_LIST,
            params: params.unwrap_or_default(),
            within,
            limit: self.owner.options.limits.answer,
        };
        let ids = Arc::clone(&self.owner.ids);
        self.page = Some(Box::pin(Arc::clone(&self.session).ask(question, ids)));
        // The question has a deadline of its own; this one is past it.
        self.follow.asked(0, Instant::now() + within * 2);
    }

    /// Takes a page of the tools, or why there is none.
    async fn read(&mut self, answer: Result<Answer, Gap>) -> ControlFlow<Ended> {
        let step = match &answer {
            Err(gap) if gap.is_about_the_server() => {
                let shut = Shut::of(gap, &self.owner.options);
                return ControlFlow::Break(Ended::Failed(shut));
            }
            Err(Gap::Forgotten(_)) if self.may_reopen() => return self.reopen(true, None).await,
            Err(gap) => Err(gap.words()),
            Ok(answer) => match answer.result() {
                Some(result) => self.follow.page(result),
                None => Err(format!(
                    "it answered {}",
                    answer.error().unwrap_or_default()
                )),
            },
        };
        match step {
            Ok(Step::Next(cursor)) => self.read_page(Some(&cursor)),
            Ok(Step::Done(list)) => self.owner.board.settle(&mut self.follow, Ok(list)),
            Err(why) => self.owner.board.settle(&mut self.follow, Err(why)),
        }
        ControlFlow::Continue(())
    }

    async fn heard(&mut self, heard: Heard) -> ControlFlow<Ended> {
        let now = Instant::now();
        if let Some(id) = self.listening.as_ref().and_then(Listening::last_event) {
            self.last_event = Some(id);
        }
        match heard {
            // A modern server acknowledges; of an older one the open stream is all there is.
            Heard::Open if self.session.peer.era == Era::Modern => {}
            Heard::Open => self.follow.heard(now),
            Heard::NotOffered => {
                self.listening = None;
                self.follow.heard(now);
            }
            Heard::Message(message) => self.message(message, now),
            Heard::Bad(why) => {
                tracing::debug!(server = %self.owner.board.server, why, "an event of a server is no message");
                self.owner.board.count(|dropped| &mut dropped.bad_lines);
            }
            Heard::Ended(gap) => {
                let id = self.listening.take().map_or(0, |listening| listening.id);
                self.follow.listening_ended(id, now);
                tracing::debug!(server = %self.owner.board.server, why = gap.words(), "a server stopped telling its changes");
                if matches!(gap, Gap::Away(_) | Gap::Forgotten(_) | Gap::Denied(_)) {
                    return self.trouble(gap).await;
                }
            }
        }
        ControlFlow::Continue(())
    }

    /// What the server says by itself.
    fn message(&mut self, message: Message, now: Instant) {
        match message {
            Message::Notification(said) => self.notification(&said, now),
            Message::Request { id, method } => {
                let within = self.owner.options.timeouts.say;
                let session = Arc::clone(&self.session);
                let saying = session.say(refusal(&id, &method).into(), within);
                // Who asks more than it reads the answers of is not answered.
                if self.told.len() < self.owner.options.limits.in_flight {
                    self.told.push(Box::pin(saying));
                }
            }
            Message::Answer(_) => self.owner.board.count(|dropped| &mut dropped.answers),
        }
    }

    fn notification(&mut self, said: &Notification, now: Instant) {
        match said.method.as_str() {
            "notifications/message" => self.owner.board.log(said),
            method => {
                let touched = self.owner.board.touch(said);
                if !(self.follow.notified(method, now) || touched) {
                    self.owner.board.count(|dropped| &mut dropped.notifications);
                }
            }
        }
    }

    /// The adapter ends: what is being told has its time.
    async fn finish(&mut self) {
        while let Ok(command) = self.owner.commands.try_recv() {
            if let Command::Say(session, body) = command {
                let within = self.owner.options.timeouts.say;
                self.told.push(Box::pin(session.say(body, within)));
            }
        }
        while self.told.next().await.is_some() {}
    }
}

fn hand_over(
    to: oneshot::Sender<Result<Arc<Session>, Error>>,
    outcome: Result<Arc<Session>, Error>,
) {
    if to.send(outcome).is_err() {
        tracing::trace!("who waited for a session has gone");
    }
}
