//! A small disk that can be filled up: a tmpfs in a mount namespace of its own, which takes no
//! right but that to user namespaces.

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader, Read as _, Write as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

/// What is written at a time to fill it up.
const PIECE: usize = 64 * 1024;

/// A small disk, as long as its namespace has somebody in it.
#[derive(Debug)]
pub(super) struct Disk {
    holder: Child,
    at: PathBuf,
}

impl Disk {
    /// Mounts one of so many MiB on this folder, for whoever is run by [`Disk::by`].
    pub(super) fn mount(at: &Path, mebibytes: u32) -> Self {
        let script = r#"mount -t tmpfs -o size="$1" tmpfs "$2" && echo mounted && exec cat"#;
        let mut holder = Command::new("unshare")
            .args(["-rm", "sh", "-c", script, "sh"])
            .arg(format!("{mebibytes}m"))
            .arg(at)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("`unshare` of util-linux is installed: the disk of this test needs it");
        let mut said = String::new();
        let out = holder.stdout.as_mut().expect("piped");
        BufReader::new(out).read_line(&mut said).expect("text");
        if said != "mounted\n" {
            let mut why = String::new();
            let mut stderr = holder.stderr.take().expect("piped");
            stderr.read_to_string(&mut why).expect("text");
            panic!(
                "a small disk can't be made here, and without one nobody knows what a full one \
                 does: `unshare -rm` with a tmpfs said: {why}Allow user namespaces (sysctl \
                 kernel.unprivileged_userns_clone=1, user.max_user_namespaces, \
                 kernel.apparmor_restrict_unprivileged_userns=0; in a container --cap-add \
                 SYS_ADMIN or seccomp=unconfined), or run this as root"
            );
        }
        Self {
            holder,
            at: at.to_owned(),
        }
    }

    /// The words that run a program where the disk is.
    pub(super) fn by(&self) -> Vec<String> {
        let words = ["nsenter", "-U", "-m", "--preserve-credentials", "-t"];
        let pid = self.holder.id().to_string();
        words.map(str::to_owned).into_iter().chain([pid]).collect()
    }

    /// Leaves not a byte.
    pub(super) fn fill(&self) {
        let mut file = File::create(self.filler()).expect("ours");
        let mut piece = vec![7; PIECE];
        while !piece.is_empty() {
            if file.write_all(&piece).is_err() {
                piece.truncate(piece.len() / 2);
            }
        }
    }

    /// Gives back what [`Disk::fill`] took.
    pub(super) fn free(&self) {
        fs::remove_file(self.filler()).expect("it is there");
    }

    /// The file that fills it, as seen from outside.
    fn filler(&self) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.holder.id()));
        let at = self.at.strip_prefix("/").expect("an absolute path");
        root.join(at).join("filler")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // It ends with its input.
        drop(self.holder.stdin.take());
        self.holder.wait().expect("ours");
    }
}
