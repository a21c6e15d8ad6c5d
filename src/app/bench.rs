//! The mesh beside bare NATS, in one run: what a call costs.
//!
//! Caller and echo server run in this process, nats-server beside it. Rounds alternate between
//! bare and mesh, each round gives a ratio, and the median of the ratios is the figure: machines
//! are noisy, their ratios less so. The mesh side is the product's own: a façade, a token on every
//! message, permissions, metrics and spans.

pub mod events;
mod measure;
pub mod plain;

use std::{path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use schemars::JsonSchema;
use serde::Serialize;

pub use self::measure::Ratio;
use self::measure::{Series, load, median};
use super::{
    seat::Who,
    up::{Options as UpOptions, StartError, Up},
};
pub use crate::policy::audit::When;
use crate::{
    audit::Trail,
    broker::Search,
    bus::{
        self, Bounds, Limits, Reach, ServeOptions, Served,
        bare::{self, Bare, Way},
    },
    call::{Call, Context, Reply, service::answer},
    child::Watchdog,
    config::{self, Overrides, Sources},
    error::{Error, Kind},
    mcp::Request,
    mesh::Mesh,
    name::{Identity, Instance, ServerName, header},
    policy::{self, audit::Auditor},
    spawn::Tasks,
    telemetry::{
        load::Load,
        metric::{Side, Tools},
    },
};

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Rounds; each measures both sides.
    pub rounds: usize,
    /// How long each side of a round is measured.
    pub slice: Duration,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            rounds: 9,
            slice: Duration::from_millis(1500),
        }
    }
}

/// Calls under way at the same time, when the rate is measured.
const IN_FLIGHT: usize = 64;
/// Bytes of the bodies.
const BODIES: [usize; 2] = [256, 4096];
/// The server and the caller of the bench.
const SERVER: &str = "bench";
const CALLER: &str = "bench-caller";

/// What was measured on one broker.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Figures {
    /// One for each size of body.
    pub bodies: Vec<BodyFigures>,
    /// Calls that the bench made.
    pub calls_made: u64,
    /// Calls that the caller's metrics counted; the same number.
    pub calls_counted_by_caller: u64,
    /// Calls that the server's metrics counted; the same number.
    pub calls_counted_by_server: u64,
}

/// What was measured with one size of body.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BodyFigures {
    /// Bytes of the request and of the answer.
    pub bytes: usize,
    /// Which bare way was the faster one at a time, and with 64 in flight.
    pub base: [String; 2],
    /// Median latency of the mesh over that of the base, one call at a time.
    pub latency_p50: Ratio,
    /// Rate of the mesh over that of the base, 64 calls in flight.
    pub throughput: Ratio,
    /// Median latency of the base, microseconds.
    pub base_p50_us: f64,
    /// Median latency of the mesh, microseconds.
    pub mesh_p50_us: f64,
    /// Rate of the base, calls a second.
    pub base_rate: f64,
    /// Rate of the mesh, calls a second.
    pub mesh_rate: f64,
}

/// A mesh with an echo server of this process on it.
pub struct Bench {
    up: Up,
    caller: Mesh,
    server: Mesh,
    counted: Tools,
    served: Served,
    tasks: Tasks,
}

