//! Chooses the NATS server: what flags, environment, file and contexts say, laid over one another.

use std::path::{Path, PathBuf};

use crate::config::{
    Origin, Overrides,
    broker::{Broker, Credentials, Layer, Tls, home},
    decode::decode,
    env::{Env, HOME, NATS_CONTEXT, NATS_CREDS, NATS_URL, WEFT_NATS_URL},
    expand::expand_all,
    model::Nats,
    nats_context,
    problem::{Problem, Problems, Warning},
    secret::Secret,
    source::Source,
    tree::Node,
};

/// What the resolution needs of the rest.
pub(crate) struct Question<'a> {
    pub(crate) env: &'a Env,
    pub(crate) overrides: &'a Overrides,
    /// Whether flags or environment let a server on another machine be reached without TLS.
    pub(crate) insecure: bool,
    /// The `nats` block, its file, and that file's path.
    pub(crate) file: Option<(&'a Node, &'a Source)>,
}

impl Question<'_> {
    /// Flags over environment over file; with nothing said, a managed server.
    pub(crate) fn answer(
        &self,
        problems: &mut Problems,
        warnings: &mut Vec<Warning>,
    ) -> (Broker, Origin) {
        let managed = |server, origin| (Broker::Managed { server }, origin);
        let (url, server) = (&self.overrides.nats_url, &self.overrides.nats_server);
        if url.is_some() && server.is_some() {
            problems.push(Problem::bare(
                "--nats and --nats-server exclude each other: an existing server, or one to start",
            ));
        }
        if let Some(server) = server {
            return managed(Some(server.clone()), Origin::Flag("--nats-server"));
        }
        let (file, file_server) = self.file(problems, warnings);
        let (environment, variable) = self.environment(problems, warnings);
        let mut flag = url
            .as_deref()
            .map(|url| told(Layer::at(url), "--nats", problems))
            .unwrap_or_default();
        flag.tls.insecure = self.insecure;
        let origin = if !flag.urls.is_empty() {
            Origin::Flag("--nats")
        } else if let Some(variable) = variable {
            Origin::Environment(variable)
        } else if let Some((_, source)) = self.file {
            Origin::File(source.name().to_owned())
        } else {
            Origin::Default
        };
        // A server to start stands in the file: only a flag or a variable can say otherwise.
        let below = if file_server.is_some() {
            Layer::default()
        } else {
            file
        };
        if let Some(broker) = flag.over(environment).over(below).broker() {
            return (broker, origin);
        }
        if self.env.get(NATS_CREDS).is_some() {
            let what = format!("{NATS_CREDS} is not used: no URL of an existing server is given");
            warnings.push(Warning::bare(what));
        }
        managed(file_server, origin)
    }

    /// What the environment says, and the variable that names the server.
    fn environment(
        &self,
        problems: &mut Problems,
        warnings: &mut Vec<Warning>,
    ) -> (Layer, Option<&'static str>) {
        let env = self.env;
        let context = env.get(NATS_CONTEXT).map(|name| {
            let layer = nats_context::read(name, env, warnings);
            told(layer, NATS_CONTEXT, problems)
        });
        let url = [WEFT_NATS_URL, NATS_URL]
            .into_iter()
            .find_map(|variable| Some((variable, env.get(variable)?)));
        let creds = Layer {
            credentials: env.get(NATS_CREDS).map_or(Credentials::None, |path| {
                Credentials::Creds(home(path, env))
            }),
            ..Layer::default()
        };
        let variable = url
            .map(|(variable, _)| variable)
            .or_else(|| context.as_ref().map(|_| NATS_CONTEXT));
        let url = url
            .map(|(variable, url)| told(Layer::at(url), variable, problems))
            .unwrap_or_default();
        let layer = creds.over(url).over(context.unwrap_or_default());
        (layer, variable)
    }

    /// What the file says: an existing server, or the path of one to start.
    fn file(
        &self,
        problems: &mut Problems,
        warnings: &mut Vec<Warning>,
    ) -> (Layer, Option<PathBuf>) {
        let Some((node, source)) = self.file else {
            return (Layer::default(), None);
        };
        let mut own = Problems::default();
        let _: Nats = decode(node, "nats", source, &mut own);
        if own.into_result().is_err() {
            // It was told when the file was read; what is left of it would only mislead.
            return (Layer::default(), None);
        }
        let (mut node, mut own) = (node.clone(), Problems::default());
        expand_all(&mut node, "nats", self.env, (source, &mut own));
        let nats: Nats = decode(&node, "nats", source, &mut own);
        let mut block = Block {
            node: &node,
            source,
            env: self.env,
            problems: &mut own,
        };
        let layer = block.layer(&nats, warnings);
        let server = nats.server.map(|path| {
            if path.components().count() > 1 {
                source.path(&path, self.env.get(HOME))
            } else {
                path
            }
        });
        own.list()
            .iter()
            .for_each(|problem| problems.push(problem.clone()));
        (layer, server)
    }
}

