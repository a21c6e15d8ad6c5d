//! Why a request to an HTTP server has no answer, and what its caller is told.

use std::time::Duration;

use reqwest::StatusCode;

use crate::{
    adapter::{failure::not_now, plain::plain},
    error::{Error, Kind, Origin, Started, case},
};

/// How much of a server's own words stands in an error.
const WORDS_MAX: usize = 300;

/// Why there is no answer.
#[derive(Clone, Debug)]
pub(super) enum Gap {
    /// There is no connection to the server: nothing was sent.
    Away(String),
    /// It does not let us in.
    Denied(Status),
    /// It asks for fewer requests.
    TooOften {
        /// When to come back, where it said so.
        after: Option<Duration>,
    },
    /// It no longer knows the session: nothing had started.
    Forgotten(String),
    /// It did not take the request, by another status of the 400s or a redirect that is not
    /// followed.
    Rejected(Status),
    /// It failed, by a status of the 500s.
    Failed(Status),
    /// The connection broke after the request was sent.
    Broken(String),
    /// No answer came in time.
    Silent(Duration),
    /// It answered, with something that is no answer.
    Foreign(String),
    /// Its answer is over the limit.
    TooLarge { limit: usize },
    /// The tool can't be called over HTTP.
    Unfit(String),
    /// The adapter ended meanwhile.
    Stopped,
}

/// A status that is no success.
#[derive(Clone, Debug)]
pub(super) struct Status {
    pub(super) code: StatusCode,
    /// What the server said of it, cut and without control characters; or what is to be done.
    pub(super) words: String,
    /// The JSON-RPC error in its body, as it was spelt.
    pub(super) error: Option<String>,
}

impl Status {
    pub(super) fn new(code: StatusCode, words: &[u8], error: Option<String>) -> Self {
        Self {
            code,
            words: cut(words),
            error,
        }
    }

    fn said(&self) -> String {
        let code = self.code.as_u16();
        let reason = self.code.canonical_reason().unwrap_or("");
        let separator = if self.words.is_empty() { "" } else { ": " };
        format!("HTTP {code} {reason}{separator}{}", self.words)
    }
}

/// Bytes of a server as a few words.
pub(super) fn cut(words: &[u8]) -> String {
    let words = &words[..words.len().min(4 * WORDS_MAX)];
    plain(words).chars().take(WORDS_MAX).collect()
}

impl Gap {
    /// Whether no call at all can be made now.
    pub(super) fn is_about_the_server(&self) -> bool {
        match self {
            Self::Away(_) => true,
            // What is forbidden (403) may be one thing among many.
            Self::Denied(status) => status.code == StatusCode::UNAUTHORIZED,
            _ => false,
        }
    }

    /// In words for a status and an error: what happened, and what to do.
    pub(super) fn words(&self) -> String {
        match self {
            Self::Away(why) => {
                format!("no connection to it: {why}. Is it running, and is its URL right?")
            }
            Self::Denied(status) => status.said(),
            Self::TooOften { .. } => "it asks for fewer requests (HTTP 429)".to_owned(),
            Self::Forgotten(words) => format!("it no longer knows our session: {words}"),
            Self::Rejected(status) => format!("it did not take the request: {}", status.said()),
            Self::Failed(status) => format!("it failed: {}", status.said()),
            Self::Broken(why) => format!("the connection broke before its answer was there: {why}"),
            Self::Silent(within) => format!("it did not answer within {within:?}"),
            Self::Foreign(what) => what.clone(),
            Self::TooLarge { limit } => format!(
                "its answer has more than {limit} bytes, the limit of an answer from this server: \
                 ask for less, or raise the limit"
            ),
            Self::Unfit(why) => format!(
                "the `x-mcp-header` annotations of this tool are not valid, and 2026-07-28 has it \
                 left out over HTTP: {why}"
            ),
            Self::Stopped => "the adapter of this server has been stopped".to_owned(),
        }
    }

    /// What the caller of a call is told.
    pub(super) fn error(&self) -> Error {
        let words = self.words();
        let (kind, started) = match self {
            Self::Away(_) | Self::Denied(_) => {
                let message = format!("the server takes no calls: {words}");
                return not_now(message).case(case::SERVER_UNAVAILABLE);
            }
            Self::TooOften { after } => {
                let error = Error::new(Kind::RateLimitExceeded, format!("the server: {words}"));
                let after = after.unwrap_or(Duration::from_secs(1));
                return error.origin(Origin::Adapter).retry_after(after);
            }
            Self::Forgotten(_) => {
                let message = format!("{words}, and not the one that was opened in its place");
                return not_now(message).case(case::SERVER_UNAVAILABLE);
            }
            Self::Rejected(status) if status.code == StatusCode::PAYLOAD_TOO_LARGE => {
                let error = Error::new(Kind::InvalidRequest, words).case(case::REQUEST_TOO_LARGE);
                return error.origin(Origin::Adapter);
            }
            Self::Rejected(_) | Self::Unfit(_) => (Kind::ToolExecutionError, Started::No),
            Self::Failed(_) | Self::Broken(_) | Self::Stopped => {
                (Kind::ToolExecutionError, Started::Maybe)
            }
            Self::Silent(_) => (Kind::Timeout, Started::Maybe),
            Self::Foreign(_) | Self::TooLarge { .. } => (Kind::ToolExecutionError, Started::Yes),
        };
        let error = Error::new(kind, words)
            .started(started)
            .origin(Origin::Adapter);
        match self {
            Self::TooLarge { limit } => error
                .case(case::RESULT_TOO_LARGE)
                .with("limitBytes", *limit),
            Self::Failed(status) | Self::Rejected(status) => {
                error.with("httpStatus", status.code.as_u16())
            }
            _ => error,
        }
    }
}
