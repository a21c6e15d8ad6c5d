//! Where the mesh is, and as whom it is joined: flags, environment and the data folder, laid over
//! one another.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{Context, ContextError, text};
use crate::{
    app::translate,
    bus::Auth,
    config::{
        self, Broker, Credentials, DATA, Env, Overrides, Secret, Sources,
        env::{WEFT_DATA, WEFT_NATS_URL, WEFT_TOKEN},
    },
    control::write_private,
    mesh,
};

/// Bytes of a token file at most. A token has less than 8 KiB.
const TOKEN_MAX: u64 = 64 * 1024;
/// Where a broker of Weft's own listens.
const MANAGED: &str = "nats://127.0.0.1:";

/// What flags say.
#[derive(Clone, Debug, Default)]
pub struct Flags {
    /// `--data DIR`: the folder of the mesh.
    pub data: Option<PathBuf>,
    /// `--nats URL`: where NATS is.
    pub nats: Option<String>,
    /// `--insecure`: a broker on another machine may be reached without TLS.
    pub insecure: bool,
}

/// How the mesh is reached.
#[derive(Clone, Debug)]
pub struct Reach {
    /// Where NATS is.
    pub urls: Vec<String>,
    /// Who we are to a broker that asks for more than a token.
    pub credentials: Credentials,
    /// Files for TLS.
    pub tls: config::Tls,
    /// The connect token.
    pub token: Secret,
    /// Where the token is from.
    pub token_from: TokenFrom,
    /// The folder and what is in it, where the mesh was found by one.
    pub context: Option<(PathBuf, Context)>,
    /// Why the configuration file was passed over, where it was: who only calls is not to be
    /// stopped by a mistake in it.
    pub passed_over: Option<String>,
}

/// Where a token is from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenFrom {
    /// `WEFT_TOKEN`.
    Variable,
    /// A file.
    File(PathBuf),
}

/// The data folder: `--data`, `WEFT_DATA`, `./.weft`.
#[must_use]
pub fn folder(env: &Env, flags: &Flags) -> PathBuf {
    flags
        .data
        .clone()
        .or_else(|| env.get(WEFT_DATA).map(PathBuf::from))
        .unwrap_or_else(|| PathBuf::from(DATA))
}

impl Reach {
    /// Finds the mesh. `--nats` and `WEFT_NATS_URL` name the broker, else the data folder does;
    /// `WEFT_TOKEN` or `WEFT_TOKEN_FILE` say who we are, else the folder's own token does. With
    /// `--data`, a `WEFT_NATS_URL` and the token beside it belong to another mesh, and count for
    /// nothing.
    ///
    /// # Errors
    /// [`ContextError`]; whether the mesh runs is seen in [`Reach::options`].
    pub fn find(env: &Env, flags: &Flags) -> Result<Self, ContextError> {
        let variable = env.get(WEFT_NATS_URL);
        let elsewhere = flags.data.is_some() && flags.nats.is_none() && variable.is_some();
        let url = match &flags.nats {
            Some(url) => Some(url.as_str()),
            None => variable.filter(|_| !elsewhere),
        };
        let token = if elsewhere { None } else { token(env)? };
        let folder = folder(env, flags);
        // What the environment names, the configuration reads there itself, and names in errors.
        let flag = flags.nats.as_deref();
        if let (Some(url), Some((token, from))) = (url, &token) {
            let reach = Self::at(url, flag, None, (env, flags.insecure))?;
            return reach.with(token.clone(), from.clone());
        }
        let context = match Context::read(&folder) {
            Err(ContextError::NoMesh { .. }) if url.is_some() => return Err(ContextError::NoToken),
            read => read?,
        };
        let (token, from) = match token {
            Some(token) => token,
            None => of_file(&context.token_file)?,
        };
        let nats_url = url.map_or_else(|| context.nats_url.clone(), str::to_owned);
        if url.is_some() {
            // A broker that was named by hand may be up while that process is not.
            return Self::at(&nats_url, flag, None, (env, flags.insecure))?.with(token, from);
        }
        // A broker of Weft's own wants the token and nothing else: what the environment has for
        // others is not sent to it.
        let foreign = !nats_url.starts_with(MANAGED);
        let named = foreign.then_some(nats_url.as_str());
        let context = Some((folder, context));
        Self::at(&nats_url, named, context, (env, flags.insecure))?.with(token, from)
    }

