//! What a server says while a call runs, on standard error.

use serde::Deserialize;
use serde_json::Value;
use weftbus::{
    error::Error,
    mesh::{Answer, Ask},
};

use crate::cli::output::Printer;

/// A JSON-RPC notification.
#[derive(Deserialize)]
struct Notification {
    method: String,
    #[serde(default)]
    params: Value,
}

/// Sends the call, and shows what comes before its answer.
pub(super) async fn send(ask: Ask, printer: &mut Printer) -> Result<Answer, Error> {
    let (ask, mut notifications) = ask.with_progress();
    let answer = ask.send();
    tokio::pin!(answer);
    loop {
        tokio::select! {
            biased;
            Some(notification) = notifications.next() => {
                if let Some(line) = line_of(&notification) {
                    printer.progress(&line);
                }
            }
            answer = &mut answer => return answer,
        }
    }
}

/// What there is to be shown of it.
fn line_of(notification: &[u8]) -> Option<String> {
    let Notification { method, params } = serde_json::from_slice(notification).ok()?;
    let text = |name: &str| params.get(name).and_then(Value::as_str);
    let number = |name: &str| params.get(name).and_then(Value::as_f64);
    match method.as_str() {
        "notifications/progress" => {
            let progress = number("progress")?;
            let how_far = match number("total") {
                Some(total) if total > 0.0 => {
                    format!("{:3.0} %  {progress}/{total}", 100.0 * progress / total)
                }
                _ => progress.to_string(),
            };
            Some(match text("message") {
                Some(message) => format!("{how_far}  {message}"),
                None => how_far,
            })
        }
        "notifications/message" => {
            let level = text("level").unwrap_or("info");
            let data = params.get("data")?;
            let said = data
                .as_str()
                .map_or_else(|| data.to_string(), str::to_owned);
            Some(format!("{level}: {said}"))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn progress_and_log_are_shown() {
        let line = |method: &str, params: Value| {
            let notification = json!({"jsonrpc": "2.0", "method": method, "params": params});
            line_of(notification.to_string().as_bytes())
        };
        let progress = "notifications/progress";
        assert_eq!(
            line(
                progress,
                json!({"progress": 3, "total": 12, "message": "reading"})
            )
            .as_deref(),
            Some(" 25 %  3/12  reading")
        );
        assert_eq!(line(progress, json!({"progress": 3})).as_deref(), Some("3"));
        assert_eq!(
            line(progress, json!({"progress": 3, "total": 0})).as_deref(),
            Some("3")
        );
        assert_eq!(
            line(
                "notifications/message",
                json!({"level": "warning", "data": {"n": 1}})
            )
            .as_deref(),
            Some(r#"warning: {"n":1}"#)
        );
        assert_eq!(line("notifications/other", json!({})), None);
        assert_eq!(line_of(b"no JSON"), None);
    }
}
