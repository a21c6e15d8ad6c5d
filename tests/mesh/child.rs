//! Children and their watchdog: every end that a group can have, and nothing left after each.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::Instant,
};
use weftbus::{
    child::{self, Child, Escalation, Inherit, OutputError, Spec, Stream, Watchdog},
    spawn::Tasks,
};

use crate::process::{kill_9, lives, pids, until, watchdog, weft};

const SOON: Duration = Duration::from_secs(10);

/// A leader and a member of its group, both deaf to TERM and to the end of their input; their
/// ids are written to `file`.
fn stubborn(file: &Path) -> Spec {
    let script = r#"trap "" TERM; sleep 1000 & printf '%s\n' $$ $! > "$OUT"; wait; wait"#;
    shell(script, file)
}

fn shell(script: &str, file: &Path) -> Spec {
    Spec {
        args: vec!["-c".into(), script.into()],
        env: [("OUT".to_owned(), file.display().to_string())].into(),
        stdin: Stream::Piped,
        stdout: Stream::Piped,
        ..Spec::new("sh")
    }
}

#[tokio::test]
async fn a_killed_parent_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("pids");
    // The pipe that a parent holds is held here: closing it is what its death does.
    let mut dog = Command::new(weft())
        .arg("watchdog")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let spec = stubborn(&file);
    let mut leader = Command::new(&spec.program)
        .args(&spec.args)
        .envs(&spec.env)
        .process_group(0)
        .spawn()
        .unwrap();
    let mut said = String::new();
    let mut hears = BufReader::new(dog.stdout.take().unwrap());
    hears.read_line(&mut said).unwrap();
    assert_eq!(said, "ready\n");
    let mut pipe = dog.stdin.take().unwrap();
    writeln!(pipe, "add {}", leader.id()).unwrap();
    let members = pids(&file, 2).await;
    assert!(members.iter().all(|pid| lives(*pid)), "it was in use");

    let died = Instant::now();
    drop(pipe);
    until(Duration::from_secs(3), "nobody is left", || {
        !members.iter().any(|pid| lives(*pid))
    })
    .await;
    assert!(died.elapsed() >= Duration::from_millis(900), "TERM first");
    assert!(dog.wait().unwrap().success());
    leader.wait().unwrap();
}

/// Names the folder of the program to be killed, in the process that is that program.
const PARENT: &str = "WEFT_TEST_PARENT";

/// The program to be killed: it has a child, and its watchdog was killed once.
async fn a_parent_to_be_killed(dir: &Path) {
    let tasks = Tasks::new();
    let watchdog = watchdog(&tasks).await;
    let first = watchdog.pid().expect("it runs");
    let file = dir.join("pids");
    let child = Child::spawn(&stubborn(&file), &tasks, &watchdog).expect("it starts");
    pids(&file, 2).await;
    kill_9(first);
    until(SOON, "another watchdog", || {
        watchdog.pid().is_some_and(|pid| pid != first)
    })
    .await;
    let second = watchdog.pid().expect("it runs");
    fs::write(dir.join("dog"), format!("{second}\n")).expect("the folder is ours");
    child.wait().await;
}

/// It runs itself once more, as the program to be killed.
#[tokio::test]
#[expect(
    clippy::disallowed_methods,
    reason = "the two processes of one test tell their parts so"
)]
async fn a_killed_program_leaves_nothing_even_if_its_watchdog_was_killed_before() {
    if let Some(dir) = std::env::var_os(PARENT) {
        return a_parent_to_be_killed(Path::new(&dir)).await;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut parent = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "child::a_killed_program_leaves_nothing_even_if_its_watchdog_was_killed_before",
        ])
        .env(PARENT, dir.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut left = pids(&dir.path().join("dog"), 1).await;
    left.extend(pids(&dir.path().join("pids"), 2).await);
    assert!(left.iter().all(|pid| lives(*pid)), "all were in use");
    parent.kill().unwrap();
    parent.wait().unwrap();
    until(Duration::from_secs(3), "nobody is left", || {
        !left.iter().any(|pid| lives(*pid))
    })
    .await;
}

