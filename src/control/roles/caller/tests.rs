//! What permissions become, line by line.

use std::collections::BTreeSet;

use super::*;

fn lines(permissions: &[String]) -> Lists {
    let mut lists = Lists::default();
    let permissions = Permissions::parse(permissions).expect("permissions");
    add(&mut lists, "al", &permissions);
    lists
}

fn publish(permission: &str) -> BTreeSet<String> {
    lines(&[permission.to_owned()]).publish
}

#[test]
fn patterns_become_wildcards_in_their_place() {
    for (permission, line) in [
        ("call:tools/gh/a.b", "weft.v1.req.al.gh.tools.call.a=2Eb"),
        ("call:tools/gh/li*", "weft.v1.req.al.gh.tools.call.*"),
        ("call:tools/gh/*", "weft.v1.req.al.gh.tools.call.*"),
        ("call:tools/gh*", "weft.v1.req.al.*.tools.call.*"),
        ("call:tools/*", "weft.v1.req.al.*.tools.call.*"),
        ("call:*", "weft.v1.req.al.*.tools.call.*"),
        ("call:*", "weft.v1.req.al.*.prompts.get.*"),
        ("ca*:tools/gh/x", "weft.v1.wrk.al.gh.x"),
        ("list:tools/gh/x", "weft.v1.req.al.gh.tools.list._"),
        ("read:prompts/gh/x y", "weft.v1.req.al.gh.prompts.get.x=20y"),
        (
            "read:resources/gh/f:/x",
            "weft.v1.ins.al.gh.*.resources.read.*",
        ),
        (
            "subscribe:resources/gh/f:/x",
            "weft.v1.req.al.gh.resources.subscribe.*",
        ),
        (
            "call:resources/gh/f:/x",
            "weft.v1.req.al.gh.resources.list._",
        ),
        (
            "publish:events/al/task.created",
            "weft.v1.evt.al.task.created",
        ),
        ("publish:events/al/task.c*", "weft.v1.evt.al.task.>"),
        ("publish:events/al/ta*", "weft.v1.evt.al.>"),
        ("publish:events/a*", "weft.v1.evt.al.>"),
        ("publish:events/*", "weft.v1.evt.al.>"),
        ("replay:events/bob/task.created", "weft.v1.dlv.al.>"),
        ("replay:events/*", "weft.v1.dlv.al.>"),
        ("*", "weft.v1.dlv.al.>"),
        ("*:tools/gh/x", "weft.v1.req.al.gh.tools.call.x"),
        ("*", "weft.v1.req.al.>"),
    ] {
        let lines = publish(permission);
        assert!(lines.contains(line), "{permission}: {lines:?}");
    }
}

#[test]
fn what_a_permission_does_not_mean_gives_no_line() {
    for permission in [
        "call:tools/GH/x",
        "call:tools/gh",
        "publish:events/bob/task.created",
        "publish:events/bob*",
        "publish:events/al/a>b.*",
        "subscribe:events/al/task.created",
        "replay:mesh/dlq",
        "serve:tools/gh/*",
        "admin:mesh/tokens",
    ] {
        assert_eq!(publish(permission), BTreeSet::new(), "{permission}");
    }
    let listing = publish("list:tools/gh/x");
    assert!(!listing.iter().any(|line| line.contains("tools.call")));
}

#[test]
fn too_many_lines_become_wildcards_and_it_is_said() {
    let tools = |servers: u32, tools: u32| {
        let each = move |s: u32| (0..tools).map(move |t| format!("call:tools/s{s}/t{t}"));
        lines(&(0..servers).flat_map(each).collect::<Vec<_>>())
    };
    let few = tools(1, 10);
    assert!(!few.widened && few.publish.contains("weft.v1.req.al.s0.tools.call.t9"));
    let many = tools(2, 400);
    assert!(many.widened && many.len() <= LINES_MAX);
    assert!(many.publish.contains("weft.v1.req.al.s1.tools.call.*"));
    assert!(!many.publish.contains("weft.v1.req.al.*.tools.call.*"));
    let most = tools(400, 2);
    assert!(most.widened && most.len() <= LINES_MAX);
    assert!(most.publish.contains("weft.v1.req.al.*.tools.call.*"));
}
