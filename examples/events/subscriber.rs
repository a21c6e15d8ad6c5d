//! Handles events, each until it is done. All programs of one identity that say the same name share
//! its events, and go on where they were.

use std::{
    io::{Write as _, stdout},
    time::Duration,
};

use serde::Deserialize;
use tokio::{
    signal::{
        ctrl_c,
        unix::{SignalKind, signal},
    },
    task::JoinSet,
    time::{sleep, timeout},
};
use weftbus::{
    event::{Event, From, Handing},
    mesh::{Delivery, Mesh},
};

use crate::{Outcome, tell};

/// What handlers have at the end.
const STOP_MAX: Duration = Duration::from_secs(4);

/// What else there is to say of a durable.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Options {
    from: From,
    handing: Handing,
}

/// What is to be done.
#[derive(Deserialize)]
struct Work {
    #[serde(default)]
    seconds: f64,
    trouble: Option<String>,
}

/// The work: a stand-in. An event may come again, even one that is done: do it so that twice is
/// once.
async fn handle(event: &Event, attempt: u32) -> Outcome {
    tell(&format!("{}, try {attempt}", event.id));
    let work: Work = event.data()?;
    sleep(Duration::try_from_secs_f64(work.seconds)?).await;
    if let Some(trouble) = work.trouble {
        return Err(trouble.into());
    }
    writeln!(stdout(), "{}", event.id)?;
    Ok(())
}

/// One event, until the broker has heard what became of it.
async fn settle(delivery: Delivery) {
    let handled = handle(&delivery.event, delivery.place.attempt).await;
    // No error lives over an await: the task may move to another thread.
    let trouble = handled.err().map(|error| error.to_string());
    let answered = match trouble {
        None => delivery.ack().await,
        // After the wait of the durable; a dead letter where it was the last try.
        Some(why) => delivery.retry(why).await,
    };
    if let Err(error) = answered {
        tell(&format!("not answered, so it comes again: {error}"));
    }
}

/// Until Ctrl-C or SIGTERM. `Subscription::each` is shorter, where there is no end to take care of.
pub(crate) async fn run(mesh: Mesh, types: &str, name: &str, options: &str) -> Outcome {
    let Options { from, handing } = serde_json::from_str(options)?;
    let waits = handing.backoff_ms.iter().copied();
    let waits: Vec<_> = waits.map(Duration::from_millis).collect();
    let subscribe = mesh.events().subscribe(types).durable(name).from(from);
    let subscribe = subscribe.tries(handing.tries).backoff(&waits);
    let subscribe = subscribe.wait(handing.wait()).in_flight(handing.in_flight);
    let mut events = subscribe.start().await?;
    tell(&format!("{} subscribes", events.consumer()));

    let mut terminated = signal(SignalKind::terminate())?;
    let mut work = JoinSet::new();
    loop {
        tokio::select! {
            // No more at a time than the subscription hands out.
            delivery = events.next() => drop(work.spawn(settle(delivery?))),
            Some(_) = work.join_next() => {}
            _ = ctrl_c() => break,
            _ = terminated.recv() => break,
        }
    }
    let all_done = async { while work.join_next().await.is_some() {} };
    if timeout(STOP_MAX, all_done).await.is_err() {
        // What is dropped says that it may come again.
        work.shutdown().await;
    }
    events.stop().await;
    mesh.close().await;
    Ok(())
}
