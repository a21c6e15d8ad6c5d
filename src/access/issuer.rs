//! Tokens of somebody else's issuer: an OAuth authorization server that people log in at.
//!
//! An edge checks them here and has the control plane vouch for whoever holds one; they go no
//! further. Nothing in a token says where its key is to be had or which algorithm it is checked
//! by: the configuration does, and the kind of the key (RFC 8725, 3.1 and 3.10).

mod jwks;
mod source;
#[cfg(test)]
mod tests;

use std::{fmt, path::PathBuf, sync::Arc};

use data_encoding::{BASE32_NOPAD, BASE64URL_NOPAD};
use jsonwebtoken::{Algorithm, DecodingKey, crypto};
use serde::Deserialize;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use self::{jwks::Key, source::Source};
use super::{
    TokenError,
    verify::{BYTES_MAX, LEEWAY_S, TYPE, check_expiry},
};
use crate::{call::Permissions, name::Identity, spawn::Tasks};

/// Bytes that a shared secret has at least (RFC 7518, 3.2).
pub const SECRET_MIN: usize = 32;
/// How the names of all who come from outside begin: none of them is the name of anybody here.
pub const OUTSIDE: &str = "ext-";
/// A subject of more bytes stands in the name by its hash.
const SUBJECT_MAX: usize = 26;
/// How a hash is told from a subject.
const HASHED: &str = "h-";

/// An issuer, as it is configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// What it is called here: it stands in the names of whom it vouches for.
    pub name: String,
    /// Its `iss`, exactly.
    pub issuer: String,
    /// What has to stand in `aud`: one of these.
    pub audiences: Vec<String>,
    /// What its tokens are signed with.
    pub keys: KeysFrom,
    /// The claim that says who somebody is.
    pub identity: String,
    /// What whoever comes from it may do; grants add to it.
    pub permissions: Permissions,
}

/// Where the keys of an issuer are.
#[derive(Clone, PartialEq, Eq)]
pub enum KeysFrom {
    /// A secret that both know: HS256, and nothing else.
    Secret(Vec<u8>),
    /// A JSON Web Key Set in a file: RS256 and ES256, by the kind of each key.
    File(PathBuf),
    /// One at a URL.
    Url(String),
}

impl fmt::Debug for KeysFrom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Secret(_) => f.write_str("Secret(***)"),
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Url(url) => f.debug_tuple("Url").field(url).finish(),
        }
    }
}

/// Why an issuer can't be used as it is configured.
#[derive(Debug, thiserror::Error)]
pub enum IssuerError {
    /// A secret that can be guessed, or that is no secret.
    #[error("the secret of the issuer `{0}`: {1}")]
    Secret(String, &'static str),
    /// Its keys.
    #[error("the keys of the issuer `{0}`: {1}")]
    Keys(String, String),
}

/// Somebody for whom an outside issuer vouched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outside {
    /// Who he is here.
    pub identity: Identity,
    /// What he may do, beside what is granted to him.
    pub permissions: Permissions,
    /// When what he showed ends, seconds since 1970.
    pub expires: u64,
}

/// All issuers that an edge believes. Clones share their keys.
#[derive(Clone, Debug, Default)]
pub struct Issuers(Arc<[Issuer]>);

impl Issuers {
    /// Reads what is configured, and follows the keys until the tasks are stopped.
    ///
    /// # Errors
    /// [`IssuerError`]. A URL that does not answer is none: it is asked again.
    pub async fn open(all: Vec<Options>, tasks: &Tasks) -> Result<Self, IssuerError> {
        let mut issuers = Vec::with_capacity(all.len());
        for options in all {
            issuers.push(Issuer::open(options, tasks).await?);
        }
        Ok(Self(issuers.into()))
    }

    /// Whose token this claims to be, where it is one of theirs and none of Weft's own. Nothing of
    /// it is believed yet.
    #[must_use]
    pub fn of(&self, token: &str) -> Option<&Issuer> {
        if self.0.is_empty() || token.len() > BYTES_MAX {
            return None;
        }
        let parts = Parts::split(token).ok()?;
        let header: Header = parts.header().ok()?;
        if header.typ.as_deref() == Some(TYPE) {
            return None;
        }
        let claims = parts.claims().ok()?;
        let claimed = claims.get("iss")?.as_str()?;
        self.0.iter().find(|one| one.options.issuer == claimed)
    }

