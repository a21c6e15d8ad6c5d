//! Where the broker and the token come from, by what is there.

use super::*;
use crate::app::context::BrokerTls;
use crate::config::env::WEFT_TOKEN_FILE;

const HERE: &str = "nats://127.0.0.1:1";
const THERE: &str = "nats://127.0.0.1:2";

/// A folder with a context of this process, or of one that is gone.
fn mesh(pid: u32) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("token"), "of-the-folder\n").expect("written");
    let context = Context {
        nats_url: HERE.into(),
        gateway_url: None,
        token_file: "token".into(),
        tls: BrokerTls::default(),
        pid,
    };
    context.write(folder.path()).expect("written");
    folder
}

fn env(variables: &[(&str, &str)]) -> Env {
    variables.iter().copied().collect()
}

fn found(env: &Env, flags: &Flags) -> (String, String) {
    let reach = Reach::find(env, flags).expect("found");
    (reach.urls.join(","), reach.token.reveal().to_owned())
}

fn pair(url: &str, token: &str) -> (String, String) {
    (url.to_owned(), token.to_owned())
}

#[test]
fn flags_stand_over_the_environment_and_that_over_the_folder() {
    let folder = mesh(std::process::id());
    let path = folder.path().to_str().expect("UTF-8");
    let none = Flags::default();
    let data = Flags {
        data: Some(path.into()),
        nats: None,
        ..Flags::default()
    };
    let nats = Flags {
        data: Some(path.into()),
        nats: Some(THERE.into()),
        ..Flags::default()
    };
    let own = pair(HERE, "of-the-folder");
    assert_eq!(found(&env(&[(WEFT_DATA, path)]), &none), own);
    assert_eq!(found(&env(&[]), &data), own);
    // Who somebody is, is said alone; where the mesh is, too.
    let token = env(&[(WEFT_DATA, path), (WEFT_TOKEN, "mine")]);
    assert_eq!(found(&token, &none), pair(HERE, "mine"));
    assert_eq!(found(&token, &data), pair(HERE, "mine"));
    let url = env(&[(WEFT_DATA, path), (WEFT_NATS_URL, THERE)]);
    assert_eq!(found(&url, &none), pair(THERE, "of-the-folder"));
    assert_eq!(found(&env(&[]), &nats), pair(THERE, "of-the-folder"));
    // Both are another mesh: they win over the folder, and lose against --data.
    let both = env(&[
        (WEFT_DATA, path),
        (WEFT_NATS_URL, THERE),
        (WEFT_TOKEN, "mine"),
    ]);
    assert_eq!(found(&both, &none), pair(THERE, "mine"));
    assert_eq!(found(&both, &data), own);
}

#[test]
fn url_and_token_suffice() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("token");
    std::fs::write(&path, "from-a-file\n").expect("written");
    let nowhere = folder.path().join("none");
    let env = env(&[
        (WEFT_DATA, nowhere.to_str().expect("UTF-8")),
        (WEFT_NATS_URL, HERE),
        (WEFT_TOKEN_FILE, path.to_str().expect("UTF-8")),
    ]);
    let reach = Reach::find(&env, &Flags::default()).expect("found");
    assert_eq!(reach.token.reveal(), "from-a-file");
    assert_eq!(reach.token_from, TokenFrom::File(path));
    reach.options().expect("no process is asked for");
}

#[test]
fn what_is_missing_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().to_str().expect("UTF-8");
    let error = |env: &Env| Reach::find(env, &Flags::default()).expect_err("nothing");
    let none = error(&env(&[(WEFT_DATA, path)]));
    assert!(matches!(none, ContextError::NoMesh { .. }), "{none}");
    let url = error(&env(&[(WEFT_DATA, path), (WEFT_NATS_URL, HERE)]));
    assert!(matches!(url, ContextError::NoToken), "{url}");
    let file = error(&env(&[
        (WEFT_NATS_URL, HERE),
        (WEFT_TOKEN_FILE, "/nowhere/token"),
    ]));
    assert!(file.to_string().contains("/nowhere/token"), "{file}");
}

#[test]
fn a_mesh_whose_process_is_gone_is_told() {
    let folder = mesh(i32::MAX as u32);
    let flags = Flags {
        data: Some(folder.path().to_owned()),
        nats: None,
        ..Flags::default()
    };
    let reach = Reach::find(&env(&[]), &flags).expect("found");
    let error = reach.options().expect_err("gone");
    assert_eq!(
        error.to_string(),
        format!(
            "the mesh of {} is not running (pid 2147483647 is gone); start it with `weft up`",
            folder.path().display()
        )
    );
    let there = mesh(std::process::id());
    let flags = Flags {
        data: Some(there.path().to_owned()),
        nats: None,
        ..Flags::default()
    };
    let reach = Reach::find(&env(&[]), &flags).expect("found");
    assert_eq!(reach.options().expect("the twin").urls, [HERE]);
}

#[test]
fn a_url_that_is_none_is_named_by_where_it_stands() {
    let wrong = env(&[(WEFT_NATS_URL, "ftp://x"), (WEFT_TOKEN, "t")]);
    let said = Reach::find(&wrong, &Flags::default()).expect_err("no URL");
    assert!(said.to_string().starts_with(WEFT_NATS_URL), "{said}");
    let flags = Flags {
        data: None,
        nats: Some("ftp://x".into()),
        ..Flags::default()
    };
    let token = env(&[(WEFT_TOKEN, "t")]);
    let said = Reach::find(&token, &flags).expect_err("no URL");
    assert!(said.to_string().starts_with("--nats"), "{said}");
}

#[test]
fn credentials_of_the_environment_are_used() {
    let env = env(&[
        (WEFT_NATS_URL, "nats://me:secret@127.0.0.1:1"),
        (WEFT_TOKEN, "t"),
    ]);
    let reach = Reach::find(&env, &Flags::default()).expect("found");
    assert_eq!(reach.urls, [HERE]);
    let options = reach.options().expect("options");
    assert!(matches!(options.broker, Some(Auth::Password(..))));
    let nkey = auth(&Credentials::Nkey("seed".into()));
    assert!(matches!(nkey, Some(Auth::NkeyFile(_))));
}

#[test]
fn a_broker_of_our_own_gets_the_token_alone() {
    let folder = mesh(std::process::id());
    let flags = Flags {
        data: Some(folder.path().to_owned()),
        nats: None,
        ..Flags::default()
    };
    let creds = env(&[("NATS_CREDS", "/some/where.creds")]);
    let reach = Reach::find(&creds, &flags).expect("found");
    assert_eq!(reach.credentials, Credentials::None);
    let named = env(&[("NATS_CREDS", "/some/where.creds"), ("NATS_URL", HERE)]);
    let reach = Reach::find(&named, &flags).expect("found");
    assert_eq!(
        reach.credentials,
        Credentials::Creds("/some/where.creds".into())
    );
}
