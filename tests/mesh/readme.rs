//! What the README shows, read by the program: the example mesh, and a configuration of one's own.

use std::{fs, path::PathBuf};

use weftbus::config::{self, Env, Loaded, Overrides, Sources};

use crate::server::root;

fn load(file: PathBuf, variables: &[(&str, &str)]) -> Loaded {
    let env: Env = variables.iter().copied().collect();
    let sources = Sources {
        folder: file.parent().expect("a file is in a folder").to_owned(),
        file: Some(file),
        import: Vec::new(),
        overrides: Overrides::default(),
        env,
    };
    config::load(&sources).expect("a good configuration")
}

#[test]
fn the_example_mesh_runs_what_is_built() {
    let loaded = load(root().join("weft.yaml"), &[]);
    let cargo = fs::read_to_string(root().join("Cargo.toml")).expect("it is in the tree");
    let mut names = Vec::new();
    for member in &loaded.members {
        let launch = member.launch.as_ref().expect("it can be started");
        let built = root().join("target/release/examples");
        let config::Target::Process(process) = &launch.target else {
            panic!("it is a program");
        };
        let program = process.command.strip_prefix(&built).expect("an example");
        let target = format!("[[example]]\nname = \"{}\"", program.display());
        assert!(cargo.contains(&target), "{target}");
        names.push(member.name.as_str());
    }
    names.sort_unstable();
    assert_eq!(
        names,
        ["chart-generator", "search-aggregator", "task-orchestrator"]
    );
    let makefile = fs::read_to_string(root().join("Makefile")).expect("it is in the tree");
    assert!(makefile.contains("build --release --bins --examples"));
    assert!(makefile.contains("./target/release/weft up -c weft.yaml"));
}

#[test]
fn the_readmes_configuration_is_one() {
    let readme = fs::read_to_string(root().join("README.md")).expect("it is in the tree");
    let (_, rest) = readme.split_once("```yaml\n").expect("a configuration");
    let (yaml, _) = rest.split_once("```").expect("its end");
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("weft.yaml");
    fs::write(&file, yaml).expect("the folder is ours");
    let loaded = load(
        file,
        &[("MY_GIT_TOKEN", "secret"), ("DOCS_TOKEN", "secret")],
    );
    let good = loaded.members.iter().filter(|member| member.launch.is_ok());
    assert_eq!((loaded.members.len(), good.count()), (3, 3));
}
