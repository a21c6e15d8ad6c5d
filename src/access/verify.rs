//! The one place where a token is checked.
//!
//! The rules are those of RFC 8725 (best current practice for JWT), with nothing left to a
//! library's defaults: one algorithm for each key, the exact type, the exact audience and issuer
//! as single strings, every claim required and none unknown, our own look at every time.

use super::{Audience, Claims, KeySet, Lifetimes, SigningKey, jws};
use crate::error::{Error, Kind, case};

/// The `typ` of a token.
pub const TYPE: &str = "weft+jwt";
/// A token of more bytes than this is refused unread.
pub const BYTES_MAX: usize = 8 * 1024;
/// How far two clocks may lie apart, seconds.
pub const LEEWAY_S: u64 = 5;

/// Why a token is refused. What it says to the caller is one constant sentence for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// There is none.
    #[error("no token: this call needs one (`weft token issue`)")]
    Missing,
    /// Not a token at all, or not one of this mesh. The word is for the log.
    #[error("the token is none of this mesh")]
    Malformed(&'static str),
    /// Signed by nobody we know, or changed on the way.
    #[error("the token is none of this mesh")]
    Signature,
    /// Of another mesh.
    #[error("the token is none of this mesh")]
    Issuer,
    /// A connect token where a call token belongs, or the reverse.
    #[error("the token is for another use: a connect token opens connections, a call token calls")]
    Audience,
    /// Over.
    #[error("the token has expired: get a new one")]
    Expired,
    /// Not yet.
    #[error("the token does not hold yet: compare the clocks of the two machines")]
    NotYet,
    /// Taken back.
    #[error("the token was revoked")]
    Revoked,
    /// A reference to a token that was not seen here; the bearer settles it.
    #[error("this instance does not know the token yet: send it whole")]
    Unknown,
    /// Somebody else's.
    #[error("the token is not the caller's own")]
    Caller,
    /// A proof that does not show possession of the token it names.
    #[error("the proof does not show that you hold this token")]
    Proof,
}

impl TokenError {
    /// Which case of `AUTHENTICATION_FAILED` it is.
    #[must_use]
    pub const fn case(self) -> &'static str {
        match self {
            Self::Missing => case::TOKEN_MISSING,
            Self::Malformed(_) | Self::Signature | Self::Issuer | Self::NotYet | Self::Proof => {
                case::TOKEN_INVALID
            }
            Self::Audience => case::TOKEN_WRONG_AUDIENCE,
            Self::Expired => case::TOKEN_EXPIRED,
            Self::Revoked => case::TOKEN_REVOKED,
            Self::Unknown => case::TOKEN_UNKNOWN,
            Self::Caller => case::TOKEN_WRONG_CALLER,
        }
    }
}

impl From<TokenError> for Error {
    fn from(error: TokenError) -> Self {
        Self::new(Kind::AuthenticationFailed, error.to_string()).case(error.case())
    }
}

/// Signs claims: the token.
#[must_use]
pub fn sign(claims: &Claims, key: &SigningKey) -> String {
    jws::sign(TYPE, claims, key)
}

/// What a token is checked against.
#[derive(Clone, Debug)]
pub struct Verifier {
    /// Who may have signed it.
    pub keys: KeySet,
    /// The mesh that must have issued it.
    pub issuer: String,
    /// How long it may live.
    pub lifetimes: Lifetimes,
}

impl Verifier {
    /// Checks a token for one use at `now` (seconds since 1970).
    ///
    /// # Errors
    /// [`TokenError`]. Whether it was revoked is not known here.
    pub fn verify(&self, token: &str, audience: Audience, now: u64) -> Result<Claims, TokenError> {
        if token.is_empty() {
            return Err(TokenError::Missing);
        }
        let claims: Claims = jws::open(token, TYPE, &self.keys, BYTES_MAX)?;
        if claims.iss != self.issuer {
            return Err(TokenError::Issuer);
        }
        if claims.aud != audience {
            return Err(TokenError::Audience);
        }
        if claims.server_name != claims.sub {
            return Err(TokenError::Malformed("serverName is not sub"));
        }
        if claims.jti.get_version_num() != 7 {
            return Err(TokenError::Malformed("jti is no UUIDv7"));
        }
        if claims.par.is_some() != (audience == Audience::Call) {
            return Err(TokenError::Malformed("par"));
        }
        claims.check_actors()?;
        self.check_times(&claims, now)?;
        Ok(claims)
    }

    fn check_times(&self, claims: &Claims, now: u64) -> Result<(), TokenError> {
        let ahead = now.saturating_add(LEEWAY_S);
        if claims.iat > ahead || claims.nbf > ahead {
            return Err(TokenError::NotYet);
        }
        let lifetime = claims
            .exp
            .checked_sub(claims.iat)
            .ok_or(TokenError::Malformed("exp before iat"))?;
        if lifetime > self.lifetimes.max(claims.aud).as_secs() {
            return Err(TokenError::Malformed("lives too long"));
        }
        check_expiry(claims.exp, now)
    }
}

