//! What of a server in quarantine is shown: its own status, with what is approved alone.

use std::{collections::BTreeSet, sync::Arc};

use crate::{
    adapter::{State, Status},
    mcp::tools::{Tool, ToolList},
    name::ServerName,
};

/// Tools that a reason names.
const NAMED_MAX: usize = 5;

/// What the control plane said of a list.
#[derive(Debug)]
pub(super) struct Verdict {
    pub(super) list: Arc<ToolList>,
    pub(super) held: BTreeSet<String>,
}

/// The status while nobody knows what is approved: not up yet. That is no error before a question
/// had no answer.
pub(super) fn hide(own: &Status, why: Option<&str>) -> Status {
    let mut hidden = own.clone();
    if own.is_up() {
        hidden.state = State::Starting;
        let unanswered = |why| {
            format!("its tools are in quarantine until it is known which are approved: {why}")
        };
        hidden.last_error = why.map(unanswered).or(hidden.last_error);
    }
    hidden.tools = Arc::default();
    hidden
}

/// The status with what is approved alone. Of a newer list than the one that was asked about, that
/// is what is the same in both.
pub(super) fn limit(mut own: Status, verdict: &Verdict, server: &ServerName) -> Status {
    let passes = |tool: &&Tool| {
        let known = verdict.list.get(&tool.name);
        let is_same = known.is_some_and(|known| known.digest == tool.digest);
        is_same && !verdict.held.contains(&tool.name)
    };
    let mut names = BTreeSet::new();
    let tools = own.tools.tools.iter().filter(passes);
    // Of two with one name the first counts.
    let tools = tools.filter(|tool| names.insert(tool.name.as_str()));
    own.tools = Arc::new(ToolList {
        tools: tools.cloned().collect(),
        complete: own.tools.complete,
    });
    if !verdict.held.is_empty() && own.state == State::Healthy {
        own.state = State::Degraded;
        let held: Vec<&str> = verdict.held.iter().map(String::as_str).collect();
        let names = held[..held.len().min(NAMED_MAX)].join(", ");
        own.last_error = Some(format!(
            "{} of its tools are in quarantine, as they are not what was approved ({names}): \
             `weft approve {server}`",
            held.len()
        ));
    }
    own
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mcp::tools::Page;

    fn list(tools: &str) -> Arc<ToolList> {
        let page = Page::read(&format!(r#"{{"tools":{tools}}}"#)).expect("a page");
        Arc::new(ToolList {
            tools: page.tools,
            complete: true,
        })
    }

    fn status(tools: &Arc<ToolList>) -> Status {
        Status {
            state: State::Healthy,
            tools: Arc::clone(tools),
            ..Status::starting()
        }
    }

    fn shown(own: &Arc<ToolList>, asked: &Arc<ToolList>, held: &[&str]) -> (State, Vec<String>) {
        let verdict = Verdict {
            list: Arc::clone(asked),
            held: held.iter().map(|name| (*name).to_owned()).collect(),
        };
        let server = ServerName::new("gh").expect("a name");
        let status = limit(status(own), &verdict, &server);
        let names = status.tools.tools.iter().map(|tool| tool.name.clone());
        (status.state, names.collect())
    }

    #[test]
    fn what_is_approved_is_shown_and_nothing_else() {
        let asked = list(r#"[{"name":"a"},{"name":"b"}]"#);
        assert_eq!(
            shown(&asked, &asked, &[]),
            (State::Healthy, vec!["a".into(), "b".into()])
        );
        assert_eq!(
            shown(&asked, &asked, &["b"]),
            (State::Degraded, vec!["a".into()])
        );
        let newer = list(r#"[{"name":"a","title":"x"},{"name":"b"},{"name":"c"}]"#);
        assert_eq!(
            shown(&newer, &asked, &[]),
            (State::Healthy, vec!["b".into()])
        );
        let twice = list(r#"[{"name":"a"},{"name":"a","title":"x"}]"#);
        assert_eq!(
            shown(&twice, &twice, &[]),
            (State::Healthy, vec!["a".into()])
        );
    }

    #[test]
    fn until_there_is_an_answer_nothing_is_shown() {
        let own = status(&list(r#"[{"name":"a"}]"#));
        assert_eq!(hide(&own, None).last_error, None, "nobody was asked yet");
        let hidden = hide(&own, Some("no control plane"));
        assert!(!hidden.is_up() && hidden.tools.tools.is_empty());
        assert!(
            hidden
                .last_error
                .expect("a reason")
                .contains("no control plane")
        );
    }
}
