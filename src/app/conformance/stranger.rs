//! Somebody else, made for the time of the checks: with a token that may nearly nothing.

use serde_json::{Value, json};

use super::{Stop, words};
use crate::{
    bus::probe::Probe,
    error::{Error, Kind},
    mesh::{self, Mesh},
    name::{Connection, ServerName},
};

/// The tools that a stranger may call: none that anybody has. The pattern makes the broker let
/// any name pass, so that the member has to decide.
const PERMITTED: &str = "weft-conformance-*";
/// How long its token lives, seconds, should it not be revoked.
const LIFE_S: u64 = 300;

/// Another caller, and what proves it.
#[derive(Debug)]
pub(super) struct Stranger {
    pub(super) connect: String,
    pub(super) call: String,
    pub(super) mesh: Mesh,
    pub(super) probe: Probe,
    jti: String,
}

impl Stranger {
    /// Issues a token and joins with it. The inner error says why that can't be done, which is no
    /// fault of the member's.
    pub(super) async fn issue(
        mesh: &Mesh,
        join: &mesh::Options,
        server: &ServerName,
    ) -> Result<Result<Self, Stop>, Error> {
        let arguments = json!({
            "name": format!("conformance-{}", Connection::random()),
            "permissions": [format!("call:tools/{server}/{PERMITTED}")],
            "role": "caller",
            "ttlSeconds": LIFE_S,
        });
        let issued: Value = match mesh.control("token_issue", arguments).await {
            Ok(issued) => issued,
            Err(error) if error.kind() == Kind::AccessDenied => {
                let why = "not checked: it needs an operator's token (`admin:mesh/tokens`)";
                return Ok(Err(Stop::not_applicable(why)));
            }
            Err(error) => return Err(error),
        };
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (connect, jti) = (text(&issued["token"]), text(&issued["about"]["jti"]));
        match Self::join(connect, jti.clone(), join).await {
            Ok(stranger) => Ok(Ok(stranger)),
            Err(error) => {
                revoke(mesh, &jti).await?;
                let why = format!(
                    "not checked: another caller could not join: {}",
                    words(&error)
                );
                Ok(Err(Stop::not_applicable(why)))
            }
        }
    }

    async fn join(connect: String, jti: String, join: &mesh::Options) -> Result<Self, Error> {
        let token = connect.clone();
        let options = mesh::Options {
            token: std::sync::Arc::new(move || token.clone()),
            ..join.clone()
        };
        let mesh = Box::pin(Mesh::connect(options)).await?;
        Ok(Self {
            call: super::call_token(&mesh, &connect).await?,
            probe: Probe::replies(mesh.link()).await?,
            connect,
            mesh,
            jti,
        })
    }

    /// Leaves, and has its token revoked.
    pub(super) async fn leave(self, mesh: &Mesh) -> Result<(), Error> {
        drop(self.probe);
        self.mesh.close().await;
        revoke(mesh, &self.jti).await
    }
}

async fn revoke(mesh: &Mesh, jti: &str) -> Result<(), Error> {
    let _revoked: Value = mesh.control("token_revoke", json!({"jti": jti})).await?;
    Ok(())
}
