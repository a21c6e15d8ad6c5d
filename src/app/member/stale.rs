//! Answers that are kept of a server, and that are old: forgotten at once.

use tokio::sync::broadcast::{self, error::RecvError};

use crate::{
    adapter::Touched,
    policy::cache::{Cache, Lists},
    spawn::{Failure, Tasks},
};

/// Forgets the list that a change is about, `tools/list_changed`; one of another kind may be about
/// anything.
pub(super) fn forget(cache: &Cache, change: &str) {
    match Lists::of_change(change) {
        Some(lists) => cache.forget_lists(lists),
        None => cache.forget_all(),
    }
}

/// Forgets resources that are touched, until the end of `tasks`. Not where that is told as events:
/// telling takes its time.
pub(super) fn follow(cache: Cache, mut touched: broadcast::Receiver<Touched>, tasks: &Tasks) {
    let stop = tasks.stopping();
    tasks.spawn("kept answers", Failure::Logged, async move {
        while let Some(heard) = stop.run_until_cancelled(touched.recv()).await {
            match heard {
                Ok(Touched::One(uri)) => cache.forget_resource(&uri),
                Ok(Touched::Some) => cache.forget_resources(),
                // Nobody knows any more what it was: everything.
                Ok(Touched::List) | Err(RecvError::Lagged(_)) => {
                    cache.forget_lists(Lists::Resources);
                }
                Err(RecvError::Closed) => return,
            }
        }
    });
}
