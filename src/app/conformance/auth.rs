//! Who may call: what the member does with tokens that are none, and with those of others.
//!
//! The caller's own connect token is never sent: whoever gets one can connect with it. What takes
//! one is tried with a stranger's, which may nearly nothing and is revoked afterwards.

use data_encoding::BASE64URL_NOPAD;
use serde_json::json;

use super::{
    Outcome, Report, Stop,
    asking::{Ask, Proof, Tester},
    envelope::refused,
    rules,
    stranger::Stranger,
};
use crate::{
    access::{self, verify},
    error::{Error, Kind, case},
    name::{CallId, header::VERSION},
};

/// A tool that nobody has, and the stranger has no permission for.
const NO_TOOL: &str = "weft-no-such-tool";
/// A reference to no token: as long as one.
const NO_REFERENCE: &str = "AAAAAAAAAAAAAAAAAAAAAA";

pub(super) async fn check(
    tester: &mut Tester,
    stranger: Result<&Stranger, &Stop>,
    report: &mut Report,
) -> Result<(), Error> {
    let unknown = || Ask::list().weft(format!("{VERSION};ref={NO_REFERENCE}"));
    let tries: [(_, Ask, &[&str]); 5] = [
        (&rules::MISSING, with(Proof::None), &[case::TOKEN_MISSING]),
        (&rules::GARBAGE, bearer("garbage"), &[case::TOKEN_INVALID]),
        (
            &rules::FORGED,
            bearer(&forged(&tester.token)),
            &[case::TOKEN_INVALID],
        ),
        (
            &rules::UNSIGNED_PAST,
            bearer(&past(tester.link.identity().as_str())),
            &[case::TOKEN_INVALID, case::TOKEN_EXPIRED],
        ),
        (
            &rules::UNKNOWN_REFERENCE,
            unknown().proof(Proof::None),
            &[case::TOKEN_UNKNOWN],
        ),
    ];
    for (rule, ask, cases) in tries {
        let outcome = refused(tester, ask, &[Kind::AuthenticationFailed], cases).await;
        report.add(rule, outcome);
    }
    let counts = tester.result(&unknown()).await.map(drop);
    report.add(&rules::BEARER_COUNTS, counts);
    for (rule, token, case) in [
        (
            &rules::CONNECT_TOKEN,
            stranger.map(|s| &s.connect),
            case::TOKEN_WRONG_AUDIENCE,
        ),
        (
            &rules::WRONG_CALLER,
            stranger.map(|s| &s.call),
            case::TOKEN_WRONG_CALLER,
        ),
    ] {
        let outcome = match token {
            Ok(token) => {
                refused(
                    tester,
                    bearer(token),
                    &[Kind::AuthenticationFailed],
                    &[case],
                )
                .await
            }
            Err(why) => Err(why.again()),
        };
        report.add(rule, outcome);
    }
    report.add(&rules::NOT_PERMITTED, not_permitted(tester, stranger).await);
    Ok(())
}

fn with(proof: Proof) -> Ask {
    Ask::list().proof(proof)
}

fn bearer(token: &str) -> Ask {
    with(Proof::Bearer(token.to_owned()))
}

/// The same claims under another signature.
fn forged(token: &str) -> String {
    let signed = token.rsplit_once('.').map_or(token, |(signed, _)| signed);
    format!("{signed}.{}", BASE64URL_NOPAD.encode(&[7; 64]))
}

/// A call token of 2001, signed by nobody.
fn past(me: &str) -> String {
    let part = |value: serde_json::Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
    let id = uuid::Uuid::from_u128(CallId::now().as_u128()).to_string();
    let header = json!({"alg": "EdDSA", "typ": verify::TYPE, "kid": "AAAAAAAAAAAA"});
    let claims = json!({
        "sub": me, "serverName": me, "permissions": ["*"], "role": "caller", "iss": "mesh",
        "aud": access::Audience::Call, "jti": id, "iat": 1_000_000_000, "nbf": 1_000_000_000,
        "exp": 1_000_000_900, "par": id,
    });
    let signature = BASE64URL_NOPAD.encode(&[7; 64]);
    format!("{}.{}.{signature}", part(header), part(claims))
}

/// The stranger asks for a tool that the broker lets pass and its permissions do not cover.
async fn not_permitted(tester: &Tester, stranger: Result<&Stranger, &Stop>) -> Outcome {
    let stranger = stranger.map_err(Stop::again)?;
    let link = stranger.mesh.link();
    let opened = Tester::open(link, tester.server.clone(), stranger.call.clone()).await;
    let mut theirs = opened.map_err(|error| Stop::fail(super::words(&error)))?;
    let ask = Ask::tool(NO_TOOL, &serde_json::Map::new());
    refused(&mut theirs, ask, &[Kind::AccessDenied], &[]).await
}