impl Bench {
    /// Starts a mesh and the echo server on it, whose calls are written to the audit trail where
    /// that is said.
    ///
    /// # Errors
    /// What does not start.
    pub async fn start(options: UpOptions, audit: Option<When>) -> Result<Self, StartError> {
        let up = Up::start(options).await?;
        let tasks = Tasks::new();
        let server_name = ServerName::new(SERVER).expect("it is a name");
        let server = join(&up, SERVER, &Who::server(&server_name).permissions).await?;
        let allowed = [format!("call:tools/{SERVER}/*")];
        let caller = join(&up, CALLER, &allowed).await?;
        let counted = Tools::new(Side::Server);
        let mut stack = policy::server::Options::new(server.trust().await?, counted.clone());
        let instance = Instance::random();
        if let Some(when) = audit {
            let trail = Trail::start(server.link().clone(), &instance, &tasks);
            let key = Some(server.event_key()?);
            stack.auditor = Some(Auditor::new(trail, key, stack.needs, when));
        }
        let echo = answer(|call: Call| async move {
            Ok(Reply {
                body: call.request.body().clone(),
                failed: false,
            })
        });
        let options = ServeOptions {
            server: server_name,
            instance,
            reach: Reach::Member,
            limits: Limits::default(),
            bounds: Bounds::default(),
            timeout: header::TIMEOUT,
            load: Load::default(),
        };
        let stack = policy::server::stack(echo, stack);
        let served = bus::serve(server.link(), options, stack, &tasks).await?;
        Ok(Self {
            up,
            caller,
            server,
            counted,
            served,
            tasks,
        })
    }

    /// Measures. `ways` are the bare ways that this broker allows.
    ///
    /// # Errors
    /// A call that failed: a figure over failed calls would be none.
    pub async fn run(&self, plan: Plan, ways: &[Way]) -> Result<Figures, Error> {
        let server = ServerName::new(SERVER).expect("it is a name");
        let subject = bare::echo_subject(self.caller.identity(), &server);
        bare::echo(self.server.link(), subject.clone(), &self.tasks).await?;
        let mut base = Vec::new();
        for way in ways {
            let link = self.caller.link();
            let bare = Bare::new(link, subject.clone(), server.clone(), *way, &self.tasks);
            base.push((*way, bare.await?));
        }
        let counted_before = (count(self.caller.counts()), count(&self.counted));
        let mut made = 0;
        let mut bodies = Vec::new();
        for bytes in BODIES {
            bodies.push(self.measure(plan, bytes, &base, &mut made).await?);
        }
        Ok(Figures {
            bodies,
            calls_made: made,
            calls_counted_by_caller: count(self.caller.counts()) - counted_before.0,
            calls_counted_by_server: count(&self.counted) - counted_before.1,
        })
    }

    async fn measure(
        &self,
        plan: Plan,
        bytes: usize,
        base: &[(Way, Bare)],
        made: &mut u64,
    ) -> Result<BodyFigures, Error> {
        let request = request(bytes);
        let body = request.body().clone();
        let (mesh_call, server) = (self.caller.clone(), server_name());
        let ask_mesh = move || {
            let context = Context::new(header::TIMEOUT);
            let call = Call::new(server.clone(), request.clone(), context);
            let mesh = mesh_call.clone();
            async move { mesh.send(call).await.map(|reply| reply.body) }
        };
        let ask_base = |bare: &Bare| {
            let (bare, body) = (bare.clone(), body.clone());
            move || {
                let (bare, body) = (bare.clone(), body.clone());
                async move { bare.ask(body).await }
            }
        };
        let ways = || base.iter().map(|(way, _)| *way);
        let mut latency = Series::new(1, ways());
        let mut rate = Series::new(IN_FLIGHT, ways());
        for round in 0..=plan.rounds {
            // The first round warms both sides up and is thrown away.
            let slice = plan.slice;
            for (series, in_flight) in [(&mut latency, 1), (&mut rate, IN_FLIGHT)] {
                let mut bare_sides = Vec::new();
                for (_, bare) in base {
                    bare_sides.push(load(ask_base(bare), in_flight, slice).await?);
                }
                let mesh = load(ask_mesh.clone(), in_flight, slice).await?;
                *made += mesh.calls;
                if round > 0 {
                    series.add(bare_sides, mesh);
                }
            }
        }
        Ok(BodyFigures {
            bytes,
            base: [latency.base_name(), rate.base_name()],
            latency_p50: latency.ratio(|m| m.p50_us),
            throughput: rate.ratio(|m| m.rate),
            base_p50_us: median(latency.base().iter().map(|m| m.p50_us)),
            mesh_p50_us: median(latency.mesh.iter().map(|m| m.p50_us)),
            base_rate: median(rate.base().iter().map(|m| m.rate)),
            mesh_rate: median(rate.mesh.iter().map(|m| m.rate)),
        })
    }