/// Whether what ends at `exp` still holds at `now`.
pub(super) fn check_expiry(exp: u64, now: u64) -> Result<(), TokenError> {
    if now >= exp.saturating_add(LEEWAY_S) {
        return Err(TokenError::Expired);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use data_encoding::BASE64URL_NOPAD;
    use jsonwebtoken::{Algorithm, EncodingKey, crypto};
    use serde_json::{Value, json};

    use super::*;

    const NOW: u64 = 1_800_000_000;

    /// A token that passes, as its parts: each bad one differs from it in one thing.
    struct Good {
        key: SigningKey,
        header: Value,
        claims: Value,
    }

    impl Good {
        fn new() -> Self {
            let key = SigningKey::generate();
            let header = json!({"alg": "EdDSA", "typ": "weft+jwt", "kid": key.kid()});
            let claims = json!({
                "sub": "alice", "serverName": "alice", "permissions": ["call:tools/gh/*"],
                "role": "caller", "iss": "mesh", "aud": "weft:call",
                "jti": uuid::Uuid::now_v7(), "par": uuid::Uuid::now_v7(),
                "iat": NOW, "nbf": NOW, "exp": NOW + 900,
            });
            Self {
                key,
                header,
                claims,
            }
        }

        fn signed(&self, header: &str, claims: &str) -> String {
            let part = |text: &str| BASE64URL_NOPAD.encode(text.as_bytes());
            let text = format!("{}.{}", part(header), part(claims));
            let mark = crypto::sign(text.as_bytes(), &self.key.signer, Algorithm::EdDSA);
            format!("{text}.{}", mark.expect("a signature"))
        }

        fn token(&self) -> String {
            self.signed(&self.header.to_string(), &self.claims.to_string())
        }

        fn verify(&self, token: &str) -> Result<Claims, TokenError> {
            let verifier = Verifier {
                keys: self.key.public(),
                issuer: "mesh".into(),
                lifetimes: Lifetimes::default(),
            };
            verifier.verify(token, Audience::Call, NOW)
        }

        /// The case of the refusal after one member was changed; the same token unchanged passes.
        fn with(&self, member: &str, value: Value, in_header: bool) -> &'static str {
            let (mut header, mut claims) = (self.header.clone(), self.claims.clone());
            let part = if in_header { &mut header } else { &mut claims };
            let object = part.as_object_mut().expect("an object");
            if value == json!("(absent)") {
                object.remove(member);
            } else {
                object.insert(member.to_owned(), value);
            }
            self.verify(&self.token()).expect("the good twin");
            let bad = self.signed(&header.to_string(), &claims.to_string());
            self.verify(&bad)
                .map_or_else(TokenError::case, |_| "passes")
        }
    }

    #[test]
    fn headers_that_are_refused() {
        let good = Good::new();
        let other = SigningKey::generate();
        for (member, value) in [
            ("alg", json!("none")),
            ("alg", json!("NoNe")),
            ("alg", json!("HS256")),
            ("alg", json!("RS256")),
            ("alg", json!("(absent)")),
            ("kid", json!("../../etc/passwd")),
            ("kid", json!("' OR 1=1 --")),
            ("kid", json!("a\u{0}b")),
            ("kid", json!("k".repeat(5000))),
            ("kid", json!(other.kid())),
            ("kid", json!("(absent)")),
            ("jku", json!("https://as.evil/keys")),
            ("x5u", json!("https://as.evil/cert")),
            ("jwk", json!({"kty": "OKP"})),
            ("crit", json!(["exp"])),
            ("typ", json!("JWT")),
            ("typ", json!("weft-trust+jwt")),
            ("typ", json!("(absent)")),
        ] {
            let case = good.with(member, value.clone(), true);
            assert_eq!(case, case::TOKEN_INVALID, "{member}: {value}");
        }
    }

    #[test]
    fn claims_that_are_refused() {
        let good = Good::new();
        use case::{TOKEN_EXPIRED as EXPIRED, TOKEN_INVALID as INVALID};
        for (member, value, case) in [
            ("aud", json!("(absent)"), INVALID),
            ("aud", json!(5), INVALID),
            ("aud", json!("other"), INVALID),
            ("aud", json!(["weft:call", "other"]), INVALID),
            ("aud", json!(["weft:call"]), INVALID),
            ("aud", json!("weft:connect"), case::TOKEN_WRONG_AUDIENCE),
            ("iss", json!("(absent)"), INVALID),
            ("iss", json!({}), INVALID),
            ("iss", json!("https://as.evil"), INVALID),
            ("exp", json!(NOW - LEEWAY_S), INVALID), // ends before it was issued
            ("iat", json!(NOW - 901), INVALID),      // lives too long
            ("nbf", json!(NOW + LEEWAY_S + 1), INVALID),
            ("iat", json!(NOW + LEEWAY_S + 1), INVALID),
            ("exp", json!(u64::MAX), INVALID),
            ("exp", json!(NOW + 901), INVALID),
            ("exp", json!("1800000900"), INVALID),
            ("exp", json!(-1), INVALID),
            ("exp", json!(1e300), INVALID),
            ("exp", json!("(absent)"), INVALID),
            ("nbf", json!("(absent)"), INVALID),
            ("iat", json!("(absent)"), INVALID),
            ("jti", json!("(absent)"), INVALID),
            ("jti", json!("7"), INVALID),
            (
                "jti",
                json!("00000000-0000-4000-8000-000000000000"),
                INVALID,
            ),
            ("par", json!("(absent)"), INVALID),
            ("sub", json!("a.b"), INVALID),
            ("sub", json!("bob"), INVALID), // and serverName is alice
            ("role", json!("root"), INVALID),
            ("role", json!("(absent)"), INVALID),
            ("permissions", json!("*"), INVALID),
            ("admin", json!(true), INVALID),
            ("act", json!({"sub": "agent"}), INVALID),
        ] {
            let said = good.with(member, value.clone(), false);
            assert_eq!(said, case, "{member}: {value}");
        }
        let mut old = Good::new();
        old.claims["iat"] = json!(NOW - 800);
        old.claims["exp"] = json!(NOW - LEEWAY_S + 1);
        assert!(old.verify(&old.token()).is_ok(), "within the leeway");
        old.claims["exp"] = json!(NOW - LEEWAY_S);
        let case = old.verify(&old.token()).expect_err("expired").case();
        assert_eq!(case, EXPIRED);
    }

    #[test]
    fn texts_that_are_refused() {
        let good = Good::new();
        let (header, claims) = (good.header.to_string(), good.claims.to_string());
        let token = good.token();
        let parts: Vec<&str> = token.split('.').collect();
        let twice = |from: &str, to: &str| good.signed(&header, &claims.replacen(from, to, 1));
        let rsa_public_as_secret = crypto::sign(
            format!("{}.{}", parts[0], parts[1]).as_bytes(),
            &EncodingKey::from_secret(b"-----BEGIN PUBLIC KEY-----"),
            Algorithm::HS256,
        )
        .expect("a MAC");
        let foreign = Good::new();
        for (what, bad) in [
            ("none", String::new()),
            ("garbage", "garbage".to_owned()),
            ("unsigned", format!("{}.{}.", parts[0], parts[1])),
            (
                "a MAC",
                format!("{}.{}.{rsa_public_as_secret}", parts[0], parts[1]),
            ),
            (
                "1 MB",
                format!("{}.{}.{}", parts[0], "A".repeat(1 << 20), parts[2]),
            ),
            ("four parts", format!("{token}.AAAA")),
            (
                "a JWE",
                format!("{}.AAAA.{}.AAAA.{}", parts[0], parts[1], parts[2]),
            ),
            ("padding", format!("{token}==")),
            ("a newline", format!("{token}\n")),
            ("exp twice", twice("\"exp\":", "\"exp\":1,\"exp\":")),
            ("sub twice", twice("\"sub\":", "\"sub\":\"root\",\"sub\":")),
            (
                "alg twice",
                good.signed(
                    &header.replace("\"alg\"", "\"alg\":\"none\",\"alg\""),
                    &claims,
                ),
            ),
            ("an array", good.signed(&header, "[\"alice\"]")),
            (
                "two bodies",
                good.signed(&header, &format!("{claims}{claims}")),
            ),
            ("another key", foreign.token()),
            (
                "claims of another token",
                format!(
                    "{}.{}.{}",
                    parts[0],
                    foreign.token().split('.').nth(1).expect("claims"),
                    parts[2]
                ),
            ),
        ] {
            let case = good.verify(&bad).expect_err(what).case();
            let want = if bad.is_empty() {
                case::TOKEN_MISSING
            } else {
                case::TOKEN_INVALID
            };
            assert_eq!(case, want, "{what}");
        }
        assert!(good.verify(&token).is_ok());
    }

    #[test]
    fn the_sentence_is_the_same_for_all_forgeries() {
        let said = [
            TokenError::Malformed("x"),
            TokenError::Signature,
            TokenError::Issuer,
        ]
        .map(|error| error.to_string());
        assert!(said.iter().all(|text| *text == said[0]));
        let error = Error::from(TokenError::Expired);
        assert_eq!(error.kind(), Kind::AuthenticationFailed);
        assert_eq!(error.case_name(), case::TOKEN_EXPIRED);
    }
}
