//! Files that are taken, and what becomes of what they say.

use insta::assert_snapshot;

use crate::{
    adapter::streamable::{Endpoint, Headers},
    config::{tests::*, *},
};

#[test]
fn a_server_is_ready_to_start() {
    let files = Files::new(&[
        (FILE, concat!(
            "servers:\n",
            "  a: &a\n",
            "    command: ./bin/a\n",
            "    args: [-p, 8080, 1.10, '${WORD}', '${NONE:-x: y}', '$${WORD}', true]\n",
            "    env: { PORT: 0755, KEY: { env: KEY }, PEM: { file: keys/pem }, W: '${WORD}' }\n",
            "    cwd: ~/notes\n",
            "    timeout: 5s\n",
            "    validate: adapter\n",
            "  b: { command: uvx, enabled: false }\n",
            "  c: { <<: *a, command: '${WORD}', env: , cwd: sub }\n",
        )),
        ("keys/pem", "PEM\n"),
    ])
    .env(&[("WORD", "{a: b}, *x"), ("KEY", "s3cret"), ("HOME", "/home/me")]);
    let loaded = files.loaded();
    let launch = |index: usize| {
        loaded.members[index]
            .launch
            .clone()
            .expect("it can be started")
    };
    let process = |launch: &Launch| match &launch.target {
        Target::Process(process) => process.clone(),
        Target::Remote(remote) => panic!("{remote:?}"),
    };
    let common = |launch: &Launch| (launch.timeout.as_secs(), launch.validate);
    let a = process(&launch(0));
    assert_eq!(a.command, files.path("./bin/a"));
    assert_eq!(
        a.args,
        [
            "-p",
            "8080",
            "1.10",
            "{a: b}, *x",
            "x: y",
            "${WORD}",
            "true"
        ]
    );
    let env: Vec<(&str, &str)> = a
        .env
        .iter()
        .map(|(k, v)| (k.as_str(), v.reveal()))
        .collect();
    assert_eq!(
        env,
        [
            ("KEY", "s3cret"),
            ("PEM", "PEM"),
            ("PORT", "0755"),
            ("W", "{a: b}, *x")
        ]
    );
    assert_eq!(a.cwd.as_deref(), Some("/home/me/notes".as_ref()));
    assert_eq!(common(&launch(0)), (5, Validate::Adapter));
    let b = process(&launch(1));
    assert_eq!(b.command, PathBuf::from("uvx"));
    assert_eq!(common(&launch(1)), (30, Validate::Server));
    assert_eq!(b.cwd.as_deref(), Some(files.folder.path()));
    assert!(!loaded.members[1].enabled && loaded.members[0].enabled);
    let c = process(&launch(2));
    assert_eq!(c.command, PathBuf::from("{a: b}, *x"));
    assert_eq!(c.cwd, Some(files.path("sub")));
    assert!(!format!("{loaded:?}").contains("s3cret"));
}

