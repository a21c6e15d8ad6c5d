//! A member for each caller: state is kept for him and seen by nobody else.

use super::*;

fn pinned(max: usize) -> Options {
    Options {
        max,
        pin: weftbus::adapter::pool::Pin::Caller,
        ..options()
    }
}

impl Stand {
    async fn call(&self, who: &str, name: &str, arguments: Value) -> Result<Reply, Error> {
        let call = call_as(&self.pool, Some(who), &tool(name, arguments), PATIENCE);
        self.run(call).answer().await
    }

    async fn set(&self, who: &str, text: &str) -> u32 {
        let reply = self.call(who, "set", json!({"text": text})).await;
        state(&reply.expect("an answer")).0
    }

    async fn get(&self, who: &str) -> (u32, Option<String>) {
        let reply = self.call(who, "get", json!({})).await;
        state(&reply.expect("an answer"))
    }
}

#[tokio::test]
async fn callers_keep_their_state_and_never_see_anothers() {
    let stand = Stand::up(pinned(4)).await;
    let who = ["alice", "bob", "alice by agent", "alice by agent by other"];
    let mut used = BTreeSet::new();
    for who in who {
        let (pid, text) = stand.get(who).await;
        assert_eq!(text, None, "{who} begins with nothing");
        assert!(used.insert(pid), "{who} has a process of his own");
        assert_eq!(stand.set(who, who).await, pid);
    }
    // Many at once, and beside each other.
    let asked = (0..40).map(|n| {
        let who = who[n % who.len()];
        let call = call_as(&stand.pool, Some(who), &tool("get", json!({})), PATIENCE);
        (who, stand.run(call))
    });
    for (who, asked) in asked.collect::<Vec<_>>() {
        let reply = asked.answer().await.expect("an answer");
        assert_eq!(state(&reply).1.as_deref(), Some(who));
    }
    assert_eq!(stand.pool.gauges().members, 4);
    stand.stop().await;
}

#[tokio::test]
async fn a_call_that_nobody_vouches_for_has_no_process() {
    let stand = Stand::up(pinned(2)).await;
    let request = tool("get", json!({}));
    let error = refused(call_as(&stand.pool, None, &request, PATIENCE));
    assert_eq!(told(&error), "AUTHENTICATION_FAILED TOKEN_MISSING No");
    stand.get("alice").await;
    stand.stop().await;
}

#[tokio::test]
async fn one_caller_more_than_members_waits_until_one_is_idle() {
    let idle = Duration::from_secs(1);
    // As long as it takes, and not so long.
    for wait in [PATIENCE, Duration::from_millis(100)] {
        let stand = Stand::up(Options {
            idle,
            wait,
            ..pinned(1)
        })
        .await;
        let pid = stand.set("alice", "hers").await;
        match stand.call("bob", "get", json!({})).await {
            Ok(reply) => {
                assert_eq!(wait, PATIENCE);
                let (bobs, text) = state(&reply);
                assert_eq!(text, None);
                assert!(bobs != pid && !lives(pid), "hers was ended first");
                assert_eq!(stand.status().restarts, 0, "nothing failed");
            }
            Err(error) => {
                assert_ne!(wait, PATIENCE, "{error}");
                assert_eq!(told(&error), "SERVER_OVERLOADED SERVER_OVERLOADED No");
                assert!(
                    error.message().contains("1 callers at most"),
                    "{}",
                    error.message()
                );
                assert_eq!(stand.get("alice").await, (pid, Some("hers".into())));
            }
        }
        stand.stop().await;
    }
}

#[tokio::test]
async fn a_caller_who_was_away_begins_anew_and_the_pool_stays_up() {
    let stand = Stand::up(Options {
        idle: Duration::from_millis(300),
        ..pinned(2)
    })
    .await;
    let mut status = stand.pool.status();
    let pid = stand.set("alice", "hers").await;
    until(PATIENCE, "it was closed", || !lives(pid)).await;
    let (again, text) = stand.get("alice").await;
    assert!(again != pid && text.is_none());
    let up = status.wait_for(|status| !status.is_up());
    let down = timeout(Duration::from_millis(700), up).await;
    assert!(down.is_err(), "calls wait meanwhile: {:?}", stand.status());
    stand.stop().await;
}

#[tokio::test]
async fn a_callers_process_that_ends_is_nobodys_afterwards() {
    let stand = Stand::up(pinned(2)).await;
    let alices = stand.set("alice", "hers").await;
    let bobs = stand.set("bob", "his").await;
    let error = stand.call("alice", "exit", json!({})).await;
    let error = error.expect_err("it ended");
    assert_eq!(told(&error), "TOOL_EXECUTION_ERROR SERVER_EXITED Yes");
    assert_eq!(stand.get("bob").await, (bobs, Some("his".into())));
    let (again, text) = stand.get("alice").await;
    assert!(again != alices && again != bobs);
    assert_eq!(text, None);
    let status = stand.when("it counts", |status| status.restarts == 1).await;
    assert!(status.is_up());
    stand.stop().await;
}
