//! The subscriptions of one server on one connection: calls by its queue group, and what comes
//! beside them.

use std::sync::Arc;

use async_nats::{Message, Subscriber};
use futures_util::{FutureExt as _, StreamExt as _};
use tokio::{
    task::unconstrained,
    time::{Instant, Interval, sleep_until},
};

use super::{
    Reach, ServeOptions,
    desk::{self, Desk},
    leave::{self, Leaving, Pace},
};
use crate::{
    bus::{
        connect::BACKLOG,
        link::{Line, Link},
    },
    error::Error,
    name::{Identity, subject},
};

/// The subscriptions of one server on one connection.
pub(super) struct Doors {
    line: Arc<Line>,
    who: Identity,
    requests: Subscriber,
    pace: Pace,
    leaving: Leaving,
    /// Whether calls may still come.
    pub(super) open: bool,
    rest: Option<(Subscriber, Subscriber)>,
}

impl Doors {
    pub(super) async fn open(
        link: &Link,
        line: &Arc<Line>,
        options: &ServeOptions,
    ) -> Result<Self, Error> {
        let who = link.identity();
        let (server, instance) = (&options.server, &options.instance);
        let rest = if options.reach == Reach::Member {
            let messages = format!("{}.ins.*.{server}.{instance}.>", subject::ROOT);
            let cancels = format!("{}.ctl.*.{server}.cancel", subject::ROOT);
            Some((
                line.subscribe(who, messages, false).await?,
                line.subscribe(who, cancels, false).await?,
            ))
        } else {
            None
        };
        // Last: a call must find an instance that can be cancelled.
        let requests = format!("{}.req.*.{server}.>", subject::ROOT);
        Ok(Self {
            line: Arc::clone(line),
            who: who.clone(),
            pace: Pace::new(line.life()),
            requests: line.subscribe(who, requests, true).await?,
            leaving: Leaving::No,
            open: true,
            rest,
        })
    }

    /// Leaves the queue group: what is on its way to us still comes.
    pub(super) async fn leave(&mut self, desk: &mut Desk, stays: bool) {
        self.take_all(desk);
        let before = self.leaving;
        if self.pace.needs_fence(before) {
            let came = self.pace.came();
            leave::fence(&self.line, &self.who).await;
            self.take_all(desk);
            self.pace.fenced(came);
        }
        let leave = self.pace.leave(&mut self.requests, before, stays);
        self.leaving = leave.await;
    }

    /// Takes what has come: only what was taken is counted.
    pub(super) fn take_all(&mut self, desk: &mut Desk) {
        let mut next = || unconstrained(self.requests.next()).now_or_never().flatten();
        let came = std::iter::from_fn(&mut next).take(BACKLOG);
        let taken = came.map(|message| desk.take(message)).count();
        self.pace.count(taken);
    }

    /// When to count anew, or to give the queue group up: the last calls do not come.
    fn patience(&self) -> Option<Instant> {
        self.pace.patience(self.leaving).filter(|_| self.open)
    }

    pub(super) async fn give_up(&mut self) {
        self.leaving = leave::give_up(&mut self.requests).await;
    }

    /// Does one thing for the calls under way, or takes those that are there.
    pub(super) async fn turn(&mut self, desk: &mut Desk, tick: &mut Interval) {
        tokio::select! {
            biased;
            side = Self::aside(&mut self.rest) => desk.aside(side),
            () = desk.answered(), if desk.is_busy() => {}
            // Before new calls: a flood of them must not silence those under way.
            _ = tick.tick(), if desk.is_busy() => desk.tick(),
            message = self.requests.next(), if self.open => self.take(desk, message),
        }
    }

    /// The same while the queue group is being left. Says whether the last calls are not waited for
    /// any more: then it is to be left again.
    pub(super) async fn turn_leaving(&mut self, desk: &mut Desk, tick: &mut Interval) -> bool {
        let patience = self.patience();
        let until = patience.unwrap_or_else(Instant::now);
        tokio::select! {
            biased;
            () = sleep_until(until), if patience.is_some() => true,
            () = self.turn(desk, tick) => false,
        }
    }

    /// Takes a call, and those that came with it: all else is looked at once for all of them.
    fn take(&mut self, desk: &mut Desk, first: Option<Message>) {
        let Some(first) = first else {
            // Left, or the connection is dead.
            self.open = false;
            return;
        };
        desk.take(first);
        let mut taken = 1;
        while taken < desk::TURN_MAX {
            // An end is told again at the next turn.
            let Some(Some(message)) = self.requests.next().now_or_never() else {
                break;
            };
            desk.take(message);
            taken += 1;
        }
        self.pace.count(taken);
    }

    async fn aside(rest: &mut Option<(Subscriber, Subscriber)>) -> Side {
        match rest {
            None => std::future::pending().await,
            Some((messages, cancels)) => tokio::select! {
                Some(message) = messages.next() => Side::Message(message),
                Some(message) = cancels.next() => Side::Cancel(message),
                else => std::future::pending().await,
            },
        }
    }
}

/// What comes beside calls.
pub(super) enum Side {
    Message(Message),
    Cancel(Message),
}
