//! The data folder: whether it can be written to, and whether a mesh runs on it.

use std::{fs, io, path::Path};

use weftbus::app::context::{Context, ContextError};

use super::Check;

/// Everything about the folder.
pub(super) fn all(data: &Path) -> Vec<Check> {
    let mut checks = vec![writable(data)];
    checks.push(running(data));
    checks
}

fn writable(data: &Path) -> Check {
    let shown = data.display();
    match fs::metadata(data) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Check::of("data folder", format!("{shown} is not there yet"))
                .noted("`weft up` makes it")
        }
        Err(error) => Check::of("data folder", format!("{shown}: {error}"))
            .failed("name another one with --data"),
        Ok(about) if !about.is_dir() => Check::of("data folder", format!("{shown} is a file"))
            .failed("name another one with --data"),
        Ok(_) => match tempfile_in(data) {
            Ok(()) => Check::of("data folder", format!("{shown} can be written to")).ok(),
            Err(error) => Check::of("data folder", format!("{shown}: {error}"))
                .failed("make it yours (chown), or name another one with --data"),
        },
    }
}

/// Writes a file and removes it again.
fn tempfile_in(data: &Path) -> io::Result<()> {
    let path = data.join(format!("doctor-{}", std::process::id()));
    fs::write(
        &path,
        "weft doctor looked whether this folder can be written to\n",
    )?;
    fs::remove_file(&path)
}

fn running(data: &Path) -> Check {
    let shown = data.display();
    match Context::read(data) {
        Ok(context) if context.process().lives() => {
            Check::of("mesh", format!("runs on {shown} (pid {})", context.pid)).ok()
        }
        Ok(context) => Check::of(
            "mesh",
            format!("{shown}: its process {} is gone", context.pid),
        )
        .failed("`weft up` starts it anew, and cleans up what was left"),
        Err(ContextError::NoMesh { .. }) => {
            Check::of("mesh", format!("none runs on {shown}")).noted("`weft up` starts one")
        }
        Err(error) => Check::of("mesh", error.to_string()).failed("`weft up` writes it anew"),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Outcome, *};

    fn outcomes(data: &Path) -> Vec<Outcome> {
        all(data).iter().map(|check| check.outcome).collect()
    }

    #[test]
    fn a_folder_is_judged() {
        let folder = tempfile::tempdir().expect("a folder");
        assert_eq!(outcomes(folder.path()), [Outcome::Ok, Outcome::Note]);
        assert_eq!(
            fs::read_dir(folder.path()).expect("there").count(),
            0,
            "nothing is left behind"
        );
        let none = folder.path().join("none");
        assert_eq!(outcomes(&none), [Outcome::Note, Outcome::Note]);
        let file = folder.path().join("file");
        fs::write(&file, "").expect("written");
        assert_eq!(outcomes(&file)[0], Outcome::Fail);
        let mut context = Context {
            nats_url: "nats://127.0.0.1:1".into(),
            gateway_url: None,
            token_file: "token".into(),
            tls: weftbus::app::context::BrokerTls::default(),
            pid: std::process::id(),
        };
        context.write(folder.path()).expect("written");
        assert_eq!(outcomes(folder.path())[1], Outcome::Ok);
        context.pid = i32::MAX as u32;
        context.write(folder.path()).expect("written");
        assert_eq!(outcomes(folder.path())[1], Outcome::Fail);
    }
}
