//! Help is part of the product: it begins with examples, and every example can be typed.

use clap::{Command as Clap, CommandFactory as _, Parser as _};

use super::Cli;

/// Every command there is.
fn cli() -> Clap {
    Cli::command()
}

/// Every command below this one, with the words that lead to it.
fn all(command: &Clap, path: &str) -> Vec<(String, Clap)> {
    let mut found = vec![(path.to_owned(), command.clone())];
    for below in command.get_subcommands() {
        found.extend(all(below, &format!("{path} {}", below.get_name())));
    }
    found
}

/// The words of a line, as a shell would read them; without what it would do itself.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word) = (Vec::new(), None::<String>);
    let mut quote = None;
    for c in line.chars() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '"' | '\'') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, ' ') => words.extend(word.take()),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

/// The calls of `weft` in an example: behind variables, pipes and `&&`, before a remark.
fn calls(line: &str) -> Vec<Vec<String>> {
    let line = line.trim().split("   ").next().unwrap_or_default();
    let line = match line.split_once("$(") {
        Some((_, inner)) => inner.split(')').next().unwrap_or_default(),
        None => line,
    };
    line.split(" | ")
        .flat_map(|part| part.split(" && "))
        .map(|part| part.split(" > ").next().unwrap_or_default())
        .map(words)
        .map(|words| {
            let ours = words.into_iter().skip_while(|word| word != "weft");
            ours.collect::<Vec<_>>()
        })
        .filter(|words| !words.is_empty())
        .collect()
}

#[test]
fn every_help_begins_with_examples_that_can_be_typed() {
    let mut root = cli();
    root.build();
    for (path, mut command) in all(&root, "weft") {
        for help in [command.render_help(), command.render_long_help()] {
            let help = help.to_string();
            assert!(help.starts_with("EXAMPLES\n  "), "{path}:\n{help}");
        }
        let examples = command.get_before_help().expect(&path).to_string();
        let mut own = 0;
        for line in examples.lines().skip(1) {
            let calls = calls(line);
            assert!(!calls.is_empty(), "{path}: `{line}` calls nothing");
            for call in calls {
                own += usize::from(call.join(" ").starts_with(path.as_str()));
                if let Err(error) = cli().try_get_matches_from(&call) {
                    panic!("{path}: `{line}`: {error}");
                }
            }
        }
        // By an alias or with a flag in between it is one as well.
        assert!(own > 0, "{path}: no example of its own");
    }
}

#[test]
fn every_noun_has_its_singular_and_its_plural() {
    for (one, other) in [
        ("server", "servers"),
        ("tool", "tools"),
        ("token", "tokens"),
        ("grant", "grants"),
        ("key", "keys"),
        ("schema", "schemas"),
        ("config", "configs"),
        ("completion", "completions"),
    ] {
        let found = |name: &str| {
            let command = cli();
            let found = command.find_subcommand(name);
            found.expect(name).get_name().to_owned()
        };
        assert_eq!(found(one), found(other));
    }
}

#[test]
fn a_wrong_word_suggests_the_right_one() {
    for (line, near) in [
        ("weft serversx", "'servers'"),
        ("weft tokn list", "'token'"),
        ("weft servers --quite", "'--quiet'"),
        ("weft token isue", "'issue'"),
    ] {
        let error = cli().try_get_matches_from(line.split(' '));
        let said = error.expect_err(line).to_string();
        assert!(said.contains(near), "{said}");
    }
}

#[test]
fn the_commands_are_consistent() {
    cli().debug_assert();
}

