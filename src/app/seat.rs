//! What a part of this process needs to join the mesh that the process runs.

use std::sync::Arc;

use super::{plane::Plane, tokens};
use crate::{
    access::Role,
    bus::{Auth, Link, Tls},
    control::Control,
    error::Error,
    mesh::{self, TokenSource},
    name::{Identity, ServerName},
    spawn::Tasks,
};

/// A place beside the control plane. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Seat {
    control: Arc<Control>,
    link: Link,
    urls: Vec<String>,
    login: Option<Auth>,
    tls: Tls,
}

/// Who joins, and what he may do.
#[derive(Clone, Debug)]
pub(super) struct Who {
    pub(super) name: Identity,
    pub(super) permissions: Vec<String>,
    /// What he is to the broker; where nothing is said, it follows from the permissions.
    pub(super) role: Option<Role>,
}

impl Who {
    /// A server, with what it needs to join under its name.
    pub(super) fn server(server: &ServerName) -> Self {
        Self {
            name: server.identity(),
            permissions: vec![format!("serve:tools/{server}/*")],
            role: None,
        }
    }
}

impl Seat {
    pub(super) fn new(plane: &Plane, urls: &[String]) -> Self {
        Self {
            control: Arc::clone(plane.control()),
            link: plane.link().clone(),
            urls: urls.to_vec(),
            login: plane.login(),
            tls: plane.tls(),
        }
    }

    /// A connect token that is renewed until the tasks are stopped; each new one is told.
    ///
    /// # Errors
    /// A permission that is none, or what the token store says.
    pub(super) async fn token(
        &self,
        who: Who,
        told: impl Fn(&str) + Send + Sync + 'static,
        tasks: &Tasks,
    ) -> Result<TokenSource, Error> {
        let (control, told) = (Arc::clone(&self.control), Arc::new(told));
        let issue = move || {
            let told = Arc::clone(&told);
            let issued = tokens::local(Arc::clone(&control), who.clone());
            async move { issued.await.inspect(|(token, _)| told(token)) }
        };
        tokens::renewed(issue, Some(self.control.key_changes()), tasks).await
    }

    /// How somebody joins with a token.
    pub(super) fn options(&self, token: TokenSource) -> mesh::Options {
        let mut options = mesh::Options::with_source(String::new(), token);
        options.urls.clone_from(&self.urls);
        options.broker.clone_from(&self.login);
        options.tls = self.tls.clone();
        options
    }

    /// The control plane's own connection.
    pub(super) const fn link(&self) -> &Link {
        &self.link
    }

    /// The control plane.
    pub(super) const fn control(&self) -> &Arc<Control> {
        &self.control
    }
}