#[tokio::test]
async fn the_watchdog_leaves_last() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("pids");
    let tasks = Tasks::new();
    let watchdog = watchdog(&tasks).await;
    let pid = watchdog.pid().unwrap();
    let child = Child::spawn(&stubborn(&file), &tasks.group(), &watchdog).unwrap();
    let members = pids(&file, 2).await;
    assert_eq!(child.stop(Escalation::PROMPT).await.signal, Some(9));
    assert!(!members.iter().any(|pid| lives(*pid)));
    assert!(lives(pid));
    assert!(tasks.stop(SOON).await);
    assert!(!lives(pid));
}

#[tokio::test]
async fn the_watchdog_holds_nothing_of_its_parent() {
    let tasks = Tasks::new();
    let first = watchdog(&tasks).await;
    let mut spec = Spec::new("cat");
    (spec.stdin, spec.stdout) = (Stream::Piped, Stream::Piped);
    let mut child = Child::spawn(&spec, &tasks, &first).unwrap();
    // Started while the child's pipes are open here: it must not have inherited them.
    let second = watchdog(&tasks).await;
    let pid = second.pid().unwrap();
    assert_eq!(
        fs::read_link(format!("/proc/{pid}/fd/2")).unwrap(),
        Path::new("/dev/null")
    );
    assert_eq!(
        fs::read_link(format!("/proc/{pid}/cwd")).unwrap(),
        Path::new("/")
    );
    assert_eq!(fs::read(format!("/proc/{pid}/environ")).unwrap(), b"");

    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"hello").await.unwrap();
    drop(stdin);
    let mut said = String::new();
    let stdout = child.stdout.as_mut().unwrap();
    tokio::time::timeout(SOON, stdout.read_to_string(&mut said))
        .await
        .expect("the end of file arrives")
        .unwrap();
    assert_eq!(said, "hello");
    assert!(child.wait().await.success());
    assert!(tasks.stop(SOON).await);
}

#[tokio::test]
async fn a_program_that_is_no_watchdog_is_refused() {
    let tasks = Tasks::new();
    let foreign = Watchdog::start(Some(Path::new("/bin/sh")), &tasks).await;
    let why = foreign.unwrap_err().to_string();
    assert!(why.contains("is no watchdog (it ended at once)"), "{why}");
    let missing = Watchdog::start(Some(Path::new("/no/such/weft")), &tasks).await;
    let why = missing.unwrap_err().to_string();
    assert!(why.contains("could not be started"), "{why}");
}

#[tokio::test]
async fn a_child_is_ended_by_the_first_step_that_it_heeds() {
    let dir = tempfile::tempdir().unwrap();
    let tasks = Tasks::new();
    let watchdog = watchdog(&tasks).await;
    let steps = Escalation {
        close: Duration::from_millis(300),
        term: Duration::from_millis(300),
    };
    for (script, end) in [
        ("echo $$ > $OUT; read line; exit 3", "exit status 3"),
        ("echo $$ > $OUT; exec sleep 1000", "signal 15 (SIGTERM)"),
        (
            r#"trap "" TERM; echo $$ > $OUT; while :; do sleep 1000; done"#,
            "signal 9 (SIGKILL)",
        ),
    ] {
        let file = dir.path().join(end);
        let child = Child::spawn(&shell(script, &file), &tasks, &watchdog).unwrap();
        pids(&file, 1).await;
        let pid = child.pid();
        assert_eq!(child.stop(steps).await.to_string(), end, "{script}");
        assert!(!Path::new(&format!("/proc/{pid}")).exists(), "no zombie");
    }
    assert!(tasks.stop(SOON).await, "every owner ended");
}

