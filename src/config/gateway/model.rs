//! What a configuration file may say about the gateway.

use std::{net::SocketAddr, path::PathBuf};

use crate::config::secret::SecretSource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The endpoint for MCP clients: `http://LISTEN/mcp`, or `https://` with `tls`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Gateway {
    /// Where it listens; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Names that a request may be for, beside those of `listen`: `mesh.example`, or with a port.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<String>,
    /// Pages that may call, beside those of the same host: `https://app.example`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub origins: Vec<String>,
    /// TLS. Without it no other machine is listened to, unless `insecure` says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<GatewayTls>,
    /// How clients reach it, where that is not `listen`: `https://mesh.example`, without a path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public_url: Option<String>,
    /// Whose tokens are taken, beside those of the mesh.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub issuers: Vec<GatewayIssuer>,
    /// Listen beyond this machine without TLS: whoever is between reads every token.
    pub insecure: bool,
}

/// Files for TLS at the gateway, PEM, relative to the configuration file. They are read again when
/// they change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct GatewayTls {
    /// Own certificate, and those between it and its authority.
    pub cert: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// Authorities of clients' certificates: with it, whoever has none of theirs is not let in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_ca: Option<PathBuf>,
}

/// An OAuth authorization server, or whoever else signs tokens: each is checked at the gateway and
/// exchanged for one of the mesh.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct GatewayIssuer {
    /// What it is called here, 1 to 16 of a-z and 0-9: who comes from it is `ext-NAME-SUBJECT`.
    pub name: String,
    /// Its `iss`, exactly as it stands in its tokens.
    pub issuer: String,
    /// What has to stand in `aud`: one of these.
    pub audiences: Vec<String>,
    /// A JSON Web Key Set, for RS256 and ES256: a file, or an `https://` URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks: Option<String>,
    /// In its place, for HS256, a secret of 32 bytes or more that the issuer shares.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<SecretSource>,
    /// The claim that says who somebody is; where nothing is said, `sub`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
    /// What everybody who comes from it may do: `call:tools/time/*`. Grants add to it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub permissions: Vec<String>,
}

impl Default for Gateway {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 7420)),
            hosts: Vec::new(),
            origins: Vec::new(),
            tls: None,
            public_url: None,
            issuers: Vec::new(),
            insecure: false,
        }
    }
}