    /// Stops everything.
    pub async fn stop(self) {
        self.served.drain(Duration::from_secs(1)).await;
        self.tasks.stop(Duration::from_secs(1)).await;
        self.caller.close().await;
        self.server.close().await;
        self.up.stop().await;
    }

    /// The mesh itself.
    #[must_use]
    pub const fn up(&self) -> &Up {
        &self.up
    }
}

impl std::fmt::Debug for Bench {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bench").finish_non_exhaustive()
    }
}

/// What `weft bench call` prints.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The mesh's own broker, base and mesh in the same account under the same permission lists.
    pub ratios: Figures,
    /// A broker without accounts and lists.
    pub ratios_plain_broker: Figures,
}

/// Measures on both brokers, in a folder of its own that is removed in the end.
///
/// # Errors
/// What does not start, or a call that failed.
pub async fn run(
    (plan, audit): (Plan, Option<When>),
    search: &Search,
    folder: &Path,
) -> Result<Report, StartError> {
    let own = Bench::start(options(search, &folder.join("own"), None)?, audit).await?;
    let figures = own.run(plan, &[Way::Inbox]).await;
    own.stop().await;
    let ratios = figures?;
    let tasks = Tasks::new();
    let watchdog = Watchdog::start(None, &tasks).await?;
    let plain = plain::Plain::start(search, folder, &watchdog, &tasks).await?;
    let on_plain = options(search, &folder.join("plain-mesh"), Some(plain.url()))?;
    let bench = Bench::start(on_plain, audit).await?;
    let figures = bench.run(plan, &[Way::Request, Way::Inbox]).await;
    bench.stop().await;
    plain.stop().await;
    tasks.stop(Duration::from_secs(2)).await;
    Ok(Report {
        ratios,
        ratios_plain_broker: figures?,
    })
}

/// A mesh in a folder of its own, on its own broker or on one that is there.
///
/// # Errors
/// A folder that can't be one of a mesh.
pub fn options(
    search: &Search,
    data: &Path,
    existing: Option<&str>,
) -> Result<UpOptions, StartError> {
    let sources = Sources {
        overrides: Overrides {
            data: Some(data.to_owned()),
            nats_url: existing.map(str::to_owned),
            ..Overrides::default()
        },
        folder: data.to_owned(),
        ..Sources::default()
    };
    let loaded = config::load(&sources)
        .map_err(|problems| Error::new(Kind::InternalError, problems.to_string()))?;
    Ok(UpOptions {
        loaded,
        sources: None,
        gateway: false,
        search: search.clone(),
        ephemeral: true,
        watchdog: None,
    })
}

async fn join(up: &Up, name: &str, permissions: &[String]) -> Result<Mesh, Error> {
    let identity = Identity::new(name).expect("it is a name");
    let token = up.plane().issue(identity, permissions).await?;
    Mesh::connect(up.mesh_options(Arc::new(move || token.clone()))).await
}

fn server_name() -> ServerName {
    ServerName::new(SERVER).expect("it is a name")
}

fn count(tools: &Tools) -> u64 {
    let counts = tools.counts();
    let of_bench = counts.iter().filter(|(server, _, _)| server == SERVER);
    of_bench.map(|(_, _, count)| count.calls).sum()
}

/// A tool call of exactly so many bytes.
fn request(bytes: usize) -> Request {
    let body = |filling: &str| {
        format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"echo","arguments":{{"text":"{filling}"}}}}}}"#
        )
    };
    let filling = "x".repeat(bytes.saturating_sub(body("").len()));
    Request::parse(Bytes::from(body(&filling))).expect("it is a request")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_has_the_bytes_that_were_asked_for() {
        for bytes in BODIES {
            assert_eq!(request(bytes).body().len(), bytes);
        }
    }
}
