//! Which NATS server is chosen, and with which credentials.

use insta::assert_snapshot;

use crate::config::{tests::*, *};

#[test]
fn flags_stand_above_environment_above_file_above_defaults() {
    let mut files = Files::new(&[(FILE, "nats: { url: file, creds: { file: c } }\n")]);
    let broker = |files: &Files| {
        let loaded = files.loaded();
        let Broker::Existing {
            urls, credentials, ..
        } = loaded.broker
        else {
            panic!("an existing server was asked for");
        };
        format!(
            "{} {} {} {}",
            urls.join(","),
            files.bare(&credentials.to_string()),
            files.bare(&loaded.origin.nats.to_string()),
            loaded.origin.data
        )
    };
    assert_eq!(
        broker(&files),
        "nats://file credentials file c file weft.yaml default"
    );
    files = files.env(&[
        ("NATS_URL", "nats://u:p%40@b:1"),
        ("NATS_CREDS", "d"),
        ("WEFT_DATA", "e"),
    ]);
    assert_eq!(
        broker(&files),
        "nats://b:1 credentials file d environment NATS_URL environment WEFT_DATA"
    );
    files = files.env(&[
        ("NATS_URL", "b"),
        ("WEFT_NATS_URL", "tls://u:p%40@a,tls://b"),
    ]);
    assert_eq!(
        broker(&files),
        "tls://a,tls://b user u environment WEFT_NATS_URL default"
    );
    files.sources.overrides.nats_url = Some("flag".to_owned());
    files.sources.overrides.data = Some("d".into());
    assert_eq!(
        broker(&files),
        "nats://flag credentials file c flag --nats flag --data",
        "who one is by the URL of another server is not sent to this one"
    );
    files.sources.overrides.nats_server = Some("s".into());
    assert!(files.refusal().contains("exclude each other"));
    files.sources.overrides.nats_url = None;
    let managed = Broker::Managed {
        server: Some("s".into()),
    };
    assert_eq!(files.loaded().broker, managed);
}

#[test]
fn contexts_of_the_nats_command_are_read() {
    let context = r#"{ "description": "", "url": "nats://a:1,nats://b:2", "token": "", "user": "me",
        "password": "s3cret", "creds": "", "nkey": "", "cert": "~/c.pem", "key": "/k.pem", "ca": "",
        "inbox_prefix": "_IN", "tls_first": false }"#;
    let mut files = Files::new(&[
        ("config/nats/context/prod.json", context),
        ("config/nats/context.txt", "prod\n"),
        (FILE, "nats: { context: prod, token: { env: T } }\n"),
    ]);
    let config = files.path("config").display().to_string();
    let variables = [
        ("XDG_CONFIG_HOME", config.as_str()),
        ("HOME", "/home/me"),
        ("T", "t0ken"),
    ];
    files = files.env(&variables);
    assert_eq!(
        nats_context::selected(&files.sources.env).as_deref(),
        Some("prod")
    );
    let Broker::Existing {
        urls,
        credentials,
        tls,
    } = files.loaded().broker
    else {
        panic!("an existing server was asked for");
    };
    assert_eq!(urls, ["nats://a:1", "nats://b:2"]);
    assert_eq!(
        credentials,
        Credentials::Token(Secret::new("t0ken")),
        "the file stands above"
    );
    assert_eq!(tls.cert, Some("/home/me/c.pem".into()));
    assert_eq!((tls.ca, tls.key), (None, Some("/k.pem".into())));
    assert_snapshot!(files.warnings(), @r"
    config/nats/context/prod.json:3:9: the context `prod`: `inbox_prefix` is not used
    ");
    std::fs::remove_file(files.path(FILE)).expect("it was there");
    files = files.env(&[variables[0], ("NATS_CONTEXT", "prod"), ("NATS_URL", "c")]);
    let loaded = files.loaded();
    let user = Credentials::User {
        user: "me".to_owned(),
        password: Secret::new("s3cret"),
    };
    assert!(
        matches!(loaded.broker, Broker::Existing { urls, credentials, .. }
        if urls == ["nats://c"] && credentials == user)
    );
    files = files.env(&[variables[0], ("NATS_CONTEXT", "../prod")]);
    assert_snapshot!(files.refusal(), @r"
    NATS_CONTEXT: `../prod` is no name of a context
    ");
    files = files.env(&[variables[0], ("NATS_CONTEXT", "absent")]);
    assert_snapshot!(files.refusal(), @r"
    NATS_CONTEXT: the file config/nats/context/absent.json does not exist: `nats context list` names them
    ");
}

#[test]
fn credentials_without_a_server_are_not_used_in_silence() {
    let files = Files::new(&[(FILE, "nats: { user: me, password: { env: P } }\n")])
        .env(&[("P", "s3cret"), ("NATS_CREDS", "c")]);
    assert_eq!(files.loaded().broker, Broker::Managed { server: None });
    assert_snapshot!(files.warnings(), @r"
    weft.yaml:1:7: `nats`: credentials and TLS are not used: without `url` or `context` Weft starts a server of its own
    NATS_CREDS is not used: no URL of an existing server is given
    ");
}

#[test]
fn what_is_no_url_is_refused_without_repeating_it() {
    for (url, why) in [
        ("http://u:s3cret@a", "`http://` is no scheme of NATS"),
        ("nats://u:s3cret@", "has no host"),
        ("u:s3cret%zz@a", "hexadecimal"),
        ("s3cret@a,nats://", "has no host"),
        (" , ", "is empty"),
    ] {
        let files = Files::new(&[]).env(&[("NATS_URL", url)]);
        let refusal = files.refusal();
        assert!(
            refusal.contains(why) && !refusal.contains("s3cret"),
            "{url}: {refusal}"
        );
        let text = format!("nats: {{ url: '{url}' }}");
        let refusal = super::refusal(&text);
        assert!(
            refusal.contains(why) && !refusal.contains("s3cret"),
            "{url}: {refusal}"
        );
    }
}