/// The `nats` block of a file.
struct Block<'a> {
    node: &'a Node,
    source: &'a Source,
    env: &'a Env,
    problems: &'a mut Problems,
}

impl Block<'_> {
    fn layer(&mut self, nats: &Nats, warnings: &mut Vec<Warning>) -> Layer {
        let context = nats.context.as_deref().map(|name| {
            let layer = nats_context::read(name, self.env, warnings);
            self.told(layer, "context")
        });
        let url = nats.url.as_ref().map(|url| {
            let layer = Layer::at(url.reveal());
            self.told(layer, "url")
        });
        let own = Layer {
            credentials: self.credentials(nats),
            tls: Tls {
                ca: self.path(nats.tls.ca.as_deref()),
                cert: self.path(nats.tls.cert.as_deref()),
                key: self.path(nats.tls.key.as_deref()),
                insecure: nats.insecure,
            },
            ..Layer::default()
        };
        let named = context.is_some() || url.is_some();
        if nats.server.is_some() && named {
            self.tell(
                "server",
                "one to start and one that is there exclude each other",
            );
        }
        if nats.tls.cert.is_some() != nats.tls.key.is_some() {
            self.tell("tls", "`cert` and `key` go together");
        }
        let nobody = own.credentials == Credentials::None;
        if !named && nats.server.is_none() && !(nobody && own.tls == Tls::default()) {
            let what = "`nats`: credentials and TLS are not used: without `url` or `context` Weft starts a server of its own";
            warnings.push(Warning::new(self.source, &self.node.at, what));
        }
        own.over(url.unwrap_or_default())
            .over(context.unwrap_or_default())
    }

    fn credentials(&mut self, nats: &Nats) -> Credentials {
        if nats.user.is_some() != nats.password.is_some() {
            let key = if nats.user.is_some() {
                "user"
            } else {
                "password"
            };
            self.tell(key, "`user` and `password` go together");
        }
        let mut found = Vec::new();
        if let Some(creds) = &nats.creds {
            found.extend(self.path(Some(&creds.file)).map(Credentials::Creds));
        }
        if let Some(nkey) = &nats.nkey {
            found.extend(self.path(Some(&nkey.file)).map(Credentials::Nkey));
        }
        if let (Some(user), Some(place)) = (&nats.user, &nats.password) {
            let secret = place.fetch(self.env, self.source);
            found.extend(
                self.secret(secret, "password")
                    .map(|password| Credentials::User {
                        user: user.clone(),
                        password,
                    }),
            );
        }
        if let Some(place) = &nats.token {
            let secret = place.fetch(self.env, self.source);
            found.extend(self.secret(secret, "token").map(Credentials::Token));
        }
        if found.len() > 1 {
            let at = ["token", "user", "nkey"]
                .into_iter()
                .find(|key| self.node.get(key).is_some());
            self.tell(
                at.unwrap_or_default(),
                "keep one of creds, nkey, user and token",
            );
        }
        found.into_iter().next().unwrap_or_default()
    }

    fn secret(&mut self, secret: Result<Secret, String>, key: &str) -> Option<Secret> {
        secret.map_err(|why| self.tell(key, &why)).ok()
    }

    fn path(&self, path: Option<&Path>) -> Option<PathBuf> {
        Some(self.source.path(path?, self.env.get(HOME)))
    }

    fn told(&mut self, layer: Result<Layer, String>, key: &str) -> Layer {
        layer.unwrap_or_else(|why| {
            self.tell(key, &why);
            Layer::default()
        })
    }

    fn tell(&mut self, key: &str, what: &str) {
        let at = self.node.get(key).map_or(&self.node.at, |pair| &pair.at);
        let problem = Problem::new(self.source, at, format!("`nats.{key}`: {what}"));
        self.problems.push(problem);
    }
}

fn told(layer: Result<Layer, String>, name: &str, problems: &mut Problems) -> Layer {
    layer.unwrap_or_else(|why| {
        problems.push(Problem::bare(format!("{name}: {why}")));
        Layer::default()
    })
}