#[test]
fn a_server_that_cannot_start_does_not_stop_the_others() {
    let files = Files::new(&[(
        FILE,
        concat!(
            "servers:\n",
            "  fine: { command: x }\n",
            "  unset:\n",
            "    command: x\n",
            "    args: [--key, '${DOCS_TOKEN}']\n",
            "  foreign: { command: 'x ${input:key}' }\n",
            "  secret: { command: x, env: { K: { env: NOT_SET } } }\n",
            "  web: { url: 'https://me:s3cret@docs/mcp', headers: { Authorization: { env: X } } }\n",
        ),
    )]);
    assert_snapshot!(files.members(), @r#"
    fine "x" []
    foreign: weft.yaml:6:23: `servers.foreign.command`: `${input:key}` is not a variable; write its value, or `${NAME}` for a variable; `$${` stands for a literal `${`
    secret: weft.yaml:7:35: `servers.secret.env.K`: the variable `NOT_SET` is not set
    unset: weft.yaml:5:19: `servers.unset.args`: the variable `DOCS_TOKEN` is not set; set it, or write `${DOCS_TOKEN:-default}`; `$${` stands for a literal `${`
    web: weft.yaml:8:15: `servers.web.url`: there are credentials in the URL, where they end in logs: take them out, and write `headers: { Authorization: { env: NAME } }` instead
    "#);
    let loaded = files.loaded();
    let unset = loaded
        .members
        .iter()
        .find(|member| member.name == "unset")
        .expect("it is listed");
    assert_snapshot!(files.bare(&unset.launch.clone().unwrap_err().to_string()), @r"
    weft.yaml:5:19: `servers.unset.args`: the variable `DOCS_TOKEN` is not set
      |
    5 |     args: [--***, '${DOCS_TOKEN}']
      |                   ^^^^^^^^^^^^^^^
      = set it, or write `${DOCS_TOKEN:-default}`; `$${` stands for a literal `${`
    ");
}

#[test]
fn a_server_at_a_url_has_its_headers() {
    let files = Files::new(&[
        (FILE, concat!(
            "servers:\n",
            "  docs: { url: 'http://127.0.0.1:9000/mcp', headers: { Authorization: { env: DOCS }, X-Key: { file: key } } }\n",
            "  keyed: { url: 'https://${HOST}/mcp?key=${KEY}#x', timeout: 5s }\n",
            "  two-lines: { url: 'http://a/mcp', headers: { X: { file: lines } } }\n",
            "  unset: { url: 'http://a/mcp', headers: { X: { env: NOT_SET } } }\n",
            "  socket: { url: 'ws://a/mcp' }\n",
        )),
        ("key", "s3cret\n"),
        ("lines", "s3cret\nmore\n"),
    ])
    .env(&[("DOCS", "Bearer s3cret"), ("HOST", "docs"), ("KEY", "s3cret")]);
    let members = files.members();
    assert!(!members.contains("s3cret"), "{members}");
    assert_snapshot!(members, @r#"
    docs http://127.0.0.1:9000/mcp {"authorization", "x-key"}
    keyed https://docs/mcp?*** {}
    socket: weft.yaml:6:18: `servers.socket.url`: `ws:` is not carried: a server's URL begins with `http://` or `https://`
    two-lines: weft.yaml:4:51: `servers.two-lines.headers`: the value of the header `X` has a character that can't stand in a header, as a line end
    unset: weft.yaml:5:47: `servers.unset.headers.X`: the variable `NOT_SET` is not set
    "#);
    let loaded = files.loaded();
    assert!(!format!("{loaded:?}").contains("s3cret"), "{loaded:?}");
    let docs = loaded.members[0].launch.clone().expect("it is right");
    let Target::Remote(remote) = docs.target else {
        panic!("it has a URL");
    };
    assert_eq!(
        remote.endpoint,
        Endpoint::own("http://127.0.0.1:9000/mcp").expect("a URL")
    );
    let mut headers = Headers::default();
    headers
        .add("authorization", "Bearer s3cret")
        .expect("a header");
    headers.add("x-key", "s3cret").expect("a header");
    assert_eq!(remote.headers, headers);
    assert_eq!(
        loaded.members[1]
            .launch
            .as_ref()
            .map(|launch| launch.timeout.as_secs()),
        Ok(5)
    );
}

#[test]
fn a_clients_file_is_read_as_its_client_reads_it() {
    let files = Files::new(&[(
        "mcp.json",
        r#"{
  // VS Code and others allow this
  "inputs": [{ "id": "key" }],
  "mcpServers": {
    "My Server": { "command": "npx", "args": ["-y", "x//y", 5,], "env": { "URL": "http://a//b", "N": 1 },
      "disabled": true, "autoApprove": ["a"], "alwaysAllow": [], "type": "stdio", "timeout": 60, },
    "my-server": { "command": "./run", "timeout": 60000, "description": "\ud83d\ude00" /* ok */ },
    "my_server": { "command": "${env:RUN}", "args": ["--token=${TOKEN}"] },
    "old": { "type": "sse", "url": "http://a/sse" },
    "web": { "serverUrl": "http://a/mcp" },
    "odd": { "command": 5, "args": "s3cret" },
    "typed": { "command": "x", "transport": "carrier pigeon" },
    "none": "x",
  },
}
"#,
    )])
    .env(&[("RUN", "run-it")]);
    assert_snapshot!(files.members(), @r#"
    my-server "./run" []
    my-server-2 (off) "npx" ["-y", "x//y", "5"]
    my-server-3: mcp.json:8:54: `mcpServers.my_server.args`: the variable `TOKEN` is not set; set it, or write `${TOKEN:-default}`; `$${` stands for a literal `${`
    none: mcp.json:13:13: `mcpServers.none`: a mapping was expected here, not text
    odd: mcp.json:11:36: `mcpServers.odd.args`: a list was expected here, not text
    old: mcp.json:9:14: `mcpServers.old`: the two-endpoint HTTP+SSE transport of 2024-11-05 is not carried; where the server also speaks Streamable HTTP (often at `/mcp` in place of `/sse`), write that URL and `"type": "http"`; else its `command`
    typed: mcp.json:12:32: `mcpServers.typed`: this transport is not known; give the `command` of a server that speaks over stdio, or the `url` of one that speaks Streamable HTTP
    web http://a/mcp {}
    "#);
    assert_snapshot!(files.warnings(), @r"
    mcp.json:3:3: `inputs` is not used: write a variable where `${input:…}` stands
    mcp.json:5:5: the server `My Server` is called `my-server-2` on the mesh
    mcp.json:6:83: `mcpServers.My Server.timeout`: 60 is taken as seconds
    mcp.json:5:5: `mcpServers.My Server`: not used: autoApprove, alwaysAllow
    mcp.json:7:40: `mcpServers.my-server.timeout`: 60000 is taken as milliseconds
    mcp.json:7:5: `mcpServers.my-server`: not used: description
    mcp.json:8:5: the server `my_server` is called `my-server-3` on the mesh
    ");
    let launch = |name: &str| {
        let found = files.loaded().members.into_iter().find(|m| m.name == name);
        let found = found.expect("it is listed");
        found.launch.expect("it can be started")
    };
    assert_eq!(launch("my-server").timeout.as_secs(), 60);
    assert_eq!(launch("my-server-2").timeout.as_secs(), 60);
    let Target::Process(process) = launch("my-server-2").target else {
        panic!("it has a command");
    };
    assert_eq!(process.cwd, None);
}

#[test]
fn the_lists_of_other_clients_are_found() {
    for text in [
        r#"{ "servers": { "a": { "type": "stdio", "command": "x" } } }"#,
        r#"{ "mcp": { "servers": { "a": { "command": "x" } } } }"#,
        r#"{ "theme": "dark", "mcpServers": { "a": { "command": "x" } } }"#,
        "\u{feff}{\t\"mcpServers\": {\r\n\t\t\"a\": {\t\"command\":\"x\"}}}",
    ] {
        let files = Files::new(&[("mcp.json", text)]);
        assert_eq!(files.members(), r#"a "x" []"#, "{text}");
    }
    let files = Files::new(&[("mcp.json", r#"{ "theme": "dark" }"#)]);
    assert_snapshot!(files.refusal(), @r#"
    mcp.json:1:1: no `mcpServers` or `servers` in this file
      |
    1 | { "theme": "dark" }
      | ^
      = is it the file that your client keeps its MCP servers in?
    "#);
}

#[test]
fn nothing_is_needed() {
    let loaded = Files::new(&[]).loaded();
    assert_eq!(loaded.broker, Broker::Managed { server: None });
    assert_eq!(loaded.data, PathBuf::from(DATA));
    assert!(loaded.members.is_empty() && loaded.warnings.is_empty());
    let empty = Files::new(&[(FILE, "servers:\nnats:\n# nothing\n")]).loaded();
    assert_eq!(empty.config, loaded.config);
}

#[test]
fn what_is_shown_has_no_secret_and_its_origin() {
    let files = Files::new(&[
        (FILE, concat!(
            "servers: { a: { command: x, args: ['${KEY}'], env: { A: s3cret, B: { env: KEY } } } }\n",
            "nats: { url: 'nats://me:s3cret@host', user: }\n",
            "policy: { timeout: 90s }\n",
        )),
        ("mcp.json", r#"{ "mcpServers": { "b": { "command": "y", "env": { "K": "s3cret" } } } }"#),
    ])
    .env(&[("KEY", "s3cret")]);
    let shown = show(&files.loaded());
    let line = |(key, value): (&String, &serde_json::Value)| format!("{key}: {value}");
    let blocks = shown["config"].as_object().expect("an object").iter();
    let rest = shown.as_object().expect("an object").iter().skip(1);
    let lines: Vec<String> = blocks.chain(rest).map(line).collect();
    let text = files.bare(&lines.join("\n"));
    assert!(!text.contains("s3cret"), "{text}");
    assert_snapshot!(text, @r#"
    servers: {"a":{"command":"x","args":["${KEY}"],"env":{"A":"***","B":{"env":"KEY"}},"validate":"server","enabled":true},"b":{"command":"y","env":{"K":"***"},"validate":"server","enabled":true}}
    nats: {"url":"nats://***@host"}
    policy: {"timeout":"90s"}
    limits: {"line":"64MiB","result":"64MiB","inFlight":256,"queue":1024,"waiting":"64MiB","requestBody":"4MiB","requestBodies":"256MiB","depth":64,"keys":100000}
    gateway: {"listen":"127.0.0.1:7420","insecure":false}
    events: {"domains":[],"types":{}}
    resources: {"quota":{"resources":1000,"bytes":"512MiB"}}
    broker: {"kind":"existing","urls":["nats://host"],"credentials":"user me","tls":{"ca":null,"cert":null,"key":null}}
    data: ".weft"
    origin: {"servers":["file weft.yaml","file mcp.json"],"nats":"file weft.yaml","policy":"file weft.yaml","limits":"default","gateway":"default","data":"default"}
    "#);
}

#[test]
fn tools_whose_calls_are_tasks_are_patterns() {
    let yaml =
        |list: &str| format!("servers: {{ a: {{ command: x, events: {{ tasks: {list} }} }} }}");
    let many = |count| format!("[{}]", vec!["a"; count].join(", "));
    for (good, count) in [
        ("[]".to_owned(), 0),
        ("['*', find_*, echo]".into(), 3),
        (many(64), 64),
    ] {
        let loaded = Files::new(&[(FILE, &yaml(&good))]).loaded();
        let launch = loaded.members[0]
            .launch
            .as_ref()
            .expect("it can be started");
        assert_eq!(launch.tasks.len(), count, "{good}");
    }
    for (bad, word) in [
        ("['a*b']".to_owned(), "`a*b` is no pattern"),
        ("['**']".into(), "`**` is no pattern"),
        ("['']".into(), "`` is no pattern"),
        (many(65), "65 patterns"),
    ] {
        let said = refusal(&yaml(&bad));
        assert!(
            said.contains("`servers.a.events.tasks`") && said.contains(word),
            "{said}"
        );
    }
}

#[test]
fn the_schema_takes_what_is_taken_and_refuses_what_is_refused() {
    let schema = serde_json::to_value(schema()).expect("JSON");
    assert_eq!(
        schema["$schema"],
        "https://json-schema.org/draft/2020-12/schema"
    );
    let validator = jsonschema::validator_for(&schema).expect("a schema");
    let valid = |text: &str| validator.is_valid(&serde_json::from_str(text).expect("JSON"));
    let fine = r#"{ "servers": { "a": { "command": "x", "env": { "A": "b", "C": { "env": "D" } }, "timeout": "5s" } },
        "mcpServers": { "b": { "anything": 1 } }, "limits": { "line": 65536, "waiting": "1MiB" },
        "nats": { "user": "u", "password": { "file": "nats.key" }, "tls": { "ca": "d" } } }"#;
    assert!(valid(fine));
    Files::new(&[(FILE, fine), ("nats.key", "x")])
        .env(&[("D", "e")])
        .loaded();
    for wrong in [
        r#"{ "serverz": {} }"#,
        r#"{ "servers": { "a": { "comand": "x" } } }"#,
        r#"{ "policy": { "timeout": 30 } }"#,
        r#"{ "nats": { "password": "x" } }"#,
        r#"{ "limits": { "line": "1MB" } }"#,
    ] {
        assert!(!valid(wrong), "{wrong}");
        refusal(wrong);
    }
    assert_eq!(schema["properties"]["limits"]["default"]["inFlight"], 256);
    assert!(schema["$defs"]["Server"]["properties"]["command"]["description"].is_string());
}
