//! The gateway: what flags, environment and file say, laid over one another.

mod issuers;
mod model;

use std::path::{Path, PathBuf};

pub use self::model::{Gateway, GatewayIssuer, GatewayTls};

use super::{
    Origin, Sources,
    decode::decode,
    env::{HOME, WEFT_INSECURE, WEFT_LISTEN},
    expand::expand_all,
    problem::{Problem, Problems},
    source::Source,
    tree::Node,
};

/// The gateway as it is to be run: variables expanded, paths found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edge {
    /// Files for TLS; nothing: none is spoken.
    pub tls: Option<GatewayTls>,
    /// How clients reach it: scheme and host, without a `/` at the end.
    pub public_url: Option<String>,
    /// Whose tokens are taken, with the secrets that they take.
    pub issuers: Vec<crate::access::issuer::Options>,
}

/// Lays flags and environment over what the file says. Says where the address comes from, where
/// not from there.
pub(super) fn answer(
    sources: &Sources,
    gateway: &mut Gateway,
    problems: &mut Problems,
) -> Option<Origin> {
    let mut origin = None;
    if let Some(text) = sources.env.get(WEFT_LISTEN) {
        match text.parse() {
            Ok(listen) => {
                gateway.listen = listen;
                origin = Some(Origin::Environment(WEFT_LISTEN));
            }
            Err(_) => {
                let what = format!("{WEFT_LISTEN}: `{text}` is no address: write 127.0.0.1:7420");
                problems.push(Problem::bare(what));
            }
        }
    }
    if let Some(listen) = sources.overrides.listen {
        gateway.listen = listen;
        origin = Some(Origin::Flag("--listen"));
    }
    gateway.insecure |= sources.insecure();
    if !gateway.listen.ip().is_loopback() && gateway.tls.is_none() && !gateway.insecure {
        let what = format!(
            "`gateway.listen`: {} can be reached from other machines, and there is no TLS: whoever \
             is between would read every token",
            gateway.listen
        );
        problems.push(Problem::bare(&what).help(format!(
            "write `gateway: {{ tls: {{ cert: FILE, key: FILE }} }}`, or listen on 127.0.0.1 behind \
             a proxy that has TLS, or say --insecure ({WEFT_INSECURE}=1, `gateway.insecure`)"
        )));
    }
    origin
}

/// The `gateway` block of a file as it is to be run.
pub(super) fn edge(
    sources: &Sources,
    file: Option<(&Node, &Source)>,
    problems: &mut Problems,
) -> Edge {
    let Some((node, source)) = file else {
        return Edge::default();
    };
    let mut own = Problems::default();
    let _: Gateway = decode(node, "gateway", source, &mut own);
    if own.into_result().is_err() {
        // It was told when the file was read; what is left of it would only mislead.
        return Edge::default();
    }
    let mut node = node.clone();
    expand_all(&mut node, "gateway", &sources.env, (source, problems));
    let gateway: Gateway = decode(&node, "gateway", source, problems);
    let path = |path: &Path| -> PathBuf { source.path(path, sources.env.get(HOME)) };
    let public_url = gateway.public_url.and_then(|url| {
        origin_of(&url)
            .map_err(|why| {
                let at = node.get("publicUrl").map_or(&node.at, |pair| &pair.at);
                let what = format!("`gateway.publicUrl`: {why}");
                problems.push(Problem::new(source, at, what));
            })
            .ok()
    });
    let issuers = issuers::read(&gateway.issuers, sources, (&node, source), problems);
    Edge {
        issuers,
        tls: gateway.tls.map(|tls| GatewayTls {
            cert: path(&tls.cert),
            key: path(&tls.key),
            client_ca: tls.client_ca.as_deref().map(path),
        }),
        public_url,
    }
}

/// A URL of scheme and host alone, without the `/` that may stand behind it.
fn origin_of(url: &str) -> Result<String, &'static str> {
    let wrong = "a scheme and a host were expected here, and no path: https://mesh.example";
    let url = url.strip_suffix('/').unwrap_or(url);
    let rest = ["https://", "http://"]
        .iter()
        .find_map(|scheme| url.strip_prefix(scheme));
    let host = rest.ok_or(wrong)?;
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-.:[]".contains(&b);
    if host.is_empty() || !host.bytes().all(plain) {
        return Err(wrong);
    }
    Ok(url.to_owned())
}
