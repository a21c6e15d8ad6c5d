//! One open process: what comes from it and from the handles, one at a time, to its end.

use std::{convert::Infallible, ops::ControlFlow, time::Duration};

use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use super::{
    desk::Desk,
    failure,
    inbox::{Command, Inbox},
    link::{LAST_WORDS, Link},
    options::Options,
    owner::Owner,
};
use crate::{
    adapter::status::{Peer, State},
    child::Exit,
    mcp::framing::Line,
};

/// Lines and commands that are taken without looking at anything else.
const AT_ONCE: usize = 64;

/// How long a process that closed its output has to end by itself.
const AFTER_CLOSE: Duration = Duration::from_millis(250);

/// An open process.
#[derive(Debug)]
pub(super) struct Session {
    link: Link,
    desk: Desk,
    options: Options,
}

/// How a session ended.
#[derive(Debug)]
pub(super) enum Ended {
    /// It was told to.
    Stopped,
    /// Its process has to be started again.
    Failed,
}

/// Why a session has to end.
#[derive(Debug)]
pub(super) enum Why {
    Stopping,
    Exited(Exit),
    /// Its standard output ended, or broke.
    Closed,
    /// It does not read its standard input.
    Unread,
    /// It writes garbage.
    Noise,
    /// It answers nothing, though nothing runs on it.
    Silent,
}

enum Event {
    Line(std::io::Result<Option<Line>>),
    Command(Option<Command>),
    Due,
    End(Why),
}

impl Session {
    /// A process that has just been opened.
    pub(super) fn new(owner: &Owner, link: Link, peer: Peer) -> Self {
        Self {
            desk: Desk::new(owner, peer),
            link,
            options: owner.options.clone(),
        }
    }

    /// Carries calls until the process, or the adapter, ends.
    pub(super) async fn run(mut self, inbox: &mut Inbox) -> Ended {
        self.desk.begin();
        let why = loop {
            let event = self.next(inbox).await;
            if let ControlFlow::Break(why) = self.take(event) {
                break why;
            }
            if let ControlFlow::Break(why) = self.take_more(inbox) {
                break why;
            }
        };
        if matches!(why, Why::Stopping) {
            self.finish(inbox).await;
            return Ended::Stopped;
        }
        self.fail(why, inbox).await;
        Ended::Failed
    }

    async fn next(&mut self, inbox: &mut Inbox) -> Event {
        let due = self.desk.due();
        let tick = async {
            match due {
                Some(due) => sleep_until(due).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            line = self.link.lines.next() => Event::Line(line),
            command = inbox.commands.recv() => Event::Command(command),
            exit = self.link.child.wait() => Event::End(Why::Exited(exit)),
            () = self.link.writer.unread() => Event::End(Why::Unread),
            () = inbox.stopping.cancelled() => Event::End(Why::Stopping),
            () = tick => Event::Due,
        }
    }

    /// What is there already: waiting for one of six things costs more than most of them.
    fn take_more(&mut self, inbox: &mut Inbox) -> ControlFlow<Why> {
        for _ in 0..AT_ONCE {
            let line = self.link.lines.held();
            let command = inbox.commands.try_recv().ok();
            if line.is_none() && command.is_none() {
                break;
            }
            if let Some(line) = line {
                self.desk.line(line, &mut self.link.writer)?;
            }
            if let Some(command) = command {
                self.desk.command(command, &mut self.link.writer);
            }
        }
        ControlFlow::Continue(())
    }

    fn take(&mut self, event: Event) -> ControlFlow<Why> {
        match event {
            Event::Line(Ok(Some(line))) => self.desk.line(line, &mut self.link.writer),
            Event::Line(Ok(None) | Err(_)) => ControlFlow::Break(Why::Closed),
            // The last handle has gone.
            Event::Command(None) => ControlFlow::Break(Why::Stopping),
            Event::Command(Some(command)) => {
                self.desk.command(command, &mut self.link.writer);
                ControlFlow::Continue(())
            }
            Event::Due => {
                self.desk.tell_unlogged(self.link.unlogged());
                self.desk.tick(&mut self.link.writer)
            }
            Event::End(why) => ControlFlow::Break(why),
        }
    }

    /// The process failed: no more calls, the ones in flight end, the rest of it too.
    async fn fail(mut self, why: Why, inbox: &mut Inbox) {
        let exit = match why {
            Why::Exited(exit) => Some(exit),
            Why::Closed => timeout(AFTER_CLOSE, self.link.child.wait()).await.ok(),
            _ => None,
        };
        if exit.is_some() {
            self.last_lines().await;
        }
        let ended = match (&why, exit) {
            (_, Some(exit)) => format!("the server ended with {exit}"),
            (Why::Unread, _) => format!(
                "the server left its standard input unread for {:?}, and was ended",
                self.options.limits.unread
            ),
            (Why::Noise, _) => format!(
                "the server wrote more than {} lines a minute to its standard output that are no \
                 MCP messages, and was ended: it must log to standard error",
                self.options.limits.bad_lines
            ),
            (Why::Silent, _) => format!(
                "the server took requests and answered none for {:?}, with no call on it, and was \
                 ended",
                2 * self.options.probing.within
            ),
            _ => "the server closed its standard output, and was ended".to_owned(),
        };
        let words = self.link.last_words().await;
        let unlogged = self.link.unlogged();
        inbox.status.send_modify(|status| {
            status.turn(State::Unhealthy);
            status.pid = None;
            status.last_error = Some(format!("{ended}{words}. It is being started again"));
        });
        tracing::error!(server = %self.desk.server(), "{ended}{words}");
        self.desk.tell_unlogged(unlogged);
        self.desk.end_all(&self.link.writer, |begun| {
            if begun {
                failure::exited(&ended, exit)
            } else {
                failure::not_handed(&ended)
            }
        });
        inbox.through(self.link.stop(&self.options)).await;
    }

    /// What the process wrote before it ended: answers among it count.
    async fn last_lines(&mut self) {
        let until = Instant::now() + LAST_WORDS;
        while let Ok(Ok(Some(line))) = timeout_at(until, self.link.lines.next()).await {
            if self.desk.line(line, &mut self.link.writer).is_break() {
                return;
            }
        }
    }

    /// The adapter ends: the process has until TERM to answer what it works on.
    async fn finish(self, inbox: &mut Inbox) {
        let Self {
            link,
            mut desk,
            options,
        } = self;
        inbox.status.send_modify(|status| {
            status.turn(State::Unhealthy);
            status.last_error = Some("it is being stopped".to_owned());
        });
        let (child, mut lines, mut writer, _over) = link.take_apart();
        writer.close();
        let stop = child.stop(options.escalation);
        let reading = async {
            while let Ok(Some(line)) = lines.next().await {
                if desk.line(line, &mut writer).is_break() {
                    break;
                }
            }
            std::future::pending::<Infallible>().await
        };
        let exit = inbox
            .through(async {
                tokio::select! {
                    exit = stop => exit,
                    never = reading => match never {},
                }
            })
            .await;
        desk.end_all(&writer, |begun| {
            if begun {
                failure::exited("the server was stopped", Some(exit))
            } else {
                failure::stopped()
            }
        });
    }
}
