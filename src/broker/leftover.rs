//! A nats-server of a run before that still uses the folder. Two on one store would destroy it,
//! and nats-server itself takes no lock.

use std::{fs, path::Path, time::Duration};

use tokio::time::{Instant, sleep};

use super::{StartError, folder::Folder};
use crate::child::{self, Inherit, Spec};

/// The watchdog of a killed run has ended its server after a second; this is three times that.
const LEAVES_WITHIN: Duration = Duration::from_secs(3);
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Waits for a server of a run before to leave. One that stays is an error that names it.
pub(super) async fn wait(folder: &Folder) -> Result<(), StartError> {
    let Some(pid) = fs::read_to_string(folder.pid())
        .ok()
        .and_then(|text| text.trim().parse::<u32>().ok())
    else {
        return Ok(());
    };
    let end = Instant::now() + LEAVES_WITHIN;
    while uses(pid, &folder.configuration()).await {
        if Instant::now() >= end {
            return Err(StartError::Leftover {
                pid,
                store: folder.store(),
            });
        }
        sleep(LOOK_EVERY).await;
    }
    Ok(())
}

/// Whether this process was started with this configuration: the id alone may be another's by now.
async fn uses(pid: u32, configuration: &Path) -> bool {
    let configuration = configuration.as_os_str().as_encoded_bytes();
    let command = if Path::new("/proc/self/cmdline").exists() {
        fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default()
    } else {
        let mut ps = Spec::new("ps");
        ps.inherit = Inherit::Nothing;
        ps.args = ["-ww", "-o", "command=", "-p", &pid.to_string()]
            .map(Into::into)
            .into();
        match child::output(&ps, LEAVES_WITHIN).await {
            Ok(output) => output.stdout,
            Err(error) => {
                tracing::warn!(pid, %error, "not known whether a nats-server of before still runs");
                return false;
            }
        }
    };
    memchr::memmem::find(&command, configuration).is_some()
}
