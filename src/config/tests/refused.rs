//! Files that are refused, and the words in which they are.

use insta::assert_snapshot;
use proptest::prelude::*;

use crate::config::{tests::*, *};

#[test]
fn every_unknown_key_is_told_at_once() {
    assert_snapshot!(refusal(concat!(
        "serverz: {}\n",
        "servers:\n",
        "  docs:\n",
        "    comand: uvx\n",
        "    args: [a]\n",
        "  time: { command: x, colour: red }\n",
        "nats:\n",
        "  tls: { cert: a, kee: b }\n",
        "policy: { timout: 30s }\n",
        "limits: { infligth: 3, line: , empty: }\n",
    )), @r"
    weft.yaml:1:1: unknown key `serverz`
      |
    1 | serverz: {}
      | ^^^^^^^
      = did you mean `servers`?

    weft.yaml:4:5: unknown key `comand` in `servers.docs`
      |
    4 |     comand: uvx
      |     ^^^^^^
      = did you mean `command`?

    weft.yaml:6:23: unknown key `colour` in `servers.time`
      |
    6 |   time: { command: x, colour: red }
      |                       ^^^^^^
      = known here: command, args, env, cwd, url, headers, timeout, idempotent, retry, breaker, pool, batch, cache, validate, audit, changedTools, events, limits, enabled

    weft.yaml:8:19: unknown key `kee` in `nats.tls`
      |
    8 |   tls: { cert: a, kee: b }
      |                   ^^^
      = did you mean `key`?

    weft.yaml:9:11: unknown key `timout` in `policy`
      |
    9 | policy: { timout: 30s }
      |           ^^^^^^
      = did you mean `timeout`?

    weft.yaml:10:11: unknown key `infligth` in `limits`
       |
    10 | limits: { infligth: 3, line: , empty: }
       |           ^^^^^^^^
       = did you mean `inFlight`?

    weft.yaml:10:32: unknown key `empty` in `limits`
       |
    10 | limits: { infligth: 3, line: , empty: }
       |                                ^^^^^
       = known here: line, result, inFlight, queue, waiting, requestBody, requestBodies, depth, keys, perCaller, perTool
    ");
}

#[test]
fn wrong_types_are_told_without_their_values() {
    assert_snapshot!(refusal(concat!(
        "servers:\n",
        "  a: { command: [x], env: { K: [s3cret] } }\n",
        "  b: { command: x, args: s3cret, enabled: maybe }\n",
        "  c:\n",
        "nats: { password: s3cret, token: { emv: X }, nkey: { fiel: seed } }\n",
        "limits: { inFlight: many, line: {} }\n",
    )), @r"
    weft.yaml:2:17: `servers.a.command`: text was expected here, not a list
      |
    2 |   a: { command: [x], env: { K: [******] } }
      |                 ^

    weft.yaml:2:32: `servers.a.env.K`: text, {env: NAME} or {file: PATH} was expected here, not a list
      |
    2 |   a: { command: [x], env: { K: [******] } }
      |                                ^

    weft.yaml:3:26: `servers.b.args`: a list was expected here, not text
      |
    3 |   b: { command: x, args: ******, enabled: maybe }
      |                          ^^^^^^

    weft.yaml:3:43: `servers.b.enabled`: `true` or `false` was expected here, not text
      |
    3 |   b: { command: x, args: ******, enabled: maybe }
      |                                           ^^^^^

    weft.yaml:4:4: `servers.c`: a mapping was expected here, not nothing
      |
    4 |   c:
      |    ^

    weft.yaml:5:19: `nats.password`: a secret is not written into this file: write {env: NAME} or {file: PATH}
      |
    5 | nats: { password: ******, token: { emv: * }, nkey: { fiel: seed } }
      |                   ^^^^^^

    weft.yaml:5:36: unknown key `emv` in `nats.token`
      |
    5 | nats: { password: ******, token: { emv: * }, nkey: { fiel: seed } }
      |                                    ^^^
      = did you mean `env`?

    weft.yaml:5:54: unknown key `fiel` in `nats.nkey`
      |
    5 | nats: { password: ******, token: { emv: * }, nkey: { fiel: seed } }
      |                                                      ^^^^
      = did you mean `file`?

    weft.yaml:6:21: `limits.inFlight`: a whole number was expected here, not text
      |
    6 | limits: { inFlight: many, line: {} }
      |                     ^^^^

    weft.yaml:6:33: `limits.line`: a size, as in 4096, 64KiB or 4MiB, was expected here, not a mapping
      |
    6 | limits: { inFlight: many, line: {} }
      |                                 ^
    ");
    assert_snapshot!(refusal("[1, 2]"), @r"
    weft.yaml:1:1: a mapping was expected here, not a list
      |
    1 | [1, 2]
      | ^
    ");
    assert_snapshot!(refusal("servers: [a]"), @r"
    weft.yaml:1:10: `servers`: a mapping was expected here, not a list
      |
    1 | servers: [a]
      |          ^
    ");
}

#[test]
fn what_is_written_twice_is_told_with_both_lines() {
    assert_snapshot!(refusal("servers:\n  a: { command: x }\n  b: { command: x }\n  a: { command: y }\n"), @r"
    weft.yaml:4:3: `a` is written twice
      |
    4 |   a: { command: y }
      |   ^
      = it stands first at weft.yaml:2:3
    ");
}

#[test]
fn values_out_of_form_or_bounds_are_told() {
    assert_snapshot!(refusal(concat!(
        "servers: { a: { command: x, timeout: 30 parsecs, validate: servr }, b: { command: x, timeout: 1ms } }\n",
        "policy: { timeout: 30 }\n",
        "limits: { line: 1KiB, result: 4MB, inFlight: 0 }\n",
    )), @r"
    weft.yaml:1:38: `servers.a.timeout`: `30 parsecs` is not a duration: write a whole number with a unit, as in 500ms, 30s, 5m or 1h
      |
    1 | …ers: { a: { command: x, timeout: 30 parsecs, validate: servr }, b: { command: x, timeout: 1ms } }
      |                                   ^^^^^^^^^^

    weft.yaml:1:60: `servers.a.validate`: `servr` is not one of server, adapter
      |
    1 | …, timeout: 30 parsecs, validate: servr }, b: { command: x, timeout: 1ms } }
      |                                   ^^^^^
      = did you mean `server`?

    weft.yaml:1:86: `servers.b.timeout`: 1ms is not between 10ms and 1d
      |
    1 | …idate: servr }, b: { command: x, timeout: 1ms } }
      |                                   ^^^^^^^

    weft.yaml:2:20: `policy.timeout`: `30` is not a duration: write a whole number with a unit, as in 500ms, 30s, 5m or 1h
      |
    2 | policy: { timeout: 30 }
      |                    ^^

    weft.yaml:3:17: `limits.line`: 1KiB is not between 64KiB and 1GiB
      |
    3 | limits: { line: 1KiB, result: 4MB, inFlight: 0 }
      |                 ^^^^

    weft.yaml:3:31: `limits.result`: `4MB` is not a size: write a whole number of bytes, or one with a unit, as in 64KiB or 4MiB
      |
    3 | limits: { line: 1KiB, result: 4MB, inFlight: 0 }
      |                               ^^^

    weft.yaml:3:46: `limits.inFlight`: 0 is not between 1 and 65536
      |
    3 | limits: { line: 1KiB, result: 4MB, inFlight: 0 }
      |                                              ^
    ");
}

#[test]
fn names_that_do_not_fit_are_told() {
    assert_snapshot!(refusal("servers:\n  weft: { command: x }\n  My Server: { command: x }\n"), @r"
    weft.yaml:2:3: the name `weft` is reserved for the mesh itself
      |
    2 |   weft: { command: x }
      |   ^^^^
      = `weft-server` would do

    weft.yaml:3:3: `My Server` is not a server name: write 1 to 63 of a-z, 0-9 and -
      |
    3 |   My Server: { command: x }
      |   ^^^^^^^^^
      = `my-server` would do
    ");
}

#[test]
fn what_is_not_in_this_version_is_told_so() {
    assert_snapshot!(refusal("servers:\n  a: { command: x, replicas: 2 }\npipelines: [ a.yaml ]\n"), @r"
    weft.yaml:2:20: `replicas` in `servers.a` is not in this version
      |
    2 |   a: { command: x, replicas: 2 }
      |                    ^^^^^^^^
      = it is for several processes of one server: take it out until a version does that

    weft.yaml:3:1: `pipelines` is not in this version
      |
    3 | pipelines: [ a.yaml ]
      | ^^^^^^^^^
      = it is for pipelines: take it out until a version does that
    ");
}

#[test]
fn a_domain_that_is_none_is_shown() {
    assert_snapshot!(refusal("events: { domains: [order, Invoice] }\n"), @r"
    weft.yaml:1:28: `events.domains`: `Invoice` is no domain: 1 to 32 of a-z, 0-9 and -, a letter first
      |
    1 | events: { domains: [order, Invoice] }
      |                            ^^^^^^^
    ");
    let told = refusal("events: { domains: [order], types: { order: {} } }\n");
    assert!(told.contains("`order` is no type"), "{told}");
    let told = refusal("events: { domain: [order] }\n");
    assert!(told.contains("`domains`"), "{told}");
}

#[test]
fn what_belongs_to_a_command_is_not_for_a_url() {
    assert_snapshot!(refusal(concat!(
        "servers:\n",
        "  a: { url: http://x, args: [y], cwd: z }\n",
        "  b: { url: http://x, headers: { Host: y } }\n",
        "  c: { url: http://x, headers: { Mcp-Session-Id: { env: Y }, X-Mcp: y } }\n",
    )), @r"
    weft.yaml:2:23: `servers.a.args` belongs to a `command`
      |
    2 |   a: { url: http://x, args: [*], cwd: z }
      |                       ^^^^

    weft.yaml:2:34: `servers.a.cwd` belongs to a `command`
      |
    2 |   a: { url: http://x, args: [*], cwd: z }
      |                                  ^^^

    weft.yaml:3:40: `servers.b.headers`: the header `Host` is written by Weft itself: leave it out
      |
    3 |   b: { url: http://x, headers: { Host: * } }
      |                                        ^

    weft.yaml:4:50: `servers.c.headers`: the header `Mcp-Session-Id` is written by Weft itself: leave it out
      |
    4 |   c: { url: http://x, headers: { Mcp-Session-Id: { env: * }, X-Mcp: * } }
      |                                                  ^
    ");
}

#[test]
fn what_does_not_go_together_is_told() {
    assert_snapshot!(refusal(concat!(
        "servers: { a: { command: x, url: http://x }, b: { args: [x] }, c: { command: ' ' } }\n",
        "nats: { url: http://x, server: y, user: me, tls: { cert: c } }\n",
    )), @r"
    weft.yaml:1:29: `servers.a` has both `command` and `url`
      |
    1 | servers: { a: { command: x, url: http://x }, b: { args: [*] }, c: { command: ' ' } }
      |                             ^^^

    weft.yaml:1:49: `servers.b` needs a `command` to run, or a `url`
      |
    1 | servers: { a: { command: x, url: http://x }, b: { args: [*] }, c: { command: ' ' } }
      |                                                 ^

    weft.yaml:1:69: `servers.c.command` is empty
      |
    1 | servers: { a: { command: x, url: http://x }, b: { args: [*] }, c: { command: ' ' } }
      |                                                                     ^^^^^^^

    weft.yaml:2:9: `nats.url`: `http://` is no scheme of NATS: write nats, tls, ws or wss
      |
    2 | nats: { url: http://x, server: y, user: me, tls: { cert: c } }
      |         ^^^

    weft.yaml:2:24: `nats.server`: one to start and one that is there exclude each other
      |
    2 | nats: { url: http://x, server: y, user: me, tls: { cert: c } }
      |                        ^^^^^^

    weft.yaml:2:35: `nats.user`: `user` and `password` go together
      |
    2 | nats: { url: http://x, server: y, user: me, tls: { cert: c } }
      |                                   ^^^^

    weft.yaml:2:45: `nats.tls`: `cert` and `key` go together
      |
    2 | nats: { url: http://x, server: y, user: me, tls: { cert: c } }
      |                                             ^^^
    ");
}

#[test]
fn a_file_that_is_not_readable_shows_no_secret() {
    assert_snapshot!(refusal("nats:\n  password: \"s3cret\n"), @r#"
    weft.yaml:2:13: not readable: unclosed quote
      |
    2 |   password: "******
      |             ^
    "#);
    let mut files = Files::new(&[]);
    files.sources.file = Some(files.path("absent.yaml"));
    assert_snapshot!(files.refusal(), @r"
    the file absent.yaml does not exist
    ");
    let deep = format!("servers: {}{}", "[".repeat(40), "]".repeat(40));
    assert!(refusal(&deep).contains("not readable"));
    assert!(refusal(&"#".repeat(1024 * 1024 + 1)).contains("has more than 1048576 bytes"));
}

#[test]
fn at_most_twenty_problems_are_told() {
    let keys: String = (0..30).map(|n| format!("key{n}: 1\n")).collect();
    let text = refusal(&keys);
    assert_eq!(text.matches("unknown key").count(), Problems::MAX);
    assert!(text.ends_with("there may be others."), "{text}");
}

#[test]
fn a_name_in_two_lists_is_told_with_both_lines() {
    let both = r#"{ "mcpServers": { "docs": { "command": "x" } } }"#;
    let files = Files::new(&[
        (FILE, "servers:\n  docs: { command: x }\n"),
        ("mcp.json", both),
    ]);
    assert_snapshot!(files.refusal(), @r#"
    mcp.json:1:19: the server `docs` is in two lists
      |
    1 | { "mcpServers": { "docs": { "command": "x" } } }
      |                   ^^^^^^
      = it stands first at weft.yaml:2:3
      = take one out, or give it another name
    "#);
    let text = "servers: { docs: { command: x } }\nmcpServers: { Docs: { command: y }, b: { command: z } }\n";
    let files = Files::new(&[
        (FILE, text),
        ("a.mcp.json", both.replace("docs", "b").as_str()),
    ]);
    assert_snapshot!(files.members(), @r#"
    b "z" []
    b-2 "x" []
    docs "x" []
    docs-2 "y" []
    "#);
}

#[test]
fn aliases_cannot_blow_a_file_up() {
    let long = "x".repeat(100_000);
    let wide = format!(
        "servers: {{ a: {{ command: &a {long}, args: [{}] }} }}",
        "*a,".repeat(900)
    );
    assert!(refusal(&wide).contains("not readable"));
    let level = |n: u32| format!("l{n}: &l{n} [{}]\n", format!("*l{},", n - 1).repeat(10));
    let laughs: String = (1..8).map(level).collect();
    assert!(refusal(&format!("l0: &l0 [ha]\n{laughs}")).contains("not readable"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_is_written_is_answered(text in "(servers|nats|env|a|é|[ \n\t{}:,&*'\"#$@|>%\\[\\]-]){0,40}") {
        let files = Files::new(&[(FILE, &text), ("mcp.json", &text)]);
        if let Err(problems) = load(&files.sources) {
            prop_assert!(!problems.to_string().is_empty());
        }
    }
}
