//! What the control plane is asked and told of a server's tools.

use std::collections::BTreeSet;

use crate::{
    error::Error,
    mcp::tools::{Tool, ToolList},
    mesh::Mesh,
    name::ServerName,
    registry::approval::{
        Digested, NAME_MAX, TOOLS_MAX, ToolCheck, ToolTell, ToolTold, ToolsChecked, WORDS_MAX,
    },
};

/// Tools whose words are told at a time: 256 KiB at most.
const TOGETHER: usize = 8;

/// Asks which of these tools are not approved, and tells what they say where nobody has so far.
pub(super) async fn ask(
    mesh: &Mesh,
    server: &ServerName,
    quarantine: bool,
    list: &ToolList,
) -> Result<BTreeSet<String>, Error> {
    let mut names = BTreeSet::new();
    let each = list.tools.iter();
    let each: Vec<&Tool> = each.filter(|tool| names.insert(&tool.name)).collect();
    let asked = each.iter().filter(|tool| tool.name.len() <= NAME_MAX);
    let digested = |tool: &&Tool| Digested {
        name: tool.name.clone(),
        digest: tool.digest.clone(),
    };
    let tools: Vec<Digested> = asked.take(TOOLS_MAX).map(digested).collect();
    let asked: BTreeSet<String> = tools.iter().map(|tool| tool.name.clone()).collect();
    let question = ToolCheck {
        server: server.to_string(),
        quarantine,
        tools,
    };
    let checked: ToolsChecked = mesh.control("tool_check", &question).await?;
    let wanted: BTreeSet<&String> = checked.wanted.iter().collect();
    let words = each.iter().filter(|tool| wanted.contains(&tool.digest));
    let words = words.map(|tool| tool.definition());
    let words: Vec<String> = words.filter(|words| words.len() <= WORDS_MAX).collect();
    for definitions in words.chunks(TOGETHER) {
        let told = ToolTell {
            server: server.to_string(),
            definitions: definitions.to_vec(),
        };
        let kept: ToolTold = mesh.control("tool_tell", &told).await?;
        tracing::debug!(%server, kept = kept.kept, "the words of tools are on record");
    }
    let unasked = each.iter().map(|tool| tool.name.clone());
    let unasked = unasked.filter(|name| !asked.contains(name));
    let held = checked.held.into_iter().map(|held| held.name);
    Ok(held.chain(unasked).collect())
}
