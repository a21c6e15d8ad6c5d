//! The control plane and its place on the bus: the server `weft`.

use std::sync::Arc;

use super::{seat::Who, tokens};
use crate::{
    access::Lifetimes,
    bus::{
        self, Auth, Bounds, Limits, Link, Options as BusOptions, Reach, ServeOptions, Served, Tls,
        connect::{BACKLOG, BACKLOG_OF_EVENTS},
    },
    control::{self, Accounts, Control, Options as ControlOptions, Secrets},
    error::{Error, Kind},
    event::Declared,
    name::{Identity, Instance, ServerName, header},
    policy,
    resource::Sharing,
    spawn::Tasks,
    telemetry::{
        load::Load,
        metric::{Side, Tools},
    },
};

pub use crate::control::{ToolDefinition, tools};

/// The name of a mesh that nobody named: `iss` of its tokens.
const ISSUER: &str = "weft";

/// A running control plane that is served on the mesh.
#[derive(Debug)]
pub struct Plane {
    control: Arc<Control>,
    served: Served,
    link: Link,
    /// How that was made.
    own: BusOptions,
    login: Option<Auth>,
}

/// What a control plane works with, whatever the broker.
#[derive(Debug)]
pub struct Site {
    /// The broker's URLs.
    pub urls: Vec<String>,
    /// The keys of the mesh.
    pub secrets: Arc<Secrets>,
    /// Certificates, where the broker asks for TLS.
    pub tls: Tls,
    /// Events beyond the catalogue.
    pub declared: Declared,
    /// What is said about shared resources.
    pub sharing: Sharing,
}

impl Plane {
    /// Starts it. `login` is for a broker that somebody else runs: where that has no accounts of
    /// ours, it is what everybody connects with.
    ///
    /// # Errors
    /// What the broker or the token store says.
    pub async fn start(site: Site, login: Option<Auth>, tasks: &Tasks) -> Result<Self, Error> {
        let own = Auth::Nkey(site.secrets.store_seed());
        let (control, login) = match login {
            None => (start(&site, None, tasks).await?, None),
            Some(given) => existing(&site, given, tasks).await?,
        };
        let Site { urls, tls, .. } = site;
        let link = BusOptions {
            urls,
            identity: ServerName::weft().identity(),
            auth: login.clone().unwrap_or(own),
            tls,
            name: "weft control plane".to_owned(),
            backlog: BACKLOG,
        };
        let (own, link) = (link.clone(), Link::connect(link, tasks).await?);
        let options = ServeOptions {
            server: ServerName::weft(),
            instance: Instance::random(),
            reach: if login.is_none() {
                Reach::Imported
            } else {
                Reach::Member
            },
            limits: Limits::default(),
            bounds: Bounds::default(),
            timeout: header::TIMEOUT,
            load: Load::default(),
        };
        let mut stack = policy::server::Options::new(control.trust(), Tools::new(Side::Server));
        stack.needs = control::needs;
        stack.open = control::open;
        stack.auditor = Some(control.auditor());
        let stack = policy::server::stack(control.service(), stack);
        Ok(Self {
            served: bus::serve(&link, options, stack, tasks).await?,
            link,
            own,
            control: Arc::new(control),
            login,
        })
    }

    /// The control plane itself.
    #[must_use]
    pub const fn control(&self) -> &Arc<Control> {
        &self.control
    }

    /// What everybody connects with on a broker with one account; `None` where the control plane
    /// lets people in.
    #[must_use]
    pub fn login(&self) -> Option<Auth> {
        self.login.clone()
    }

    /// Certificates for connections to the broker.
    #[must_use]
    pub fn tls(&self) -> Tls {
        self.own.tls.clone()
    }

    /// A connect token.
    ///
    /// # Errors
    /// A permission that is none, or what the token store says.
    pub async fn issue(&self, name: Identity, permissions: &[String]) -> Result<String, Error> {
        let who = Who {
            name,
            permissions: permissions.to_vec(),
            role: None,
        };
        let issued = tokens::local(Arc::clone(&self.control), who);
        Ok(issued.await?.0)
    }

    /// The control plane's own connection.
    #[must_use]
    pub const fn link(&self) -> &Link {
        &self.link
    }

    /// Another connection like that, for what reads streams.
    ///
    /// # Errors
    /// As [`Link::connect`].
    pub async fn connect_beside(&self, what: &str, tasks: &Tasks) -> Result<Link, Error> {
        let options = BusOptions {
            name: format!("{} ({what})", self.own.name),
            backlog: BACKLOG_OF_EVENTS,
            ..self.own.clone()
        };
        Link::connect(options, tasks).await
    }

    /// Stops serving, then the control plane.
    pub async fn stop(self) {
        self.served.drain(std::time::Duration::from_secs(1)).await;
        if !self.control.stop().await {
            tracing::warn!("the control plane did not end in time");
        }
    }
}

/// An existing broker: with our accounts, where it knows our keys; else with one for all.
async fn existing(
    site: &Site,
    given: Auth,
    tasks: &Tasks,
) -> Result<(Control, Option<Auth>), Error> {
    match start(site, None, tasks).await {
        Ok(control) => Ok((control, None)),
        Err(error) if error.kind() == Kind::AuthenticationFailed => {
            let control = start(site, Some(&given), tasks).await?;
            tracing::warn!(
                "the broker has no accounts for this mesh (`weft config nats` prints them): \
                 whoever may connect to it can read every call"
            );
            Ok((control, Some(given)))
        }
        Err(error) => Err(error),
    }
}

async fn start(site: &Site, one: Option<&Auth>, tasks: &Tasks) -> Result<Control, Error> {
    let options = ControlOptions {
        urls: site.urls.clone(),
        tls: site.tls.clone(),
        secrets: Arc::clone(&site.secrets),
        issuer: ISSUER.to_owned(),
        lifetimes: Lifetimes::default(),
        replicas: 1,
        accounts: one.map_or(Accounts::Mesh, |auth| Accounts::One(auth.clone())),
        declared: site.declared.clone(),
        sharing: site.sharing.clone(),
    };
    Control::start(options, tasks).await
}