#[test]
fn the_first_help() {
    let help = Cli::command().term_width(100).render_help().to_string();
    insta::assert_snapshot!(help, @r###"
    EXAMPLES
      weft up --import ~/.cursor/mcp.json                 run a mesh of the servers that a client has
      weft servers                                        what is on the mesh, and how it is
      weft tools search-aggregator                        what a server can do
      weft describe search-aggregator execute_parallel_search
      weft call search-aggregator execute_parallel_search query="market trends in AI" maxResults:=20
      weft health --wait 30s                              wait until the mesh is ready
      weft doctor                                         what is wrong on this machine, and what to do

    Every call and every event between MCP servers, over NATS

    Usage: weft [OPTIONS] <COMMAND>

    Commands:
      up           Run a mesh: broker, control plane and an adapter for each server
      adapter      Join one server to a mesh, as a sidecar
      control      Run the control plane alone
      gateway      Serve a mesh to MCP clients over HTTP
      mcp          Serve the mesh to an MCP client over stdin and stdout
      call         Call a tool and print its result
      servers      List the servers of the mesh, and how each is
      tools        List tools, of one server or of all
      describe     Say what a tool does, what it takes, and how it is called
      events       Publish, follow and replay events
      dlq          Show, deliver again and drop events that a subscriber gave up
      resources    List, read, register and remove resources
      token        Issue, revoke, list and inspect tokens
      grant        Permit or deny something at run time, beside what tokens say
      keys         List, replace and revoke the keys that sign tokens
      audit        Show what was decided, and check that all of it is there
      approve      Show what tools say of themselves that nobody approved, and approve it
      access       Ask who may do what
      connect      Write down for an MCP client how it reaches this mesh
      conformance  Try whether a member of the mesh keeps to docs/protocol.md
      health       Say whether the mesh is up
      doctor       Look for what is wrong on this machine, and say what to do
      config       Check, show and import configurations
      schema       Print, write and check the JSON Schemas of what Weft reads and prints
      down         Stop the mesh that `weft up` started
      bench        Measure the mesh beside bare NATS, in the same run
      completions  Print a completion script for a shell
      version      Print versions

    Options:
      -h, --help     Print help
      -V, --version  Print version

    Options of every command:
          --data <DIR>     Folder of the mesh's state [env: WEFT_DATA] [default: .weft]
          --nats <URL>     URL of the NATS server, several with commas [env: WEFT_NATS_URL]
          --insecure       Reach and be reached beyond this machine without TLS [env: WEFT_INSECURE]
      -o, --output <FORM>  Form of the data on standard output: table, json or jsonl [default: table]
          --log <LEVEL>    What is logged to standard error: debug, info, info,weftbus=debug [env:
                           WEFT_LOG]
      -q, --quiet          Say nothing beside data and errors
    "###);
}

#[test]
fn the_help_of_call() {
    let mut command = Cli::command().term_width(100);
    command.build();
    let call = command.find_subcommand_mut("call").expect("a command");
    insta::assert_snapshot!(call.render_help().to_string(), @r###"
    EXAMPLES
      weft call search-aggregator execute_parallel_search query="market trends in AI"
      providers:='["brave","tavily"]' maxResults:=20
      weft call task-orchestrator/parse_prd content=@prd.md --timeout 2m
      weft call billing charge customer=c-7 cents:=1200 --key invoice-4711
      weft call time__convert_time --args '{"time": "12:00", "source_timezone": "UTC"}'
      cat arguments.json | weft call chart-generator generate_chart --args - -o json

    Call a tool and print its result

    Usage: weft call [OPTIONS] SERVER TOOL [key=text]… [key:=json]… [key=@FILE]…

    Arguments:
      <WORD>...  Server and tool (SERVER TOOL, SERVER/TOOL or SERVER__TOOL), then the tool's arguments

    Options:
          --args <JSON|@FILE|->        The arguments as one JSON object, in a file, or from standard
                                       input (`-`)
          --timeout <TIME>             How long the call may take: 500ms, 30s, 5m [default: 30s]
          --corr <ID>                  What the call is part of: 1 to 64 of A-Z, a-z, 0-9, `_`, `-` and
                                       `.`
          --key <KEY>                  Idempotency key: however often a call with it is made, it runs at
                                       most once, and whoever asks again within a day hears what came of
                                       it
          --no-retry                   One attempt, whatever comes of it
          --traceparent <TRACEPARENT>  W3C trace context to go on with: 00-…-…-01
          --progress                   Show progress also where standard error is no terminal, a line
                                       each
      -h, --help                       Print help

    Options of every command:
          --data <DIR>     Folder of the mesh's state [env: WEFT_DATA] [default: .weft]
          --nats <URL>     URL of the NATS server, several with commas [env: WEFT_NATS_URL]
          --insecure       Reach and be reached beyond this machine without TLS [env: WEFT_INSECURE]
      -o, --output <FORM>  Form of the data on standard output: table, json or jsonl [default: table]
          --log <LEVEL>    What is logged to standard error: debug, info, info,weftbus=debug [env:
                           WEFT_LOG]
      -q, --quiet          Say nothing beside data and errors

    Arguments of the tool:
      key=text      a string
      key:=json     any JSON: 20, true, ["a"], {"b": 1}
      key=@FILE     the text of a file (`-`: standard input); a string that begins with @ is key:='"@…"'
      key:=@FILE    the JSON in a file
    What key=… says stands over what --args says.

    The text of the result goes to standard output; what is no text stands there as a line that says
    what it is. With `-o json` it is the result as the server wrote it.

    Exit status: 0 ok, 3 not permitted, 4 no such server or no mesh, 5 the tool said error, no such
    tool or bad arguments, 6 timeout, 8 too much work.
    "###);
}

#[test]
fn the_data_of_an_event_is_not_the_folder_of_the_mesh() {
    use crate::cli::args::Command;
    let words = ["weft", "events", "publish", "a.b", "--data", "{}"];
    let published = Cli::try_parse_from(words).expect("it can be typed");
    assert!(matches!(&published.command, Command::Events(args) if args.takes_data()));
    let words = ["weft", "events", "tail", "--data", "folder"];
    let followed = Cli::try_parse_from(words).expect("it can be typed");
    assert!(matches!(&followed.command, Command::Events(args) if !args.takes_data()));
    assert_eq!(
        followed.globals.data.as_deref(),
        Some(std::path::Path::new("folder"))
    );
}
