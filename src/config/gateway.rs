//! Where the gateway listens: what flags, environment and file say, laid over one another.

use crate::config::{
    Origin, Sources,
    env::WEFT_LISTEN,
    model::Gateway,
    problem::{Problem, Problems},
};

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
    gateway.insecure |= sources.overrides.insecure;
    if !gateway.listen.ip().is_loopback() && !gateway.insecure {
        let what = format!(
            "`gateway.listen`: {} can be reached from other machines, and this version has no TLS",
            gateway.listen
        );
        problems.push(Problem::bare(&what).help(
            "listen on 127.0.0.1 behind a proxy that has TLS, or say --insecure (`gateway.insecure`)",
        ));
    }
    origin
}
