//! The role lists on a real broker: what each identity may do works, what it may not do is
//! refused, and a reply subject of an attacker's choice changes nothing in STORE.

use weftbus::{access::Role, name::CallId};

use crate::plane::{Peer, Plane, all, next};

/// The identities of the document, connected.
struct Cast {
    plane: Plane,
    alice: Peer,
    gh: Peer,
    jira: Peer,
    gateway: Peer,
    ops: Peer,
}

impl Cast {
    async fn gather() -> Self {
        let plane = Plane::start().await;
        let may = ["call:tools/gh/list_issues", "publish:events/alice/task.*"];
        Self {
            alice: plane.enter("alice", Role::Caller, &may).await,
            gh: plane.enter("gh", Role::Server, &["serve:tools/gh/*"]).await,
            jira: plane
                .enter("jira", Role::Server, &["serve:tools/jira/*"])
                .await,
            gateway: plane.enter("gateway", Role::Gateway, &[]).await,
            ops: plane
                .enter("ops", Role::Operator, &["admin:mesh/tokens"])
                .await,
            plane,
        }
    }

    /// Nobody was refused anything.
    fn is_content(&self) {
        for peer in [&self.alice, &self.gh, &self.jira, &self.gateway, &self.ops] {
            peer.is_content();
        }
    }
}

