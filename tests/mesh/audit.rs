//! The audit trail through the whole product: what is decided stands in it, before anybody is told
//! of a refusal, without what was said; and where it can't be written, nothing is done.

use std::{path::PathBuf, time::Duration};

use async_nats::{ConnectOptions, jetstream};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use weftbus::{
    access::Role,
    app::up::Up,
    audit::{Decision, Flaw, Ledger, Page, Record, record::hash},
    control::{Issued, Secrets, Wish},
    error::{Error, Kind, case},
    event::From,
    mesh::Mesh,
};

use crate::{
    plane::{Peer, wish},
    stage::{PATIENCE, Stage, fixture, real, told},
};

/// The tools of two servers: `strict` writes each call down before it begins, `soon` does not.
struct Place {
    stage: Stage,
    up: Up,
    operator: Mesh,
}

impl Place {
    async fn open() -> Self {
        let (python, modern) = (real("python"), fixture("modern.py"));
        let soon = json!({"command": python, "args": [modern]});
        let strict = json!({"command": python, "args": [modern], "audit": "strict"});
        let stage = Stage::new(&format!("servers:\n  soon: {soon}\n  strict: {strict}\n"));
        let up = stage.up().await;
        let operator = stage.caller().await;
        Self {
            stage,
            up,
            operator,
        }
    }

    async fn issue(&self, wish: Wish) -> Issued {
        let control = self.up.plane().control();
        control.issue_local(wish).await.expect("a token")
    }

    /// A member who may call `soon`, but not with everything: what the broker can't see.
    async fn alice(&self) -> Mesh {
        let issued = self
            .issue(wish("alice", None, &["call:tools/soon/*"]))
            .await;
        let denial = json!({"who": "alice", "permission": "call:tools/soon/echo", "deny": true,
            "if": "arguments.text == 'forbidden'"});
        let denied = self.operator.control::<Value>("grant_add", denial).await;
        denied.expect("a grant");
        self.stage.join(&issued.token).await.expect("let in")
    }

    /// What an operator of the broker's own may do with the stream.
    async fn keeper(&self) -> jetstream::Context {
        let secrets = Secrets::load_or_create(&self.stage.path().join("data")).expect("secrets");
        let keeper = ConnectOptions::with_nkey(secrets.store_seed());
        let keeper = Peer::join(self.up.url(), "keeper", keeper).await;
        jetstream::new(keeper.expect("STORE").client)
    }

    /// The whole trail as it is now, and whether it is whole.
    async fn trail(&self) -> (Vec<(Page, Record)>, Ledger) {
        let mut trail = self.operator.audit(From::Start, true).await.expect("open");
        let mut ledger = Ledger::beginning(trail.opened().first);
        let mut all = Vec::new();
        while let Some(written) = trail.next().await.expect("readable") {
            let page = ledger.read(written.place, &written.subject, &written.body);
            let page = page.expect("a page");
            all.extend(page.records.iter().map(|one| (page.clone(), one.clone())));
        }
        (all, ledger)
    }

    /// What is written of somebody's calls, when so many of them are.
    async fn of(&self, who: &str, what: &str, count: usize) -> Vec<Record> {
        let end = Instant::now() + PATIENCE;
        loop {
            let (all, _) = self.trail().await;
            let records = all.into_iter().map(|(_, record)| record);
            let is_it = |one: &Record| one.who.as_deref() == Some(who) && one.what == what;
            let records: Vec<_> = records.filter(is_it).collect();
            if records.len() >= count {
                return records;
            }
            assert!(Instant::now() < end, "{records:#?}");
        }
    }

    /// How much room the stream has; what it had before.
    async fn room(&self, bytes: Option<i64>) -> i64 {
        let keeper = self.keeper().await;
        let mut stream = keeper.get_stream("WEFT_AUDIT").await.expect("there");
        let info = stream.info().await.expect("info").clone();
        let taken = i64::try_from(info.state.bytes).expect("a number");
        let mut config = info.config;
        let before = std::mem::replace(&mut config.max_bytes, bytes.unwrap_or(taken));
        keeper.update_stream(&config).await.expect("changed");
        before
    }