#[tokio::test]
async fn whoever_goes_takes_the_group_along() {
    let dir = tempfile::tempdir().unwrap();
    let tasks = Tasks::new();
    let watchdog = watchdog(&tasks).await;
    let leaves =
        r#"(trap "" TERM; exec sleep 1000) & printf '%s\n' $$ $! > $OUT; read line; exit 3"#;

    // the leader exits by itself
    let file = dir.path().join("leader");
    let mut child = Child::spawn(&shell(leaves, &file), &tasks, &watchdog).unwrap();
    let members = pids(&file, 2).await;
    drop(child.stdin.take());
    assert_eq!(child.wait().await.to_string(), "exit status 3");
    until(SOON, "its rest went", || !lives(members[1])).await;

    // the handle is dropped
    let file = dir.path().join("handle");
    let child = Child::spawn(&stubborn(&file), &tasks, &watchdog).unwrap();
    let members = pids(&file, 2).await;
    drop(child);
    until(SOON, "the group went", || {
        !members.iter().any(|pid| lives(*pid))
    })
    .await;

    // the tasks are stopped
    let file = dir.path().join("tasks");
    let child = Child::spawn(&stubborn(&file), &tasks, &watchdog).unwrap();
    let members = pids(&file, 2).await;
    assert!(tasks.stop(SOON).await);
    assert!(!members.iter().any(|pid| lives(*pid)));
    assert_eq!(child.wait().await.signal, Some(9));
}

#[test]
fn a_runtime_that_ends_takes_its_children_along() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("pids");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let members = runtime.block_on(async {
        let tasks = Tasks::new();
        let watchdog = watchdog(&tasks).await;
        let child = Child::spawn(&stubborn(&file), &tasks, &watchdog).unwrap();
        let members = pids(&file, 2).await;
        std::mem::forget(child);
        members
    });
    drop(runtime);
    let look = tokio::runtime::Runtime::new().unwrap();
    look.block_on(until(SOON, "the group went", || {
        !members.iter().any(|pid| lives(*pid))
    }));
}

#[tokio::test]
async fn what_can_not_be_started_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let tasks = Tasks::new();
    let watchdog = watchdog(&tasks).await;
    let refused = |spec: &Spec| {
        Child::spawn(spec, &tasks, &watchdog)
            .unwrap_err()
            .to_string()
    };
    let text = dir.path().join("text");
    fs::write(&text, "no program").unwrap();
    let script = dir.path().join("script");
    fs::write(&script, "#!/no/such/interpreter\n").unwrap();
    fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();

    let mut spec = Spec::new("no-such-program");
    assert!(refused(&spec).contains("`no-such-program` in the folders of PATH:"));
    spec.env.insert("PATH".into(), "/a:/b".into());
    assert!(refused(&spec).contains("in the folders of PATH (/a:/b):"));
    assert!(refused(&Spec::new("./no/such")).contains("no program at `./no/such`"));
    assert!(refused(&Spec::new(&text)).contains("chmod +x"));
    assert!(refused(&Spec::new(dir.path())).contains("it is a folder"));
    assert!(refused(&Spec::new(&script)).contains("interpreter"));
    let mut spec = Spec::new("sh");
    spec.cwd = Some("/no/such/folder".into());
    assert!(refused(&spec).contains("no folder `/no/such/folder`"));
}

#[tokio::test]
async fn a_short_run_is_bounded_in_time_and_size() {
    let run = |script: &str, within| {
        let mut spec = Spec::new("sh");
        spec.args = vec!["-c".into(), script.into()];
        spec.inherit = Inherit::Nothing;
        spec.env.insert("MINE".into(), "only".into());
        async move { child::output(&spec, within).await }
    };
    let out = run("echo out; echo err >&2; exit 4", SOON).await.unwrap();
    assert_eq!(
        (&out.stdout[..], &out.stderr[..]),
        (&b"out\n"[..], &b"err\n"[..])
    );
    assert_eq!(out.exit.code, Some(4));
    let out = run(r#"echo "$MINE$HOME""#, SOON).await.unwrap();
    assert_eq!(out.stdout, b"only\n", "nothing of ours");
    let out = run("while :; do echo full; done", SOON).await.unwrap();
    assert_eq!(out.stdout.len(), 64 * 1024);
    let began = Instant::now();
    let late = run("sleep 1000 & wait", Duration::from_millis(300)).await;
    assert!(matches!(late, Err(OutputError::Late { .. })), "{late:?}");
    assert!(began.elapsed() < SOON);
}
