//! The configuration, and whether what its servers are started with is there.

use std::{
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use weftbus::config::{Env, Loaded, Member, Process, Target, env::PATH};

use super::Check;

/// What was read.
pub(super) fn configuration(loaded: &Loaded) -> Check {
    let files: Vec<String> = loaded
        .files
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    if files.is_empty() {
        return Check::of("configuration", "no weft.yaml here")
            .noted("servers are named there, or in an mcp.json: `weft config import FILE`");
    }
    let servers = loaded.members.len();
    let what = format!("{} ({servers} servers)", files.join(", "));
    Check::of("configuration", what).ok()
}

/// Whether what starts a server is there.
pub(super) fn command(member: &Member, env: &Env) -> Check {
    let name = format!("server {}", member.name);
    if !member.enabled {
        return Check::of(name, "not enabled").noted("`enabled: true` starts it");
    }
    let launch = match &member.launch {
        Ok(launch) => launch,
        Err(problem) => {
            let fix = problem.advice().unwrap_or("mend it in the file");
            let place = problem
                .place()
                .map_or_else(String::new, |place| format!("{place}: "));
            return Check::of(name, format!("{place}{}", problem.message())).failed(fix);
        }
    };
    let process = match &launch.target {
        Target::Process(process) => process,
        // Whether it answers is told by `weft servers`, which asks the one who speaks to it.
        Target::Remote(remote) => return Check::of(name, remote.endpoint.to_string()).ok(),
    };
    match found(process, env) {
        Ok(path) => Check::of(name, path.display().to_string()).ok(),
        Err((what, fix)) => Check::of(name, what).failed(fix),
    }
}

/// The program that would be started, or what is wrong and what to do.
fn found(process: &Process, env: &Env) -> Result<PathBuf, (String, String)> {
    if let Some(cwd) = process.cwd.as_ref().filter(|cwd| !cwd.is_dir()) {
        let what = format!("its folder {} is not there", cwd.display());
        return Err((what, "make it, or correct `cwd`".to_owned()));
    }
    let command = &process.command;
    if command.components().count() > 1 || command.is_absolute() {
        return match executable(command) {
            true => Ok(command.clone()),
            false => Err((
                format!("{} is not there, or no program", command.display()),
                "correct `command`, or make the file executable".to_owned(),
            )),
        };
    }
    let own = process.env.get(PATH).map(|path| path.reveal());
    let path = own.or_else(|| env.get(PATH)).unwrap_or_default();
    std::env::split_paths(path)
        .map(|folder| folder.join(command))
        .find(|candidate| executable(candidate))
        .ok_or_else(|| {
            (
                format!("no program `{}` in PATH", command.display()),
                "install it, or write the whole path in `command`".to_owned(),
            )
        })
}

fn executable(path: &Path) -> bool {
    path.metadata()
        .is_ok_and(|about| about.is_file() && about.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use weftbus::config::{self, Sources};

    use super::{super::Outcome, *};

    #[test]
    fn commands_are_looked_for() {
        let folder = tempfile::tempdir().expect("a folder");
        let program = folder.path().join("there");
        fs::write(&program, "#!/bin/sh\n").expect("written");
        fs::write(folder.path().join("plain"), "").expect("written");
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("chmod");
        let text = "\
servers:
  by-name: { command: there }
  by-path: { command: ./there }
  no-program: { command: ./plain }
  nowhere: { command: nowhere-at-all }
  no-folder: { command: there, cwd: none }
  off: { command: nowhere-at-all, enabled: false }
  remote: { url: 'http://127.0.0.1:9/mcp' }
  unset: { command: there, args: ['${NOT_SET}'] }
";
        fs::write(folder.path().join("weft.yaml"), text).expect("written");
        let env: Env = [(PATH, folder.path().to_str().expect("UTF-8"))]
            .into_iter()
            .collect();
        let loaded = config::load(&Sources {
            folder: folder.path().to_owned(),
            env: env.clone(),
            ..Sources::default()
        })
        .expect("a configuration");
        let told: Vec<(String, Outcome)> = loaded
            .members
            .iter()
            .map(|member| command(member, &env))
            .map(|check| (check.name, check.outcome))
            .collect();
        let expected = [
            ("by-name", Outcome::Ok),
            ("by-path", Outcome::Ok),
            ("no-folder", Outcome::Fail),
            ("no-program", Outcome::Fail),
            ("nowhere", Outcome::Fail),
            ("off", Outcome::Note),
            ("remote", Outcome::Ok),
            ("unset", Outcome::Fail),
        ];
        assert_eq!(
            told,
            expected.map(|(name, outcome)| (format!("server {name}"), outcome))
        );
        assert_eq!(configuration(&loaded).outcome, Outcome::Ok);
    }
}