    /// Where people may get a token, for a client that has none.
    pub fn urls(&self) -> impl Iterator<Item = &str> {
        let all = self.0.iter().map(|one| one.options.issuer.as_str());
        all.filter(|issuer| issuer.starts_with("https://") || issuer.starts_with("http://"))
    }
}

/// One issuer.
#[derive(Debug)]
pub struct Issuer {
    options: Options,
    keys: Keys,
}

enum Keys {
    Secret(DecodingKey),
    Set(Source),
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keys")
    }
}

impl Issuer {
    async fn open(options: Options, tasks: &Tasks) -> Result<Self, IssuerError> {
        let name = || options.name.clone();
        let failed = |why| IssuerError::Keys(name(), why);
        let keys = match &options.keys {
            KeysFrom::Secret(secret) => {
                check_secret(secret).map_err(|why| IssuerError::Secret(name(), why))?;
                Keys::Secret(DecodingKey::from_secret(secret))
            }
            KeysFrom::File(path) => {
                let source = Source::file(&options.name, path.clone(), tasks).await;
                Keys::Set(source.map_err(failed)?)
            }
            KeysFrom::Url(url) => {
                let source = Source::url(&options.name, url, tasks).await;
                Keys::Set(source.map_err(failed)?)
            }
        };
        Ok(Self { options, keys })
    }

    /// Checks a token at `now` (seconds since 1970), and says who holds it.
    ///
    /// # Errors
    /// [`TokenError`].
    pub async fn verify(&self, token: &str, now: u64) -> Result<Outside, TokenError> {
        if token.len() > BYTES_MAX {
            return Err(TokenError::Malformed("too long"));
        }
        let parts = Parts::split(token)?;
        let header: Header = parts.header()?;
        header.check()?;
        match &self.keys {
            Keys::Secret(key) if header.alg == "HS256" => parts.check(key, Algorithm::HS256)?,
            Keys::Secret(_) => return Err(TokenError::Malformed("another algorithm")),
            Keys::Set(source) => {
                let kid = header.kid.as_deref().ok_or(TokenError::Malformed("kid"))?;
                let key = source.find(kid).await.ok_or(TokenError::Signature)?;
                let Key { algorithm, key } = key.as_ref();
                // The key says how it is used; the token may only agree.
                if header.alg != jwks::spelt(*algorithm) {
                    return Err(TokenError::Malformed("another algorithm"));
                }
                parts.check(key, *algorithm)?;
            }
        }
        self.admit(&parts.claims()?, now)
    }

    fn admit(&self, claims: &Map<String, Value>, now: u64) -> Result<Outside, TokenError> {
        let text = |name: &'static str| {
            let found = claims.get(name).and_then(Value::as_str);
            found.ok_or(TokenError::Malformed(name))
        };
        if text("iss")? != self.options.issuer {
            return Err(TokenError::Issuer);
        }
        let known = &self.options.audiences;
        let audience = |value: &Value| known.iter().any(|one| value.as_str() == Some(one));
        let meant = match claims.get("aud") {
            Some(Value::Array(all)) => all.iter().any(audience),
            Some(one) => audience(one),
            None => false,
        };
        if !meant {
            return Err(TokenError::Malformed("aud"));
        }
        let expires = claims.get("exp").and_then(Value::as_u64);
        let expires = expires.ok_or(TokenError::Malformed("exp"))?;
        for name in ["nbf", "iat"] {
            let Some(at) = claims.get(name) else { continue };
            let at = at.as_u64().ok_or(TokenError::Malformed(name))?;
            if at > now.saturating_add(LEEWAY_S) {
                return Err(TokenError::NotYet);
            }
        }
        check_expiry(expires, now)?;
        let subject = claims.get(&self.options.identity).and_then(Value::as_str);
        let subject = subject.filter(|subject| !subject.is_empty());
        let subject = subject.ok_or(TokenError::Malformed("who"))?;
        let identity = Identity::new(&named(&self.options.name, subject));
        Ok(Outside {
            identity: identity.map_err(|_| TokenError::Malformed("who"))?,
            permissions: self.options.permissions.clone(),
            expires,
        })
    }
}

