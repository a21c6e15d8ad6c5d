//! From what the configuration says to what the components take.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    adapter::{self, pool, stdio, streamable},
    broker::PublicKeys,
    bus::{Auth, Tls},
    call::permission::Pattern,
    config,
    control::Secrets,
    policy::{
        audit::When,
        breaker, cache,
        limit::{Quota, Rate, Rule, Rules},
        retry,
    },
    registry,
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

/// When it is written down that a call goes on.
pub(super) const fn audit(written: config::Audit) -> When {
    match written {
        config::Audit::Soon => When::Soon,
        config::Audit::Strict => When::First,
    }
}

/// How many processes of a server there are.
pub(super) fn pool(written: config::Pool) -> pool::Options {
    pool::Options {
        max: count(written.max),
        min: count(written.min),
        // One that nobody bounded takes all that the server does: then there is one.
        calls: written.calls.map_or(pool::CALLS_MAX, count),
        idle: written.idle.duration(),
        wait: written.wait.duration(),
        waiting: count(written.waiting),
        pin: match written.pin {
            config::Pin::None => pool::Pin::None,
            config::Pin::Caller => pool::Pin::Caller,
        },
    }
}

/// Calls that a server works on at once: what finds no place at its processes waits in the line
/// before it, where callers have turns.
pub(super) fn at_once(pool: config::Pool, limits: &config::Limits) -> usize {
    let places = pool
        .calls
        .map(|calls| count(calls).saturating_mul(count(pool.max)));
    let places = places.filter(|_| pool.pin == config::Pin::None);
    places.map_or(count(limits.in_flight), |places| {
        places.min(count(limits.in_flight))
    })
}

/// How often a call is made again.
pub(super) fn retry(written: config::Retry) -> retry::Options {
    retry::Options {
        max: written.max,
        base: written.base.duration(),
    }
}

/// When a server is left alone.
pub(super) fn breaker(written: config::Breaker) -> breaker::Rules {
    let reset = written.reset.duration();
    breaker::Rules {
        threshold: written.threshold,
        reset,
        most: reset * 10,
        ..breaker::Rules::default()
    }
}

/// Which answers of a server are kept, where some are.
pub(super) fn cache(written: &config::Cache) -> Option<cache::Rules> {
    let declared = |written: &BTreeMap<String, config::Period>| {
        let each = written.iter();
        each.map(|(pattern, ttl)| (Pattern::new(pattern), ttl.duration()))
            .collect()
    };
    written.keeps().then(|| cache::Rules {
        tools: declared(&written.tools),
        methods: declared(&written.methods),
        ttl: written.ttl.duration(),
        bytes: size(written.bytes),
    })
}

/// What callers of a server may take for granted.
pub(super) fn calls(launch: &config::Launch) -> registry::Calls {
    // What everybody does anyway need not be said.
    let usual = launch.retry == config::Retry::default();
    let batch = launch.batch.filter(|batch| batch.max > 1);
    registry::Calls {
        idempotent: launch.idempotent.clone(),
        keys: true,
        retry: (!usual).then(|| registry::Retry {
            max: launch.retry.max,
            base_ms: launch.retry.base.as_millis(),
        }),
        batch: batch.map(|batch| registry::Batch {
            max: batch.max,
            window_ms: batch.window.as_millis(),
        }),
    }
}

/// Patterns of tools.
pub(super) fn patterns(written: &[String]) -> Vec<Pattern> {
    written.iter().map(|text| Pattern::new(text)).collect()
}

/// What each caller may do with a server: its own words, and the mesh's where it has none.
pub(super) fn rules(server: &str, own: &config::ServerLimits, limits: &config::Limits) -> Rules {
    let choose = |name: &str, own: &Option<config::Rule>, whole: &config::Rule| match own {
        Some(own) => rule(&format!("servers.{server}.limits.{name}"), own),
        None => rule(&format!("limits.{name}"), whole),
    };
    let mut tools: Vec<(&String, &config::Rule)> = own.tools.iter().collect();
    // A name before a prefix, and a longer prefix before a shorter one.
    tools.sort_by_key(|(name, _)| (name.ends_with('*'), std::cmp::Reverse(name.len())));
    let tools = tools.into_iter().map(|(name, written)| {
        let key = format!("servers.{server}.limits.tools.{name}");
        (Pattern::new(name), rule(&key, written))
    });
    Rules {
        caller: choose("perCaller", &own.per_caller, &limits.per_caller),
        tool: choose("perTool", &own.per_tool, &limits.per_tool),
        tools: tools.collect(),
    }
}

fn rule(key: &str, written: &config::Rule) -> Rule {
    let text = |rate: &config::Rate| Arc::from(rate.to_string());
    Rule {
        key: key.into(),
        rate: written.rate.as_ref().map(|rate| Rate {
            count: rate.count(),
            per: rate.per(),
            burst: written.burst.unwrap_or_else(|| rate.count()),
            text: text(rate),
        }),
        in_flight: written.in_flight,
        quota: written.quota.as_ref().map(|quota| Quota {
            count: quota.count(),
            per: quota.per(),
            text: text(quota),
        }),
    }
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
        insecure: tls.insecure,
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
