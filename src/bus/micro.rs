//! `$SRV`: each MCP server is a NATS micro service as well, seen by `nats micro ls|info|stats`.
//!
//! One endpoint a tool, with the digest of its definition and no schema: INFO is one message, and
//! 300 schemas do not fit into one. Answers go below `weft.v1.srv.` and nowhere else, so that
//! nobody makes a server publish to a subject of his choice.

use std::{sync::Arc, time::Duration};

use async_nats::Subscriber;
use bytes::Bytes;
use futures_util::{StreamExt, future::select_all};
use serde_json::{Value, json};

use super::link::Link;
use crate::{
    error::Error,
    mcp::Method,
    name::{Instance, ServerName, subject, token},
    spawn::{Failure, Tasks},
    telemetry::load::Load,
};

/// Endpoints that one INFO names at most; `metadata` says how many there are.
const ENDPOINTS_MAX: usize = 500;
/// How soon the subscriptions are made anew after their connection went.
const AGAIN: Duration = Duration::from_secs(2);

/// What a server tells of itself now.
#[derive(Clone, Debug, Default)]
pub struct About {
    /// What the server calls itself, and its version.
    pub description: String,
    /// Its tools.
    pub tools: Vec<Endpoint>,
}

/// One tool.
#[derive(Clone, Debug, Default)]
pub struct Endpoint {
    /// Its name.
    pub tool: String,
    /// What tells two versions of its definition apart.
    pub digest: String,
    /// Calls that ended.
    pub calls: u64,
    /// Those that failed.
    pub failed: u64,
    /// All the time they took.
    pub time: Duration,
}

/// Which server answers, and where it takes its words from.
#[derive(Clone)]
pub struct Options {
    /// The server.
    pub server: ServerName,
    /// This instance of it.
    pub instance: Instance,
    /// How much it has to do.
    pub load: Load,
    /// Asked at each request.
    pub about: Arc<dyn Fn() -> About + Send + Sync>,
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options")
            .field("server", &self.server)
            .finish_non_exhaustive()
    }
}