    async fn close(self) {
        self.operator.close().await;
        self.up.stop().await;
    }
}

async fn echo(by: &Mesh, text: &str) -> Result<(), Error> {
    let echoed = by.call_tool("soon", "echo", json!({"text": text})).await;
    echoed.map(|answer| assert_eq!(answer.text(), text))
}

fn unavailable(error: &Error) -> bool {
    error.is_case(case::AUDIT_UNAVAILABLE)
}

#[tokio::test(flavor = "multi_thread")]
async fn decisions_stand_in_the_trail_with_who_what_and_why_and_nothing_that_was_said() {
    let place = Place::open().await;
    let alice = place.alice().await;
    for text in ["hello", "hello", "another"] {
        echo(&alice, text).await.expect("an answer");
    }
    let ask = alice.tool("soon", "echo", json!({"text": "forbidden"}));
    let ask = ask.expect("a call").correlated("case-7").expect("an id");
    let refused = ask.send().await.expect_err("denied");
    assert_eq!(told(&refused), "ACCESS_DENIED ACCESS_DENIED No");
    // A refusal is there when it is told.
    let (all, ledger) = place.trail().await;
    let refusals = all
        .iter()
        .filter(|(_, one)| one.decision == Decision::Refused);
    let refusals: Vec<_> = refusals.collect();
    let [(page, refusal)] = refusals[..] else {
        panic!("{refusals:#?}")
    };
    assert_eq!(page.server, "soon");
    assert_eq!(refusal.what, "call:tools/soon/echo");
    assert_eq!(refusal.who.as_deref(), Some("alice"));
    assert_eq!(refusal.correlation_id.as_deref(), Some("case-7"));
    assert_eq!(refusal.case.as_deref(), Some("ACCESS_DENIED"));
    let why = refusal.why.as_deref().expect("a reason");
    assert!(why.contains("denied by the grant"), "{why}");
    assert!(ledger.chains().all(|(_, _, chain)| chain.flaws.is_empty()));

    let records = place.of("alice", "call:tools/soon/echo", 4).await;
    let allowed = records
        .iter()
        .filter(|one| one.decision == Decision::Allowed);
    let allowed: Vec<_> = allowed.collect();
    assert_eq!(allowed.len(), 3);
    assert!(
        allowed
            .iter()
            .all(|one| one.why.as_deref() == Some("token"))
    );
    let digests: Vec<_> = allowed.iter().map(|one| one.arguments.clone()).collect();
    assert!(digests[0].is_some() && digests[0] == digests[1] && digests[1] != digests[2]);
    let (all, _) = place.trail().await;
    let text = serde_json::to_string(&all.iter().map(|(_, one)| one).collect::<Vec<_>>());
    let text = text.expect("JSON");
    for said in ["hello", "another", "forbidden\\\""] {
        assert!(!text.contains(&format!("\"{said}")), "{said}");
    }
    alice.close().await;
    place.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_control_plane_does_is_written_before_and_by_its_names_behind() {
    let place = Place::open().await;
    let wanted = json!({"name": "bob", "permissions": ["call:tools/soon/*"]});
    let issued: Value = place
        .operator
        .control("token_issue", wanted)
        .await
        .expect("issued");
    let who = place.operator.identity().as_str();
    let records = place.of(who, "call:tools/weft/token_issue", 2).await;
    assert_eq!(
        records.iter().map(|one| one.decision).collect::<Vec<_>>(),
        [Decision::Allowed, Decision::Done]
    );
    assert_eq!(records[1].about["jti"], issued["about"]["jti"]);
    assert_eq!(records[1].about["name"], "bob");
    // Who reads the trail needs a permission of his own, and is in it.
    let bob = place
        .stage
        .join(issued["token"].as_str().expect("a token"))
        .await;
    let bob = bob.expect("let in");
    let refused = bob.audit(From::Start, true).await.expect_err("not he");
    assert_eq!(refused.kind(), Kind::AccessDenied);
    let auditor = place
        .issue(wish("auditor", None, &["read:mesh/audit"]))
        .await;
    let auditor = place.stage.join(&auditor.token).await.expect("let in");
    auditor.audit(From::Start, true).await.expect("the twin");
    for (who, decision) in [("bob", Decision::Refused), ("auditor", Decision::Allowed)] {
        let records = place.of(who, "call:tools/weft/audit_open", 1).await;
        assert_eq!(records[0].decision, decision, "{who}");
    }
    // Connections are decisions as well, and so is what the gateway refuses.
    let connected = place.of("auditor", "connect", 1).await;
    assert_eq!(connected[0].about["role"], "caller");
    let answer = reqwest::Client::new().post(place.up.gateway_url().expect("a gateway"));
    let answer = answer.body("{}").send().await.expect("an answer");
    assert_eq!(answer.status(), 401);
    let (all, _) = place.trail().await;
    let gateway = |(page, one): &&(Page, Record)| page.server == "gateway" && one.what == "mcp";
    let (_, refused) = all.iter().find(gateway).expect("written");
    assert_eq!(refused.case.as_deref(), Some("TOKEN_MISSING"));
    for mesh in [bob, auditor] {
        mesh.close().await;
    }
    place.close().await;
}

/// The stream takes nothing more, and then it does again.
#[tokio::test(flavor = "multi_thread")]
async fn what_can_not_be_written_is_not_done() {
    let place = Place::open().await;
    let alice = place.alice().await;
    echo(&alice, "hello").await.expect("an answer");
    let mark = |name: &str| place.stage.path().join(name);
    let strict = async |mark: &PathBuf, id: &str| {
        let arguments = json!({"seconds": 0.0, "mark": mark});
        let ask = place.operator.tool("strict", "slow", arguments);
        let ask = ask.expect("a call").correlated(id).expect("an id");
        ask.once().send().await.map(drop)
    };
    let before = place.room(None).await;
    // The first call waits for its record until that is given up.
    let unwritten = strict(&mark("one"), "strict-1").await;
    let error = unwritten.expect_err("it is not written");
    assert_eq!(told(&error), "SERVER_OVERLOADED AUDIT_UNAVAILABLE No");
    assert!(!mark("one").exists(), "the tool ran");
    // What is written while it goes on is refused as soon as it is known that it can't be.
    let end = Instant::now() + PATIENCE;
    let mut passed = 0;
    while let Ok(()) = echo(&alice, "meanwhile").await {
        passed += 1;
        assert!(Instant::now() < end, "{passed} calls passed");
        sleep(Duration::from_millis(20)).await;
    }
    let refusal = echo(&alice, "forbidden").await.expect_err("denied anyway");
    assert!(unavailable(&refusal), "{refusal:?}");
    let wanted = json!({"name": "carol", "permissions": ["call:tools/soon/*"]});
    let issued = place
        .operator
        .control::<Value>("token_issue", &wanted)
        .await;
    assert!(unavailable(&issued.expect_err("not issued")));

    place.room(Some(before)).await;
    loop {
        match echo(&alice, "again").await {
            Ok(()) => break,
            Err(error) => assert!(unavailable(&error) && Instant::now() < end, "{error:?}"),
        }
        sleep(Duration::from_millis(50)).await;
    }
    loop {
        match strict(&mark("two"), "strict-2").await {
            Ok(()) => break,
            Err(error) => assert!(unavailable(&error) && Instant::now() < end, "{error:?}"),
        }
        sleep(Duration::from_millis(50)).await;
    }
    assert!(mark("two").exists(), "the twin ran");
    let listed = json!({"name": "carol", "all": true});
    let carols: Value = loop {
        match place.operator.control("token_list", &listed).await {
            Ok(page) => break page,
            Err(error) => assert!(unavailable(&error) && Instant::now() < end, "{error:?}"),
        }
    };
    assert_eq!(carols["tokens"], json!([]), "nothing was issued");
    // Each call that was answered stands there, and the one that was not begun is taken back.
    let said = place.of("alice", "call:tools/soon/echo", passed + 2).await;
    let allowed = said.iter().filter(|one| one.decision == Decision::Allowed);
    assert!(allowed.count() >= passed + 2);
    let (all, ledger) = place.trail().await;
    let of_it = |(_, one): &&(Page, Record)| one.correlation_id.as_deref() == Some("strict-1");
    let of_it: Vec<_> = all
        .iter()
        .filter(of_it)
        .map(|(_, one)| one.decision)
        .collect();
    assert_eq!(of_it, [Decision::Allowed, Decision::Refused]);
    assert!(ledger.chains().all(|(_, _, chain)| chain.flaws.is_empty()));
    alice.close().await;
    place.close().await;
}

/// A member that writes what is no chain, and one that may write none.
#[tokio::test(flavor = "multi_thread")]
async fn a_gap_is_named_with_its_writer() {
    let place = Place::open().await;
    let verify = || async {
        let mut verify = place.stage.weft(&["audit", "verify"]);
        let out = tokio::task::block_in_place(|| verify.output());
        let out = out.expect("weft");
        let said = [out.stdout, out.stderr].concat();
        (
            out.status.code(),
            String::from_utf8_lossy(&said).into_owned(),
        )
    };
    let (code, said) = verify().await;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("the trail is whole"), "{said}");

    let page = |number: u64, previous: Option<String>| {
        json!({"server": "mallory", "instance": "i1", "number": number, "previous": previous,
            "records": []})
        .to_string()
    };
    let enter = async |name: &str, role: Role, permission: &str| {
        let issued = place.issue(wish(name, Some(role), &[permission])).await;
        let token = ConnectOptions::with_token(issued.token);
        Peer::join(place.up.url(), name, token)
            .await
            .expect("let in")
    };
    let eve = enter("eve", Role::Caller, "call:tools/soon/*").await;
    let unheard = eve.ask("weft.v1.aud.eve.i1", &page(1, None)).await;
    assert!(unheard.is_err(), "a caller decides nothing");
    let mallory = enter("mallory", Role::Server, "serve:tools/mallory/*").await;
    let first = page(1, None);
    for body in [&first, &page(3, Some(hash(first.as_bytes())))] {
        let kept = mallory
            .ask("weft.v1.aud.mallory.i1", body)
            .await
            .expect("kept");
        assert!(String::from_utf8_lossy(&kept.payload).contains("WEFT_AUDIT"));
    }
    let (code, said) = verify().await;
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("mallory/i1") && said.contains("message 2 is missing"),
        "{said}"
    );
    let (_, ledger) = place.trail().await;
    for (server, _, chain) in ledger.chains() {
        let flaws: &[Flaw] = match server {
            "mallory" => &[Flaw::Missing { from: 2, to: 2 }],
            _ => &[],
        };
        assert_eq!(chain.flaws, flaws, "{server}");
    }

    // Who ended in order has said so, and what he wrote is there when all is started again.
    let Place {
        stage,
        up,
        operator,
    } = place;
    operator.close().await;
    up.stop().await;
    let up = stage.up().await;
    let operator = stage.caller().await;
    let place = Place {
        stage,
        up,
        operator,
    };
    let (_, ledger) = place.trail().await;
    for server in ["soon", "strict", "weft"] {
        let of_it = ledger.chains().filter(|(name, _, _)| *name == server);
        let ended: Vec<_> = of_it.map(|(_, _, chain)| chain.ended).collect();
        assert_eq!(ended.iter().filter(|ended| **ended).count(), 1, "{server}");
    }
    place.close().await;
}
