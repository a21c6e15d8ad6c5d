//! Outside issuers as they are to be used: secrets fetched, paths found, names that fit.

use std::path::Path;

use super::GatewayIssuer;
use crate::{
    access::issuer::{KeysFrom, Options},
    call::Permissions,
    config::{
        Sources,
        env::HOME,
        problem::{Problem, Problems},
        source::Source,
        tree::Node,
    },
};

/// Issuers at most.
const ISSUERS_MAX: usize = 16;
/// Characters of a name: with a subject it has to fit into a name of the mesh.
const NAME_MAX: usize = 16;

/// Reads them. What is wrong with one is told at the block.
pub(super) fn read(
    given: &[GatewayIssuer],
    sources: &Sources,
    (node, source): (&Node, &Source),
    problems: &mut Problems,
) -> Vec<Options> {
    let at = node.get("issuers").map_or(&node.at, |pair| &pair.at);
    let mut tell = |what: String| problems.push(Problem::new(source, at, what));
    if given.len() > ISSUERS_MAX {
        tell(format!("`gateway.issuers`: at most {ISSUERS_MAX}"));
    }
    let mut read: Vec<Options> = Vec::new();
    for (n, one) in given.iter().take(ISSUERS_MAX).enumerate() {
        let same = |other: &Options| other.name == one.name || other.issuer == one.issuer;
        if read.iter().any(same) {
            tell(format!(
                "`gateway.issuers[{n}]`: another one has its `name` or its `issuer`"
            ));
        }
        match issuer(one, sources, source) {
            Ok(options) => read.push(options),
            Err(why) => tell(format!("`gateway.issuers[{n}].{why}")),
        }
    }
    read
}

/// One of them. The error continues the name of the block.
fn issuer(one: &GatewayIssuer, sources: &Sources, source: &Source) -> Result<Options, String> {
    let letters = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    if one.name.is_empty() || one.name.len() > NAME_MAX || !one.name.bytes().all(letters) {
        return Err(format!("name`: 1 to {NAME_MAX} of a-z and 0-9"));
    }
    if one.issuer.is_empty() {
        return Err("issuer`: what stands in `iss`".to_owned());
    }
    if one.audiences.is_empty() || one.audiences.iter().any(String::is_empty) {
        return Err(
            "audiences`: what stands in `aud` of tokens for this mesh, and of no other's"
                .to_owned(),
        );
    }
    let keys = match (&one.jwks, &one.secret) {
        (Some(url), None) if url.contains("://") => KeysFrom::Url(url.clone()),
        (Some(path), None) => KeysFrom::File(source.path(Path::new(path), sources.env.get(HOME))),
        (None, Some(place)) => {
            let secret = place.fetch(&sources.env, source);
            let secret = secret.map_err(|why| format!("secret`: {why}"))?;
            KeysFrom::Secret(secret.reveal().as_bytes().to_vec())
        }
        _ => return Err("jwks`: one of `jwks` and `secret` is needed".to_owned()),
    };
    let permissions = Permissions::parse(&one.permissions);
    Ok(Options {
        name: one.name.clone(),
        issuer: one.issuer.clone(),
        audiences: one.audiences.clone(),
        keys,
        identity: one.identity.clone().unwrap_or_else(|| "sub".to_owned()),
        permissions: permissions.map_err(|error| format!("permissions`: {error}"))?,
    })
}
