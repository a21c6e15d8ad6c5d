//! What a caller hears before its answer: progress under its own token, log messages, at a pace.

use bytes::Bytes;
use tokio::time::{Duration, Instant};

use super::message::Notification;
use crate::{
    call::Notify,
    mcp::{
        Request,
        envelope::splice,
        members::{Members, span},
        method::log_level,
        version::META_LOG_LEVEL,
    },
};

/// Notifications of one call that pass in a window.
const A_WINDOW: u32 = 20;
/// The window.
const WINDOW: Duration = Duration::from_secs(1);

/// The caller's ear: at most [`A_WINDOW`] notifications a [`WINDOW`], the last progress always.
#[derive(Debug)]
pub(super) struct Ear {
    to: Notify,
    /// The progress token as the caller spelt it.
    token: Option<String>,
    /// The least level of log messages that it wants.
    level: Option<usize>,
    window: Instant,
    passed: u32,
    /// Progress that was too early; a newer one takes its place.
    held: Option<Bytes>,
}

impl Ear {
    /// The ear of a caller that asked for anything.
    pub(super) fn of(request: &Request, to: Option<Notify>) -> Option<Self> {
        let to = to?;
        let meta = request.meta().and_then(Members::read)?;
        let token = meta.get("progressToken").map(str::to_owned);
        let level = meta.text(META_LOG_LEVEL).and_then(|name| log_level(&name));
        (token.is_some() || level.is_some()).then(|| Self {
            to,
            token,
            level,
            window: Instant::now(),
            passed: 0,
            held: None,
        })
    }

    /// Whether it asked for log messages.
    pub(super) fn wants_log(&self) -> bool {
        self.level.is_some()
    }

    /// Passes progress on, under the caller's own token.
    pub(super) fn progress(&mut self, said: &Notification, token: &str) {
        let Some(own) = &self.token else { return };
        let at = span(said.text(), token);
        let line = Bytes::from(splice(&said.line, &[(at, own.as_str())]));
        if self.has_room() {
            self.held = None;
            self.to.send(line);
        } else if self.held.replace(line).is_some() {
            // Overtaken by what came after it; not a loss but the pace.
            tracing::trace!("progress was left out");
        }
    }

    /// Passes a log message on, if it is of a level that was asked for.
    pub(super) fn log(&mut self, said: &Notification) {
        let of = said
            .members()
            .text("level")
            .and_then(|name| log_level(&name));
        if self
            .level
            .is_none_or(|least| of.is_none_or(|of| of < least))
        {
            return;
        }
        if self.has_room() {
            self.to.send(said.line.clone());
        } else {
            self.to.lost(1);
        }
    }

    /// When the progress that is held may pass.
    pub(super) fn due(&self) -> Option<Instant> {
        self.held.as_ref().map(|_| self.window + WINDOW)
    }

    /// Lets it pass, due or not.
    pub(super) fn flush(&mut self) {
        if let Some(held) = self.held.take() {
            self.to.send(held);
        }
    }

    fn has_room(&mut self) -> bool {
        let now = Instant::now();
        if now >= self.window + WINDOW {
            self.window = now;
            self.passed = 0;
        }
        self.passed += 1;
        self.passed <= A_WINDOW
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        adapter::message::{Message, read},
        call::notify::Notifications,
    };

    fn ear(meta: &str) -> (Ear, Notifications) {
        let body =
            format!(r#"{{"jsonrpc":"2.0","id":1,"method":"m","params":{{"_meta":{meta}}}}}"#);
        let request = Request::parse(body.into()).expect("a request");
        let (to, heard) = Notify::channel();
        (Ear::of(&request, Some(to)).expect("it asked"), heard)
    }

    fn said(line: String) -> Notification {
        match read(&line.into()).pop() {
            Some(Ok(Message::Notification(said))) => said,
            other => panic!("{other:?}"),
        }
    }

    fn progress(ear: &mut Ear, n: u32) {
        let said = said(format!(
            r#"{{"jsonrpc":"2.0","method":"notifications/progress","params":{{"progressToken":7,"progress":{n}.0}}}}"#
        ));
        let token = said
            .members()
            .get("progressToken")
            .expect("a token")
            .to_owned();
        assert_eq!(token, "7");
        let token = said.members().get("progressToken").expect("a token");
        ear.progress(&said, token);
    }

    #[tokio::test(start_paused = true)]
    async fn progress_has_a_pace_and_the_last_is_told() {
        let (mut ear, mut heard) = ear(r#"{"progressToken":"mine\n"}"#);
        for n in 1..=30 {
            progress(&mut ear, n);
        }
        let mut all = Vec::new();
        while let Some(line) = heard.try_next() {
            all.push(line);
        }
        assert_eq!(all.len(), 20);
        assert_eq!(
            all[0],
            r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"mine\n","progress":1.0}}"#
        );
        assert_eq!(ear.due(), Some(Instant::now() + WINDOW));
        ear.flush();
        let last = heard.try_next().expect("the last");
        assert!(last.ends_with(br#""progress":30.0}}"#));
        assert_eq!((ear.due(), heard.lost()), (None, 0));
        tokio::time::advance(WINDOW).await;
        progress(&mut ear, 31);
        assert!(heard.try_next().is_some(), "a new window");
    }

    #[tokio::test]
    async fn log_messages_pass_from_the_level_on() {
        let (mut ear, mut heard) = ear(r#"{"io.modelcontextprotocol/logLevel":"warning"}"#);
        assert!(ear.wants_log());
        for (level, passes) in [
            ("info", false),
            ("warning", true),
            ("odd", false),
            ("alert", true),
        ] {
            ear.log(&said(format!(
                r#"{{"jsonrpc":"2.0","method":"notifications/message","params":{{"level":"{level}","data":1}}}}"#
            )));
            assert_eq!(heard.try_next().is_some(), passes, "{level}");
        }
    }
}
