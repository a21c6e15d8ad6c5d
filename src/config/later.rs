//! Keys that the design names and this version does not do. Taken in silence they would promise
//! what does not happen; called unknown they would look misspelt.

/// Section (the serde name of its type), key, and what it will do.
const PLANNED: &[(&str, &str, &str)] = &[
    ("Config", "pipelines", "pipelines"),
    ("Server", "replicas", "several processes of one server"),
    ("Server", "restart", "restart rules"),
    ("Nats", "replicas", "replicated streams"),
];

/// What a key of a later version will do, where it is one.
pub(crate) fn planned(section: &str, key: &str) -> Option<&'static str> {
    PLANNED
        .iter()
        .find(|(of, name, _)| *of == section && *name == key)
        .map(|(_, _, what)| *what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_planned_key_is_refused_in_these_words() {
        for (section, key, _) in PLANNED {
            let text = match *section {
                "Config" => format!("{key}: 1"),
                "Server" => format!("servers: {{ a: {{ command: x, {key}: 1 }} }}"),
                section => format!("{}: {{ {key}: 1 }}", section.to_lowercase()),
            };
            let problem = crate::config::tests::refusal(&text);
            assert!(problem.contains("is not in this version"), "{problem}");
        }
    }
}
