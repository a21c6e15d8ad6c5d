//! From what the configuration says to what the components take.

use crate::{
    adapter::{self, stdio, streamable},
    broker::PublicKeys,
    bus::{Auth, Tls},
    call::permission::Pattern,
    config,
    control::Secrets,
};

pub(super) fn public_keys(secrets: &Secrets) -> PublicKeys {
    let [auth, store, sys, issuer, xkey] = secrets.public().map(|(_, key)| key);
    PublicKeys {
        auth,
        store,
        sys,
        issuer,
        xkey,
    }
}

/// A size as this machine counts: one that it can't count is no bound to it.
pub(super) fn size(size: config::Size) -> usize {
    usize::try_from(size.bytes()).unwrap_or(usize::MAX)
}

pub(super) fn count(count: u32) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

/// How a server is reached, within the limits of the mesh.
pub(super) fn upstream(target: &config::Target, limits: &config::Limits) -> adapter::Options {
    let in_flight = count(limits.in_flight);
    match target {
        config::Target::Process(process) => {
            let mut options = stdio::Options::new(stdio_launch(process));
            options.limits.line = size(limits.line);
            options.limits.in_flight = in_flight;
            options.limits.waiting = size(limits.waiting);
            adapter::Options::Stdio(options)
        }
        config::Target::Remote(remote) => {
            let config::Remote { endpoint, headers } = remote.clone();
            let mut options = streamable::Options::new(endpoint, headers);
            options.limits.answer = size(limits.line);
            options.limits.in_flight = in_flight;
            adapter::Options::Http(options)
        }
    }
}

/// Patterns of tools.
pub(super) fn patterns(written: &[String]) -> Vec<Pattern> {
    written.iter().map(|text| Pattern::new(text)).collect()
}

fn stdio_launch(process: &config::Process) -> stdio::Launch {
    let secret =
        |(name, value): (&String, &config::Secret)| (name.clone(), value.reveal().to_owned());
    stdio::Launch {
        command: process.command.clone(),
        args: process.args.iter().map(Into::into).collect(),
        env: process.env.iter().map(secret).collect(),
        cwd: process.cwd.clone(),
        ..stdio::Launch::default()
    }
}

/// Certificates, as the bus takes them.
pub(super) fn bus_tls(tls: &config::Tls) -> Tls {
    Tls {
        ca: tls.ca.clone(),
        client: tls.cert.clone().zip(tls.key.clone()),
    }
}

/// A login of the broker's own, as the bus takes it.
pub(super) fn bus_auth(credentials: &config::Credentials) -> Auth {
    match credentials {
        config::Credentials::None => Auth::Nothing,
        config::Credentials::Creds(file) => Auth::Creds(file.clone()),
        config::Credentials::Nkey(file) => Auth::NkeyFile(file.clone()),
        config::Credentials::User { user, password } => {
            Auth::Password(user.clone(), password.reveal().to_owned())
        }
        config::Credentials::Token(token) => Auth::token(token.reveal().to_owned()),
    }
}