/// Where an answer to `who` by `server` goes.
fn reply(who: &str, server: &str) -> String {
    format!("weft.v1.rep.{who}.c1.{server}.{}", CallId::now())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_and_answers_pass() {
    let cast = Cast::gather().await;
    let mut calls = cast.gh.subscribe("weft.v1.req.*.gh.>", Some("weft")).await;
    let mut instance = cast.gh.subscribe("weft.v1.ins.*.gh.i1.>", None).await;
    for (who, name, subject) in [
        (
            &cast.alice,
            "alice",
            "weft.v1.req.alice.gh.tools.call.list_issues",
        ),
        (&cast.alice, "alice", "weft.v1.req.alice.gh.tools.list._"),
        (
            &cast.alice,
            "alice",
            "weft.v1.req.alice.gh.server.discover._",
        ),
        (
            &cast.alice,
            "alice",
            "weft.v1.ins.alice.gh.i1.tools.call.list_issues",
        ),
        (&cast.gateway, "gateway", "weft.v1.req.bob.gh.tools.call.x"),
    ] {
        let mut answers = who.subscribe(&format!("weft.v1.rep.{name}.>"), None).await;
        let to = reply(name, "gh");
        who.publish(subject, Some(&to), "{}").await;
        let heard = if subject.contains(".ins.") {
            &mut instance
        } else {
            &mut calls
        };
        let call = next(heard).await.expect(subject);
        assert_eq!(call.reply.as_deref(), Some(to.as_str()));
        cast.gh.publish(&to, None, "answer").await;
        assert_eq!(
            next(&mut answers).await.expect(subject).subject.as_str(),
            to
        );
    }
    // The control plane answers callers and servers through the import.
    for (who, name) in [
        (&cast.alice, "alice"),
        (&cast.jira, "jira"),
        (&cast.ops, "ops"),
    ] {
        let mut answers = who.subscribe(&format!("weft.v1.rep.{name}.>"), None).await;
        let body = r#"{"jsonrpc":"2.0","id":1,"method":"server/discover"}"#;
        let subject = format!("weft.v1.req.{name}.weft.server.discover._");
        who.publish(&subject, Some(&reply(name, "weft")), body)
            .await;
        let answer = next(&mut answers).await.expect(name);
        let text = String::from_utf8_lossy(&answer.payload).into_owned();
        assert!(text.contains("TOKEN_MISSING"), "{name} heard {text}");
    }
    cast.is_content();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deliveries_and_questions_pass() {
    let cast = Cast::gather().await;
    let mut info = cast.gh.subscribe("$SRV.INFO", None).await;
    // The control plane delivers, and nobody else does.
    let mut delivered = cast.jira.subscribe("weft.v1.dlv.jira.secret", None).await;
    cast.plane
        .keeper
        .publish("weft.v1.dlv.jira.secret", None, "snapshot")
        .await;
    assert!(next(&mut delivered).await.is_some());
    // An operator asks who is there.
    let mut there = cast.ops.subscribe("weft.v1.srv.>", None).await;
    cast.ops
        .publish("$SRV.INFO", Some("weft.v1.srv.q1"), "")
        .await;
    let asked = next(&mut info).await.expect("$SRV.INFO");
    cast.gh
        .publish(asked.reply.as_deref().expect("a reply"), None, "info")
        .await;
    assert!(next(&mut there).await.is_some());
    // The liveness probe: nobody answers, and that is said at once.
    let probe = cast.alice.ask("weft.v1.prb.alice", "").await;
    assert_eq!(probe.err().as_deref(), Some("NoResponders"));
    // A stream takes an event, and says so.
    let event = cast.alice.ask("weft.v1.evt.alice.task.created", "{}").await;
    let kept = event.expect("an acknowledgement").payload;
    assert!(
        kept.starts_with(br#"{"stream":"WEFT_TASKS","seq":1}"#),
        "{kept:?}"
    );
    cast.is_content();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_role_may_not_publish_is_refused_by_the_broker() {
    let cast = Cast::gather().await;
    for subject in [
        "weft.v1.req.bob.gh.tools.call.list_issues",
        "weft.v1.req.alice.gh.tools.call.delete_repo",
        "weft.v1.req.alice.jira.tools.call.list_issues",
        "weft.v1.ins.alice.gh.i1.tools.call.delete_repo",
        "weft.v1.req.bob.weft.tools.call.token_issue",
        "weft.v1.ctl.bob.gh.cancel",
        "weft.v1.evt.bob.task.created",
        "weft.v1.evt.alice.research.x",
        "weft.v1.wrk.bob.gh.list_issues",
        "weft.v1.hb.gh.i1",
        "weft.v1.rep.bob.c1.gh.1",
        "weft.v1.inb.bob.c1.x",
        "weft.v1.dlv.jira.secret",
        "weft.v1.prb.bob",
        "weft.v1.trc.bob",
        "weft.v1.ntf.gh.tools.list_changed",
        "$KV.WEFT_TASK.gh.t1",
        "$KV.WEFT_TOKENS.x",
        "weft.v1.js.CONSUMER.MSG.NEXT.WEFT_RESEARCH.bob_1",
        "weft.v1.js.CONSUMER.INFO.WEFT_RESEARCH.bob_1",
        "$JS.API.CONSUMER.INFO.WEFT_RESEARCH.alice_1",
        "$JS.API.CONSUMER.CREATE.KV_WEFT_TOKENS.x",
        "$JS.API.STREAM.MSG.GET.KV_WEFT_TOKENS",
        "$JS.ACK.WEFT_RESEARCH.bob_1.1.1.1.1.0",
        "weft.v1.js.DIRECT.GET.KV_WEFT_TASK.$KV.WEFT_TASK.gh.t1",
        "$SRV.INFO",
        "$SYS.REQ.USER.AUTH",
    ] {
        cast.alice.cannot_publish(subject).await;
    }
    for subject in [
        "weft.v1.rep.alice.c1.jira.1",
        "weft.v1.req.gh.jira.tools.call.x",
        "weft.v1.hb.jira.i1",
        "weft.v1.aud.jira.i1",
        "$KV.WEFT_TASK.jira.t1",
        "weft.v1.ntf.jira.tools",
        "$KV.WEFT_SERVERS.gh.i1",
    ] {
        cast.gh.cannot_publish(subject).await;
    }
    cast.gateway
        .cannot_publish("weft.v1.rep.alice.c1.gh.1")
        .await;
    cast.gateway.cannot_publish("$KV.WEFT_TASK.gh.t1").await;
    cast.ops
        .cannot_publish("weft.v1.req.ops.gh.tools.call.x")
        .await;
    cast.ops.cannot_publish("weft.v1.evt.ops.task.x").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_replay_delivers_to_himself_alone() {
    let plane = Plane::start().await;
    let may = ["replay:events/bob/task.*"];
    let alice = plane.enter("alice", Role::Caller, &may).await;
    let bob = plane
        .enter("bob", Role::Caller, &["subscribe:events/bob/*"])
        .await;
    let mut heard = alice.subscribe("weft.v1.dlv.alice.again", None).await;
    alice.publish("weft.v1.dlv.alice.again", None, "{}").await;
    assert!(next(&mut heard).await.is_some());
    alice.is_content();
    alice.cannot_publish("weft.v1.dlv.bob.again").await;
    bob.cannot_publish("weft.v1.dlv.bob.again").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_role_may_not_read_is_refused_by_the_broker() {
    let cast = Cast::gather().await;
    for (subject, queue) in [
        ("weft.v1.rep.>", None),
        ("weft.v1.rep.bob.>", None),
        ("weft.v1.inb.bob.>", None),
        ("weft.v1.req.>", None),
        ("weft.v1.req.*.gh.>", None),
        ("weft.v1.req.*.gh.>", Some("weft")),
        ("weft.v1.evt.>", None),
        ("weft.v1.dlv.jira.>", None),
        ("weft.v1.>", None),
        (">", None),
    ] {
        cast.alice.cannot_subscribe(subject, queue).await;
    }
    for (subject, queue) in [
        ("weft.v1.req.*.gh.>", None),
        ("weft.v1.req.*.gh.>", Some("mine")),
        ("weft.v1.req.*.jira.>", Some("weft")),
        ("weft.v1.req.*.weft.>", Some("weft")),
        ("weft.v1.rep.alice.>", None),
    ] {
        cast.gh.cannot_subscribe(subject, queue).await;
    }
    cast.gateway.cannot_subscribe("weft.v1.rep.>", None).await;
    cast.gateway.cannot_subscribe("weft.v1.req.>", None).await;
    cast.ops.cannot_subscribe("weft.v1.evt.>", None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reply_of_the_attackers_choice_changes_nothing() {
    let cast = Cast::gather().await;
    let mut told = cast.plane.keeper.subscribe(">", None).await;
    for target in [
        "$KV.WEFT_TOKENS.0198a5c0-0000-7000-8000-000000000000",
        "$KV.WEFT_SERVERS.gh.i1",
        "$KV.WEFT_TASK.jira.t1",
        "weft.v1.evt.bob.research.done",
        "weft.v1.wrk.bob.gh.list_issues",
        "weft.v1.aud.jira.i1",
        "weft.v1.hb.jira.i1",
        "weft.v1.req.ops.weft.tools.call.token_issue",
        "$JS.API.STREAM.PURGE.KV_WEFT_TOKENS",
        "$JS.API.STREAM.DELETE.KV_WEFT_TOKENS",
        "$SYS.REQ.USER.AUTH",
    ] {
        let before = cast.plane.holds().await;
        all(&mut told).await;
        // Everything of STORE that these two may publish to, and that answers.
        let call = r#"{"jsonrpc":"2.0","id":1,"method":"server/discover"}"#;
        for (who, deputy, body) in [
            (
                &cast.alice,
                "weft.v1.req.alice.weft.server.discover._",
                call,
            ),
            (&cast.alice, "weft.v1.req.alice.weft.x", "chosen"),
            (&cast.alice, "weft.v1.evt.alice.task.x", "chosen"),
            (&cast.gh, "weft.v1.hb.gh.i1", "chosen"),
            (&cast.gh, "weft.v1.aud.gh.i1", "chosen"),
            (&cast.gh, "$KV.WEFT_TASK.gh.t1", "chosen"),
            (&cast.gh, "weft.v1.js.CONSUMER.INFO.WEFT_WORK.gh", ""),
        ] {
            who.publish(deputy, Some(target), body).await;
        }
        let heard = all(&mut told).await;
        let calls = heard
            .iter()
            .filter(|m| m.subject.contains(".req.alice.weft."));
        assert!(calls.count() >= 2, "the attack was under way");
        let forged = heard.iter().find(|m| m.subject.as_str() == target);
        assert!(forged.is_none(), "{target} was reached in STORE");
        assert_eq!(cast.plane.holds().await, before, "{target}");
    }
}
