//! Who may connect: the answer to the broker's auth callout.
//!
//! The broker asks on `$SYS.REQ.USER.AUTH`, sealed, and waits two seconds. A good connect token
//! becomes a user of `MESH` with the subject lists of its role and permissions, for as long as the
//! token lives. Anything else is refused with one constant sentence; the log says why.

use std::{sync::Arc, time::Duration};

use async_nats::Message;
use futures_util::{StreamExt as _, stream::FuturesUnordered};
use nkeys::XKey;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::{
    broker_jwt,
    connect::{Listener, Wire},
    durables::Durables,
    grants::Grants,
    keys::Secrets,
    roles,
    tokens::Tokens,
};
use crate::{
    access::{Claims, Role, now, now_ms},
    audit::{Decision, Record, Trail},
    call::{Permissions, Principal},
    error::{Error, Kind},
    spawn::{Failure, Tasks},
};

/// Where the broker asks.
const SUBJECT: &str = "$SYS.REQ.USER.AUTH";
/// Several control planes share the questions.
const QUEUE: &str = "weft";
/// The account that users of the mesh belong to.
const ACCOUNT: &str = "MESH";
/// The broker gives up after two seconds; an answer after that helps nobody.
const ANSWER_MAX: Duration = Duration::from_millis(1800);
/// How long it may take to write down that somebody was refused.
const WRITE_MAX: Duration = Duration::from_millis(1000);
/// Questions that are answered at the same time; more wait in the subscription.
const AT_ONCE: usize = 64;
/// Subscriptions of one user at most.
const SUBSCRIPTIONS_MAX: u32 = 256;
/// A gateway has one for each of its sessions.
const SUBSCRIPTIONS_GATEWAY_MAX: u32 = 8192;
/// What a refused client may hear. The broker makes an "authorization violation" of it.
const REFUSED: &str = "not admitted";

/// Answers the callout.
#[derive(Clone, Debug)]
pub(super) struct Callout {
    pub(super) secrets: Arc<Secrets>,
    pub(super) tokens: Tokens,
    pub(super) grants: Grants,
    pub(super) durables: Durables,
    pub(super) trail: Trail,
    pub(super) wire: Wire,
}

/// Who asks to be let in, as the broker tells it.
struct Question {
    /// The key to seal the answer for.
    server: XKey,
    server_id: String,
    user: String,
    token: String,
    host: String,
}

impl Callout {
    /// Begins to answer; the broker knows of it when this returns.
    pub(super) async fn start(self, tasks: &Tasks) -> Result<(), Error> {
        let callout = self;
        let wire = callout.wire.clone();
        let mut questions = Listener::open(wire, SUBJECT, Some(QUEUE)).await?;
        let stop = tasks.stopping();
        tasks.spawn("auth callout", Failure::Stops, async move {
            let mut answers = FuturesUnordered::new();
            loop {
                tokio::select! {
                    () = stop.cancelled() => return,
                    Some(()) = answers.next() => {}
                    question = questions.next(), if answers.len() < AT_ONCE => {
                        answers.push(callout.answer(question));
                    }
                }
            }
        });
        Ok(())
    }

    async fn answer(&self, message: Message) {
        let Some(reply) = message.reply.clone() else {
            return;
        };
        let Some(question) = self.read(&message) else {
            tracing::warn!(
                "a question on {SUBJECT} that this control plane can't read: does the broker's configuration name its callout keys?"
            );
            return;
        };
        let verdict = timeout(ANSWER_MAX, self.admit(&question))
            .await
            .unwrap_or_else(|_| Err(Error::new(Kind::Timeout, "the token store is too slow")));
        let mut body = json!({"type": "authorization_response", "version": 2});
        match verdict {
            Ok(user) => body["jwt"] = json!(user),
            Err(error) => {
                tracing::warn!(
                    target: "weft::audit",
                    decision = "refused", what = "connect", host = question.host,
                    kind = error.case_name(), why = error.message(),
                    "a connection was refused"
                );
                let told = Record::refused("connect", &error).from(&question.host);
                // Whatever comes of that, he is refused.
                if let Err(error) = timeout(WRITE_MAX, self.trail.write(told))
                    .await
                    .unwrap_or(Ok(()))
                {
                    tracing::warn!(%error, "that a connection was refused is not written down");
                }
                body["error"] = json!(REFUSED);
            }
        }
        let claims = json!({"sub": question.user, "aud": question.server_id, "nats": body});
        let answer = broker_jwt::sign(claims, &self.secrets.issuer, now());
        let sealed = match self.secrets.xkey.seal(answer.as_bytes(), &question.server) {
            Ok(sealed) => sealed,
            Err(error) => return tracing::error!(%error, "an answer could not be sealed"),
        };
        if let Err(error) = self.wire.publish(reply.to_string(), sealed).await {
            tracing::warn!(%error, "a connecting client got no answer");
        }
    }