/// Answers `$SRV` requests until the tasks are stopped.
///
/// # Errors
/// As [`Link::subscribe`], for the first subscriptions.
pub async fn answer(link: &Link, options: Options, tasks: &Tasks) -> Result<(), Error> {
    let mut asked = subscribe(link, &options).await?;
    let (link, stop) = (link.clone(), tasks.stopping());
    let started = chrono::Utc::now().to_rfc3339();
    tasks.spawn("$SRV", Failure::Logged, async move {
        let answering = async {
            loop {
                read(&link, &options, &started, asked).await;
                asked = loop {
                    tokio::time::sleep(AGAIN).await;
                    if let Ok(again) = subscribe(&link, &options).await {
                        break again;
                    }
                };
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = answering => {}
        }
    });
    Ok(())
}

/// `PING`, `INFO` and `STATS`: of all, of this server, of this instance.
async fn subscribe(link: &Link, options: &Options) -> Result<Vec<Subscriber>, Error> {
    let mut subscribers = Vec::with_capacity(9);
    for verb in ["PING", "INFO", "STATS"] {
        for subject in [
            format!("$SRV.{verb}"),
            format!("$SRV.{verb}.{}", options.server),
            format!("$SRV.{verb}.{}.{}", options.server, options.instance),
        ] {
            subscribers.push(link.subscribe(subject, false).await?);
        }
    }
    Ok(subscribers)
}

async fn read(link: &Link, options: &Options, started: &str, mut asked: Vec<Subscriber>) {
    loop {
        let next = select_all(asked.iter_mut().map(StreamExt::next));
        let (Some(message), _, _) = next.await else {
            return;
        };
        let reply = message.reply.as_deref().unwrap_or_default();
        let verb = message.subject.split('.').nth(1).unwrap_or_default();
        let below = reply.strip_prefix(subject::SRV_REPLY);
        if !message.subject.starts_with("$SRV.") || !below.is_some_and(|rest| rest.starts_with('.'))
        {
            continue;
        }
        let body = Bytes::from(words(options, started, verb).to_string());
        if let Err(error) = link.publish(reply.to_owned(), body).await {
            tracing::debug!(%error, "a $SRV request was not answered");
        }
    }
}

fn words(options: &Options, started: &str, verb: &str) -> Value {
    let about = (options.about)();
    let mut words = json!({
        "type": format!("io.nats.micro.v1.{}_response", verb.to_ascii_lowercase()),
        "name": options.server,
        "id": options.instance,
        "version": env!("CARGO_PKG_VERSION"),
        "metadata": {"weft.tools": about.tools.len().to_string()},
    });
    let load = options.load.now();
    let endpoints = about.tools.iter().take(ENDPOINTS_MAX);
    match verb {
        "INFO" => {
            words["description"] = about.description.clone().into();
            words["endpoints"] = endpoints.map(|tool| info(options, tool)).collect();
        }
        "STATS" => {
            words["started"] = started.into();
            // Values of metadata are text.
            let metadata = &mut words["metadata"];
            metadata["weft.running"] = load.running.to_string().into();
            metadata["weft.waiting"] = load.waiting.to_string().into();
            metadata["weft.refused"] = load.refused.to_string().into();
            let within = load.refused_within.as_micros().to_string();
            metadata["weft.refused.p99.us"] = within.into();
            words["endpoints"] = endpoints.map(|tool| stats(options, tool)).collect();
        }
        _ => {}
    }
    words
}

fn info(options: &Options, tool: &Endpoint) -> Value {
    json!({
        "name": token::encode(&tool.tool).replace('=', "_"),
        "subject": subject_of(options, &tool.tool),
        "queue_group": subject::QUEUE,
        "metadata": {"tool": tool.tool, "digest": tool.digest},
    })
}

fn stats(options: &Options, tool: &Endpoint) -> Value {
    let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    let average = u32::try_from(tool.calls).map_or(Duration::ZERO, |n| {
        tool.time.checked_div(n).unwrap_or_default()
    });
    json!({
        "name": token::encode(&tool.tool).replace('=', "_"),
        "subject": subject_of(options, &tool.tool),
        "queue_group": subject::QUEUE,
        "num_requests": tool.calls,
        "num_errors": tool.failed,
        "last_error": "",
        "processing_time": nanos(tool.time),
        "average_processing_time": nanos(average),
    })
}

/// The subject with `*` where each caller puts his own name.
fn subject_of(options: &Options, tool: &str) -> String {
    let method = Method::TOOLS_CALL.as_str().replace('/', ".");
    format!(
        "{}.req.*.{}.{method}.{}",
        subject::ROOT,
        options.server,
        token::encode(tool)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_of_300_tools_fits_into_one_message() {
        let tools = (0..300)
            .map(|n| Endpoint {
                tool: format!("admin.tools.list-{n}"),
                digest: "0123456789abcdef".into(),
                calls: 2,
                time: Duration::from_millis(3),
                ..Endpoint::default()
            })
            .collect();
        let about = About {
            description: "many".into(),
            tools,
        };
        let options = Options {
            server: ServerName::new("many").expect("a name"),
            instance: Instance::random(),
            load: Load::default(),
            about: Arc::new(move || about.clone()),
        };
        for verb in ["PING", "INFO", "STATS"] {
            let words = words(&options, "now", verb);
            assert!(words.to_string().len() < 256 * 1024, "{verb}");
            assert_eq!(words["metadata"]["weft.tools"], "300");
        }
        let stats = words(&options, "now", "STATS");
        let first = &stats["endpoints"][0];
        assert_eq!(first["average_processing_time"], 1_500_000);
        assert_eq!(
            first["subject"],
            "weft.v1.req.*.many.tools.call.admin=2Etools=2Elist-0"
        );
    }
}
