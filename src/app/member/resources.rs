//! The resources of a server that change, as events of the server: what came within a second is
//! told as one event, and the list of resources apart from what is in it.

use std::{future::pending, sync::Arc, time::Duration};

use tokio::{
    sync::broadcast::{self, error::RecvError},
    time::{Instant, sleep_until},
};

use crate::{
    adapter::Touched,
    event::{Event, catalogue::system::ResourceUpdated},
    mesh::Mesh,
    name::ServerName,
    spawn::{Failure, Tasks},
};

/// What is gathered before it is told.
const TOGETHER: Duration = Duration::from_secs(1);
/// In the place of a URI: several, or all that the list names.
const SEVERAL: &str = "*";

/// What is gathered, and when it is told.
#[derive(Debug, Default)]
struct Gathered(Option<(Arc<str>, Instant)>);

impl Gathered {
    fn add(&mut self, uri: &Arc<str>, now: Instant) {
        match &mut self.0 {
            Some((known, _)) if known == uri => {}
            Some((known, _)) => *known = SEVERAL.into(),
            None => self.0 = Some((Arc::clone(uri), now + TOGETHER)),
        }
    }

    fn due(&self) -> Option<Instant> {
        self.0.as_ref().map(|(_, due)| *due)
    }

    fn take(&mut self, now: Instant) -> Option<Arc<str>> {
        let due = self.0.take_if(|(_, due)| *due <= now);
        due.map(|(uri, _)| uri)
    }
}

/// The resources, and the list of them.
#[derive(Debug, Default)]
struct Window {
    resources: Gathered,
    list: Gathered,
}

impl Window {
    fn add(&mut self, touched: &Touched, now: Instant) {
        let several = || SEVERAL.into();
        match touched {
            Touched::One(uri) => self.resources.add(uri, now),
            Touched::Some => self.resources.add(&several(), now),
            Touched::List => self.list.add(&several(), now),
        }
    }

    fn due(&self) -> Option<Instant> {
        let due = [self.resources.due(), self.list.due()];
        due.into_iter().flatten().min()
    }

    /// What is to be told now.
    fn take(&mut self, now: Instant) -> impl Iterator<Item = Arc<str>> + use<> {
        let (resources, list) = (self.resources.take(now), self.list.take(now));
        resources.into_iter().chain(list)
    }
}

/// Tells what is touched, until the end of `tasks`.
pub(super) fn tell(
    mesh: Mesh,
    server: ServerName,
    mut touched: broadcast::Receiver<Touched>,
    tasks: &Tasks,
) {
    let stop = tasks.stopping();
    tasks.spawn("resources", Failure::Logged, async move {
        let mut window = Window::default();
        loop {
            let due = window.due();
            let tick = async {
                match due {
                    Some(due) => sleep_until(due).await,
                    None => pending().await,
                }
            };
            let heard = tokio::select! {
                () = stop.cancelled() => return,
                heard = touched.recv() => Some(heard),
                () = tick => None,
            };
            let now = Instant::now();
            match heard {
                Some(Ok(touched)) => window.add(&touched, now),
                // Nobody knows any more what it was: everything.
                Some(Err(RecvError::Lagged(_))) => {
                    window.add(&Touched::Some, now);
                    window.add(&Touched::List, now);
                }
                Some(Err(RecvError::Closed)) => return,
                None => {
                    for uri in window.take(now) {
                        let telling = publish(&mesh, &server, &uri);
                        stop.run_until_cancelled(telling).await;
                    }
                }
            }
        }
    });
}

/// What comes meanwhile is gathered.
async fn publish(mesh: &Mesh, server: &ServerName, uri: &str) {
    let data = ResourceUpdated {
        resource_id: uri.to_owned(),
        owner: server.to_string(),
    };
    let published = async { mesh.events().publish(Event::of(&data)?).await };
    if let Err(error) = published.await {
        tracing::warn!(%server, %error, "it was not told that a resource changed");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_second_is_one_event_a_kind() {
        let (mut window, begin) = (Window::default(), Instant::now());
        let one = |uri: &str| Touched::One(uri.into());
        let told = |window: &mut Window, after: u64| {
            let uris = window.take(begin + Duration::from_millis(after));
            uris.map(|uri| uri.to_string()).collect::<Vec<_>>()
        };
        for _ in 0..100 {
            window.add(&one("a:1"), begin);
        }
        assert_eq!(window.due(), Some(begin + TOGETHER));
        assert!(told(&mut window, 999).is_empty());
        assert_eq!(told(&mut window, 1000), ["a:1"]);
        assert_eq!(window.due(), None);
        window.add(&one("a:1"), begin + TOGETHER);
        window.add(&one("a:2"), begin + TOGETHER);
        window.add(&one("a:1"), begin + TOGETHER);
        window.add(&Touched::List, begin + TOGETHER);
        assert_eq!(told(&mut window, 2000), ["*", "*"], "several, and the list");
        window.add(&Touched::Some, begin);
        assert_eq!(told(&mut window, 1000), ["*"]);
    }
}