    /// Opens and checks a question. Only the broker that sealed it has the key that it names.
    fn read(&self, message: &Message) -> Option<Question> {
        let header = message.headers.as_ref()?.get("Nats-Server-Xkey")?;
        let server = XKey::from_public_key(header.as_str()).ok()?;
        let opened = self.secrets.xkey.open(&message.payload, &server).ok()?;
        let claims = broker_jwt::open(std::str::from_utf8(&opened).ok()?)?;
        let asked = &claims["nats"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Some(Question {
            server,
            server_id: asked["server_id"]["id"].as_str()?.to_owned(),
            user: asked["user_nkey"].as_str()?.to_owned(),
            token: text(&asked["connect_opts"]["auth_token"]),
            host: text(&asked["client_info"]["host"]),
        })
    }

    /// Writes down who was let in. Where that can't be, he is let in all the same: what he does then
    /// is refused, and somebody has to come in to mend it.
    fn told(&self, claims: &Claims, host: &str) {
        let mut record = Record::new(Decision::Allowed, "connect").from(host);
        record
            .about
            .insert("jti".into(), claims.jti.to_string().into());
        record
            .about
            .insert("role".into(), claims.role.to_string().into());
        if self.trail.try_note(record.by(Some(&claims.sub))).is_err() {
            tracing::warn!(who = %claims.sub, "that a connection was admitted is not written down");
        }
    }

    /// The user that this client becomes.
    async fn admit(&self, question: &Question) -> Result<String, Error> {
        let began = now_ms();
        let claims = self.tokens.admit(&question.token).await?;
        let refused = |why: String| Error::new(Kind::AccessDenied, why);
        let rules = self.grants.table().borrow().rules().clone();
        let mut lists =
            roles::lists(&claims, &rules).map_err(|refusal| refused(refusal.to_string()))?;
        let may =
            Permissions::parse(&claims.permissions).map_err(|error| refused(error.to_string()))?;
        let who = Principal::new(claims.sub.clone(), may);
        who.grants.set(rules);
        lists.durables(self.durables.of(&who));
        if lists.widened {
            tracing::warn!(
                identity = %claims.sub,
                "so many permissions that the broker got wildcards; adapters still decide exactly"
            );
        }
        let user = user(&claims, &lists, &question.user);
        tracing::info!(
            target: "weft::audit",
            decision = "admitted", what = "connect", identity = %claims.sub, role = %claims.role,
            token = %claims.jti, host = question.host, ms = now_ms().saturating_sub(began),
            "a connection was admitted"
        );
        self.told(&claims, &question.host);
        Ok(broker_jwt::sign(user, &self.secrets.issuer, now()))
    }
}

/// The token in the name of a user of the broker.
pub(super) fn token_of(user: &str) -> Option<&str> {
    user.split_once(':').map(|(_, token)| token)
}

/// The claims of a user of the broker. By its name the connection is found when its token is
/// revoked, and whoever runs the broker sees whose it is.
fn user(claims: &Claims, lists: &roles::Lists, key: &str) -> Value {
    let subscriptions = match claims.role {
        Role::Gateway => SUBSCRIPTIONS_GATEWAY_MAX,
        Role::Caller | Role::Server | Role::Operator => SUBSCRIPTIONS_MAX,
    };
    json!({
        "sub": key,
        "name": format!("{}:{}", claims.sub, claims.jti),
        "aud": ACCOUNT,
        "exp": claims.exp,
        "nats": {
            "type": "user",
            "version": 2,
            "subs": subscriptions,
            "data": -1,
            "payload": -1,
            "pub": {"allow": lists.publish, "deny": lists.denied},
            "sub": {"allow": lists.subscribe},
        },
    })
}
