//! Whether a member of the mesh keeps to `docs/protocol.md`, tried from outside: requests that are
//! right, requests that are wrong in one thing each, and what comes back.
//!
//! Nothing here runs a tool unless the plan names one. What can't be tried with the caller's
//! permissions is not applicable, and says what it would take.

mod asking;
mod auth;
mod calls;
mod envelope;
mod errors;
mod frames;
mod presence;
mod rules;
mod stranger;
mod terms;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};

use self::asking::Tester;
pub use self::rules::{Group, Rule, all as rules};
use crate::{
    access::exchange::{Exchanged, Held},
    bus::fault,
    error::{Error, Kind, case},
    mcp::Method,
    mesh::{self, Mesh},
    name::ServerName,
};

/// What is tried.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The member.
    pub server: ServerName,
    /// The tool that may be called, at most three times, and its arguments.
    pub call: Option<(String, Map<String, Value>)>,
}

/// How the member did.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The member.
    pub server: String,
    /// How many checks it passed.
    pub passed: usize,
    /// How many it failed.
    pub failed: usize,
    /// How many were not applicable.
    pub not_applicable: usize,
    /// Every check there is.
    pub checks: Vec<Check>,
}

/// One check, and how it came out.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Check {
    /// What it belongs to.
    pub group: Group,
    /// Its name.
    pub name: String,
    /// What the document asks for.
    pub rule: String,
    /// The section of docs/protocol.md that says so.
    pub section: String,
    /// How it came out.
    pub result: Verdict,
    /// What was wrong, or why it was not tried.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// As the document asks for.
    Pass,
    /// Not so.
    Fail,
    /// Not tried.
    NotApplicable,
}

/// Why a check did not pass.
#[derive(Debug)]
enum Stop {
    Fail(String),
    NotApplicable(String),
}

/// What came of one check.
type Outcome = Result<(), Stop>;

impl Stop {
    fn fail(why: impl Into<String>) -> Self {
        Self::Fail(why.into())
    }

    fn not_applicable(why: impl Into<String>) -> Self {
        Self::NotApplicable(why.into())
    }

    /// The same for another check.
    fn again(&self) -> Self {
        match self {
            Self::Fail(why) => Self::fail(why),
            Self::NotApplicable(why) => Self::not_applicable(why),
        }
    }
}

impl Report {
    fn new(server: &ServerName) -> Self {
        Self {
            server: server.to_string(),
            passed: 0,
            failed: 0,
            not_applicable: 0,
            checks: Vec::new(),
        }
    }

    fn add(&mut self, rule: &Rule, outcome: Outcome) {
        let (result, why) = match outcome {
            Ok(()) => (Verdict::Pass, None),
            Err(Stop::Fail(why)) => (Verdict::Fail, Some(why)),
            Err(Stop::NotApplicable(why)) => (Verdict::NotApplicable, Some(why)),
        };
        match result {
            Verdict::Pass => self.passed += 1,
            Verdict::Fail => self.failed += 1,
            Verdict::NotApplicable => self.not_applicable += 1,
        }
        self.checks.push(Check {
            group: rule.group,
            name: rule.name.to_owned(),
            rule: rule.sentence.to_owned(),
            section: rule.section.to_owned(),
            result,
            why,
        });
    }
}

/// Tries a member. `join` is how the caller joins.
///
/// # Errors
/// Where the mesh can't be joined or the member is not there: `SERVER_NOT_FOUND`,
/// `SERVER_UNAVAILABLE`, what the control plane says. What the member does wrong is in the report.
pub async fn run(join: mesh::Options, plan: Plan) -> Result<Report, Error> {
    let mesh = Mesh::connect(join.clone()).await?;
    let tried = try_all(&mesh, &join, &plan).await;
    mesh.close().await;
    tried
}

async fn try_all(mesh: &Mesh, join: &mesh::Options, plan: &Plan) -> Result<Report, Error> {
    is_there(mesh, plan).await?;
    let token = call_token(mesh, &(join.token)()).await?;
    let mut tester = Tester::open(mesh.link(), plan.server.clone(), token).await?;
    let mut report = Report::new(&plan.server);
    envelope::check(&mut tester, &mut report).await?;
    terms::check(&mut tester, &mut report).await?;
    errors::check(&mut tester, &mut report).await?;
    let stranger = stranger::Stranger::issue(mesh, join, &plan.server).await?;
    let checked = with_stranger(&mut tester, mesh, plan, &stranger, &mut report).await;
    if let Ok(stranger) = stranger {
        stranger.leave(mesh).await?;
    }
    checked?;
    Ok(report)
}

async fn with_stranger(
    tester: &mut Tester,
    mesh: &Mesh,
    plan: &Plan,
    stranger: &Result<stranger::Stranger, Stop>,
    report: &mut Report,
) -> Result<(), Error> {
    auth::check(tester, stranger.as_ref(), report).await?;
    calls::check(tester, plan, stranger.as_ref(), report).await?;
    presence::check(tester, mesh, report).await
}

/// Whether anybody answers at all: how is another matter.
async fn is_there(mesh: &Mesh, plan: &Plan) -> Result<(), Error> {
    let params = Value::Object(Map::new());
    let asked = mesh.ask(plan.server.as_str(), Method::TOOLS_LIST, params)?;
    match asked.send().await {
        Err(error) if is_absent(&error) => Err(error),
        _ => Ok(()),
    }
}

fn is_absent(error: &Error) -> bool {
    [
        case::SERVER_NOT_FOUND,
        case::SERVER_UNAVAILABLE,
        case::BROKER_UNAVAILABLE,
        case::CONNECTION_LOST,
    ]
    .iter()
    .any(|case| error.is_case(case))
        || error.kind() == Kind::AccessDenied
}

/// A call token of our own, since the one of the mesh's connection is never shown.
async fn call_token(mesh: &Mesh, token: &str) -> Result<String, Error> {
    let proof = Held::read(token)?.exchange(token);
    let exchanged: Exchanged = mesh.control("token_exchange", proof).await?;
    Ok(exchanged.token)
}

/// An error, as the reason of a check.
fn words(error: &Error) -> String {
    let beneath = std::error::Error::source(error);
    beneath.map_or_else(
        || error.to_string(),
        |beneath| format!("{error} ({})", fault::causes(beneath)),
    )
}
