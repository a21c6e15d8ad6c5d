//! What a token says.

use std::{fmt, str::FromStr, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Act;
use crate::{call::Permissions, name::Identity};

/// What a token is good for. Each has exactly one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Audience {
    /// Opens a connection to the broker; never stands in a message.
    #[serde(rename = "weft:connect")]
    Connect,
    /// Stands in messages; opens nothing.
    #[serde(rename = "weft:call")]
    Call,
}

impl Audience {
    /// As it stands in `aud`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "weft:connect",
            Self::Call => "weft:call",
        }
    }
}

/// What an identity is to the broker: which lines of its permission list it gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// A person or a program that calls servers.
    Caller,
    /// An MCP server, by the adapter in front of it.
    Server,
    /// The trusted edge, which calls in the name of its clients.
    Gateway,
    /// Somebody who runs the mesh.
    Operator,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Caller, Self::Server, Self::Gateway, Self::Operator];

    /// As it stands in `role`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Caller => "caller",
            Self::Server => "server",
            Self::Gateway => "gateway",
            Self::Operator => "operator",
        }
    }

    /// Whether whoever has it runs for longer than a token lives, and nobody looks on.
    #[must_use]
    pub const fn is_long_running(self) -> bool {
        matches!(self, Self::Server | Self::Gateway)
    }

    /// The role that the permissions of `identity` ask for, where none was named: who may serve
    /// under his own name is a server, who may administer anything an operator.
    #[must_use]
    pub fn of(identity: &Identity, permissions: &Permissions) -> Self {
        if permissions.touches(&["admin"], "mesh/") {
            Self::Operator
        } else if permissions
            .permitting("serve", &["tools/", identity.as_str(), "/*"])
            .is_some()
        {
            Self::Server
        } else {
            Self::Caller
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A word that is no role.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no role: caller, server, gateway or operator")]
pub struct RoleError(String);

impl FromStr for Role {
    type Err = RoleError;

    fn from_str(text: &str) -> Result<Self, RoleError> {
        Self::ALL
            .into_iter()
            .find(|role| role.as_str() == text)
            .ok_or_else(|| RoleError(text.chars().take(40).collect()))
    }
}

/// The claims of a token, exactly those: one more or one twice, and the token is refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Claims {
    /// Whose token it is.
    pub sub: Identity,
    /// The same, under the name that the description gives it.
    pub server_name: Identity,
    /// What he may do, each `action:target`.
    pub permissions: Vec<String>,
    /// What he is to the broker.
    pub role: Role,
    /// The mesh that issued it.
    pub iss: String,
    /// What the token is good for.
    pub aud: Audience,
    /// Its id, a UUIDv7.
    pub jti: Uuid,
    /// When it was issued, seconds since 1970.
    pub iat: u64,
    /// From when on it holds, seconds since 1970.
    pub nbf: u64,
    /// Until when it holds, seconds since 1970.
    pub exp: u64,
    /// The connect token that a call token was made from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub par: Option<Uuid>,
    /// Who acts for the subject: only in a call token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub act: Option<Box<Act>>,
}

impl Claims {
    /// A new connect token's claims, from `now` on for `lifetime`.
    #[must_use]
    pub fn connect(
        sub: &Identity,
        permissions: &Permissions,
        role: Role,
        issuer: &str,
        term: Term,
    ) -> Self {
        Self {
            sub: sub.clone(),
            server_name: sub.clone(),
            permissions: permissions.to_strings(),
            role,
            iss: issuer.to_owned(),
            aud: Audience::Connect,
            jti: Uuid::now_v7(),
            iat: term.from,
            nbf: term.from,
            exp: term.until,
            par: None,
            act: None,
        }
    }

    /// The claims of a call token made from this connect token at `now`. It ends with it at the
    /// latest.
    #[must_use]
    pub fn call(&self, lifetimes: &Lifetimes, now: u64) -> Self {
        Self {
            aud: Audience::Call,
            jti: Uuid::now_v7(),
            iat: now,
            nbf: now,
            exp: self.exp.min(now + lifetimes.call.as_secs()),
            par: Some(self.jti),
            ..self.clone()
        }
    }
}

/// From when until when something holds, seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Term {
    /// From here on.
    pub from: u64,
    /// Until here.
    pub until: u64,
}

/// How long tokens live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetimes {
    /// A connect token where nothing else is said.
    pub connect: Duration,
    /// A connect token at most.
    pub connect_max: Duration,
    /// A call token. At most [`Lifetimes::CALL_MAX`].
    pub call: Duration,
}

impl Lifetimes {
    /// No call token lives longer: adapters need not remember a revocation for longer either.
    pub const CALL_MAX: Duration = Duration::from_secs(15 * 60);
    /// No connect token lives longer, whatever is configured.
    pub const CONNECT_MAX: Duration = Duration::from_secs(30 * 24 * 3600);

    /// The longest that a token of this audience may live.
    #[must_use]
    pub fn max(&self, audience: Audience) -> Duration {
        match audience {
            Audience::Connect => self.connect_max.min(Self::CONNECT_MAX),
            Audience::Call => Self::CALL_MAX,
        }
    }
}

impl Default for Lifetimes {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(24 * 3600),
            connect_max: Self::CONNECT_MAX,
            call: Self::CALL_MAX,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_role_follows_from_the_permissions() {
        let gh = Identity::new("gh").expect("a name");
        for (list, role) in [
            (&["call:tools/gh/*"][..], Role::Caller),
            (&["serve:tools/gh/*"], Role::Server),
            (&["serve:tools/*"], Role::Server),
            (&["serve:tools/gh/one"], Role::Caller),
            (&["serve:tools/jira/*"], Role::Caller),
            (&["admin:mesh/tokens"], Role::Operator),
            (&["*"], Role::Operator),
            (&[], Role::Caller),
        ] {
            let permissions = Permissions::parse(list).expect("permissions");
            assert_eq!(Role::of(&gh, &permissions), role, "{list:?}");
        }
        assert_eq!("gateway".parse(), Ok(Role::Gateway));
        assert!("root".parse::<Role>().is_err());
    }

    #[test]
    fn a_call_token_ends_with_its_connect_token() {
        let sub = Identity::new("alice").expect("a name");
        let term = Term {
            from: 1000,
            until: 1300,
        };
        let connect = Claims::connect(&sub, &Permissions::default(), Role::Caller, "m", term);
        let call = connect.call(&Lifetimes::default(), 1100);
        assert_eq!((call.iat, call.exp), (1100, 1300));
        assert_eq!(call.par, Some(connect.jti));
        let early = Claims {
            exp: 90_000,
            ..connect
        };
        assert_eq!(early.call(&Lifetimes::default(), 1100).exp, 1100 + 900);
    }
}
