//! Whole files: what is refused and in which words, what is taken and what becomes of it.

mod issuers;
mod limits;
mod nats;
mod policies;
mod refused;
mod taken;

use super::*;

/// A folder with files in it, and the sources that name them.
struct Files {
    folder: tempfile::TempDir,
    sources: Sources,
}

impl Files {
    fn new(files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut sources = Sources {
            folder: folder.path().to_owned(),
            ..Sources::default()
        };
        for (name, text) in files {
            let path = folder.path().join(name);
            let parent = path.parent().expect("it is in the folder");
            std::fs::create_dir_all(parent).expect("it can be made");
            std::fs::write(&path, text).expect("it can be written");
            if name.ends_with("mcp.json") {
                sources.import.push(path);
            }
        }
        Self { folder, sources }
    }

    fn env(mut self, variables: &[(&str, &str)]) -> Self {
        self.sources.env = variables.iter().copied().collect();
        self
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Without the folder, which is another in every run.
    fn bare(&self, text: &str) -> String {
        let folder = self.folder.path().display();
        text.replace(&format!("{folder}/"), "")
            .replace(&folder.to_string(), "FOLDER")
    }

    fn refusal(&self) -> String {
        let problems = load(&self.sources).expect_err("it is refused");
        self.bare(&problems.to_string())
    }

    fn loaded(&self) -> Loaded {
        load(&self.sources)
            .map_err(|problems| problems.to_string())
            .expect("a good configuration")
    }

    fn warnings(&self) -> String {
        let all: Vec<String> = self
            .loaded()
            .warnings
            .iter()
            .map(ToString::to_string)
            .collect();
        self.bare(&all.join("\n"))
    }

    /// One line per server: what would be started, or why not.
    fn members(&self) -> String {
        let line = |member: &Member| match &member.launch {
            Ok(launch) => {
                let what = match &launch.target {
                    Target::Process(process) => format!("{:?} {:?}", process.command, process.args),
                    Target::Remote(remote) => format!("{} {:?}", remote.endpoint, remote.headers),
                };
                let off = if member.enabled { "" } else { " (off)" };
                format!("{}{off} {what}", member.name)
            }
            Err(problem) => format!("{}: {}", member.name, problem.summary()),
        };
        let all: Vec<String> = self.loaded().members.iter().map(line).collect();
        self.bare(&all.join("\n"))
    }
}

/// Why a `weft.yaml` is refused.
pub(crate) fn refusal(text: &str) -> String {
    Files::new(&[(FILE, text)]).refusal()
}