/// Who somebody of an issuer is here. No two subjects get the same name: one that can't stand in
/// it, or that looks like a hash, stands there by its hash.
#[must_use]
pub fn named(issuer: &str, subject: &str) -> String {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
    if subject.len() <= SUBJECT_MAX && subject.bytes().all(plain) && !subject.starts_with(HASHED) {
        return format!("{OUTSIDE}{issuer}-{subject}");
    }
    let hash = BASE32_NOPAD.encode(&Sha256::digest(subject.as_bytes())[..15]);
    format!("{OUTSIDE}{issuer}-{HASHED}{}", hash.to_ascii_lowercase())
}

fn check_secret(secret: &[u8]) -> Result<(), &'static str> {
    if secret.len() < SECRET_MIN {
        return Err("it has fewer than 32 bytes: make one with `openssl rand -base64 32`");
    }
    if secret.starts_with(b"-----BEGIN") {
        return Err("it is a key or a certificate, which others know: give it as `jwks`");
    }
    let first = secret.first();
    if secret.iter().all(|byte| Some(byte) == first) {
        return Err("it is one byte many times: make one with `openssl rand -base64 32`");
    }
    Ok(())
}

/// What stands before the claims. Others put much there; what leads elsewhere is refused.
#[derive(Deserialize)]
struct Header {
    alg: String,
    #[serde(default)]
    typ: Option<String>,
    #[serde(default)]
    kid: Option<String>,
    #[serde(default)]
    crit: Option<Value>,
    #[serde(default)]
    jku: Option<Value>,
    #[serde(default)]
    jwk: Option<Value>,
    #[serde(default)]
    x5u: Option<Value>,
    #[serde(default)]
    x5c: Option<Value>,
}

impl Header {
    fn check(&self) -> Result<(), TokenError> {
        let led = [&self.crit, &self.jku, &self.jwk, &self.x5u, &self.x5c];
        if led.iter().any(|member| member.is_some()) {
            return Err(TokenError::Malformed("a header that is not followed"));
        }
        // RFC 9068 has `at+jwt`; many say `JWT`, or nothing. An ID token has another audience.
        let typ = self.typ.as_deref().unwrap_or("JWT").to_ascii_lowercase();
        match typ.strip_prefix("application/").unwrap_or(&typ) {
            "jwt" | "at+jwt" => Ok(()),
            _ => Err(TokenError::Malformed("another type")),
        }
    }
}

/// A token, taken apart.
struct Parts<'a> {
    signed: &'a str,
    header: &'a str,
    claims: &'a str,
    signature: &'a str,
}

impl<'a> Parts<'a> {
    fn split(token: &'a str) -> Result<Self, TokenError> {
        let wrong = TokenError::Malformed("not three parts");
        let (signed, signature) = token.rsplit_once('.').ok_or(wrong)?;
        let (header, claims) = signed.split_once('.').ok_or(wrong)?;
        if claims.contains('.') {
            return Err(wrong);
        }
        Ok(Self {
            signed,
            header,
            claims,
            signature,
        })
    }

    fn header(&self) -> Result<Header, TokenError> {
        let json = object(self.header)?;
        serde_json::from_slice(&json).map_err(|_| TokenError::Malformed("header"))
    }

    fn claims(&self) -> Result<Map<String, Value>, TokenError> {
        let jwks::Strict(claims) = serde_json::from_slice(&object(self.claims)?)
            .map_err(|_| TokenError::Malformed("claims"))?;
        Ok(claims)
    }

    fn check(&self, key: &DecodingKey, algorithm: Algorithm) -> Result<(), TokenError> {
        match crypto::verify(self.signature, self.signed.as_bytes(), key, algorithm) {
            Ok(true) => Ok(()),
            _ => Err(TokenError::Signature),
        }
    }
}

fn object(part: &str) -> Result<Vec<u8>, TokenError> {
    let bytes = BASE64URL_NOPAD.decode(part.as_bytes());
    let bytes = bytes.map_err(|_| TokenError::Malformed("not base64url"))?;
    match bytes.first() {
        Some(b'{') => Ok(bytes),
        _ => Err(TokenError::Malformed("not an object")),
    }
}