    /// The broker at this URL, with the credentials that the environment or the configuration
    /// file has for it. A broker of Weft's own wants the token and nothing else: what the
    /// environment has for others is not sent to it.
    fn at(
        url: &str,
        named: Option<&str>,
        context: Option<(PathBuf, Context)>,
        (env, insecure): (&Env, bool),
    ) -> Result<Self, ContextError> {
        let told = context.is_none() || named.is_some();
        let sources = |env: &Env, folder: &Path| Sources {
            overrides: Overrides {
                nats_url: named.map(str::to_owned),
                insecure,
                ..Overrides::default()
            },
            env: env.clone(),
            folder: folder.to_owned(),
            ..Sources::default()
        };
        let (loaded, passed_over) = match config::load(&sources(env, Path::new(""))) {
            Ok(loaded) => (loaded, None),
            Err(problems) => {
                // Where no file is looked for, what is left is what the URL and variables say.
                let bare = sources(&without_config(env), Path::new("/dev/null"));
                let loaded = config::load(&bare)
                    .map_err(|problems| ContextError::Environment(problems.to_string()))?;
                (loaded, Some(problems.to_string()))
            }
        };
        let (urls, credentials, mut tls) = match loaded.broker {
            Broker::Existing {
                urls,
                credentials,
                tls,
            } if told
                || urls
                    .iter()
                    .any(|known| url.split(',').any(|one| one == known)) =>
            {
                (urls, credentials, tls)
            }
            _ => {
                let urls = url.split(',').map(str::to_owned).collect();
                (urls, Credentials::None, config::Tls::default())
            }
        };
        if let Some((_, context)) = &context {
            // As whoever started it reaches it, where nothing else is said here.
            context.tls.fill(&mut tls);
        }
        Ok(Self {
            urls,
            credentials,
            tls,
            token: Secret::new(""),
            token_from: TokenFrom::Variable,
            context,
            passed_over,
        })
    }

    fn with(mut self, token: Secret, from: TokenFrom) -> Result<Self, ContextError> {
        if token.reveal().trim().is_empty() {
            return Err(ContextError::NoToken);
        }
        self.token = Secret::new(token.reveal().trim());
        self.token_from = from;
        Ok(self)
    }

    /// What the mesh is joined with.
    ///
    /// # Errors
    /// [`ContextError::Gone`] where its process is not there any more.
    pub fn options(&self) -> Result<mesh::Options, ContextError> {
        if let Some((folder, context)) = &self.context
            && !context.process().lives()
        {
            return Err(ContextError::Gone {
                folder: folder.clone(),
                pid: context.pid,
            });
        }
        let mut options = mesh::Options::with_source("", self.source());
        options = options.renewing(self.keep());
        options.urls.clone_from(&self.urls);
        options.broker = auth(&self.credentials);
        options.tls = translate::bus_tls(&self.tls);
        Ok(options)
    }
}

impl Reach {
    /// Where the next token goes: into the file that this one is from, but for that of a mesh on
    /// this machine, which is renewed there.
    fn keep(&self) -> impl Fn(&str) + Send + Sync + 'static {
        let own = self
            .context
            .as_ref()
            .map(|(_, context)| &context.token_file);
        let file = match &self.token_from {
            TokenFrom::File(path) if own != Some(path) => Some(path.clone()),
            TokenFrom::File(_) | TokenFrom::Variable => None,
        };
        move |token| {
            let Some(path) = &file else {
                return;
            };
            if let Err(error) = write_private(path, format!("{token}\n").as_bytes()) {
                tracing::warn!(path = %path.display(), %error, "the renewed token is in memory alone");
            }
        }
    }

    /// The token of now: a file is read again, since whoever runs the mesh renews what is in it.
    fn source(&self) -> mesh::TokenSource {
        let (token, from) = (self.token.clone(), self.token_from.clone());
        Arc::new(move || match &from {
            TokenFrom::File(path) => of_file(path)
                .map_or_else(|_| token.clone(), |(token, _)| token)
                .reveal()
                .trim()
                .to_owned(),
            TokenFrom::Variable => token.reveal().to_owned(),
        })
    }
}

/// How a broker knows us that does not take the token; none where it does.
fn auth(credentials: &Credentials) -> Option<Auth> {
    match credentials {
        Credentials::None => None,
        Credentials::Creds(path) => Some(Auth::Creds(path.clone())),
        Credentials::Nkey(path) => Some(Auth::NkeyFile(path.clone())),
        Credentials::User { user, password } => {
            Some(Auth::Password(user.clone(), password.reveal().to_owned()))
        }
        Credentials::Token(token) => Some(Auth::token(token.reveal().to_owned())),
    }
}

/// The token that the environment gives.
fn token(env: &Env) -> Result<Option<(Secret, TokenFrom)>, ContextError> {
    let token = env.token().map_err(ContextError::Environment)?;
    let file = env.get(crate::config::env::WEFT_TOKEN_FILE);
    let from = match (env.get(WEFT_TOKEN), file) {
        (None, Some(path)) => TokenFrom::File(PathBuf::from(path)),
        _ => TokenFrom::Variable,
    };
    Ok(token.map(|token| (token, from)))
}

fn of_file(path: &Path) -> Result<(Secret, TokenFrom), ContextError> {
    let text = text(path, TOKEN_MAX).map_err(|error| ContextError::Token {
        path: path.to_owned(),
        why: error.to_string(),
    })?;
    Ok((Secret::new(text), TokenFrom::File(path.to_owned())))
}

/// The variables that say where NATS is and who we are to it, and no other.
fn without_config(env: &Env) -> Env {
    use crate::config::env::{
        HOME, NATS_CONTEXT, NATS_CREDS, NATS_URL, WEFT_INSECURE, XDG_CONFIG_HOME,
    };
    [
        HOME,
        NATS_CONTEXT,
        NATS_CREDS,
        NATS_URL,
        XDG_CONFIG_HOME,
        WEFT_INSECURE,
        WEFT_NATS_URL,
    ]
    .into_iter()
    .filter_map(|name| Some((name, env.get(name)?)))
    .collect()
}

#[cfg(test)]
mod tests;
