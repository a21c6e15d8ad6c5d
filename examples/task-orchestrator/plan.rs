//! Requirements become tasks: with ids, an order and a count.

use schemars::JsonSchema;
use serde::Serialize;

use crate::priority::Priority;

/// A title says what to do; the document says the rest.
const TITLE_CHARS: usize = 160;

/// What stands around a requirement. Numbers are places in the list of requirements.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Order {
    /// The item it is a part of: that one is done when all its parts are.
    pub(crate) parent: Option<usize>,
    /// The numbered step before it.
    pub(crate) after: Option<usize>,
}

/// One thing that a document asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Requirement {
    pub(crate) title: String,
    pub(crate) priority: Priority,
    pub(crate) section: String,
    pub(crate) order: Order,
}

impl Default for Requirement {
    fn default() -> Self {
        Self {
            title: String::new(),
            priority: Priority::Medium,
            section: String::new(),
            order: Order::default(),
        }
    }
}

/// Result of `parse_prd`.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Plan {
    /// Where the content came from, as the caller named it.
    pub(crate) source: String,
    /// Tasks found; `tasks` holds the first of them.
    pub(crate) total: usize,
    /// In the order of the document.
    pub(crate) tasks: Vec<Task>,
    /// How many of `tasks` have each priority, for a chart.
    pub(crate) chart_data: ChartData,
    /// Options for that chart.
    pub(crate) chart_options: ChartOptions,
}

/// One task.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Task {
    /// The source and a number: the same content gives the same ids.
    pub(crate) id: String,
    /// What to do.
    pub(crate) title: String,
    /// How urgent it is.
    pub(crate) priority: Priority,
    /// Ids of the tasks to finish before this one.
    pub(crate) depends_on: Vec<String>,
    /// The heading it stands under; empty above the first.
    pub(crate) section: String,
}

/// Labels and values of equal number, as `generate_chart` takes them.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ChartData {
    /// The priorities.
    pub(crate) labels: Vec<String>,
    /// Tasks of each.
    pub(crate) values: Vec<usize>,
}

/// Options as `generate_chart` takes them.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ChartOptions {
    /// Title of the chart.
    pub(crate) title: String,
}

/// Tasks out of requirements; at most `tasks_max` of them are told.
///
/// The dependencies have no circle: a part waits for its earlier siblings only, never for the
/// item it belongs to.
pub(crate) fn plan(source: &str, requirements: &[Requirement], tasks_max: usize) -> Plan {
    let told = requirements.len().min(tasks_max);
    let mut needs: Vec<Vec<usize>> = vec![Vec::new(); requirements.len()];
    for (number, requirement) in requirements.iter().enumerate() {
        needs[number].extend(requirement.order.after);
        if let Some(parent) = requirement.order.parent {
            needs[parent].push(number);
        }
    }
    let prefix = slug(source);
    let id = |number: usize| format!("{prefix}-{}", number + 1);
    let tasks: Vec<Task> = requirements[..told]
        .iter()
        .zip(needs)
        .enumerate()
        .map(|(number, (requirement, needs))| Task {
            id: id(number),
            title: shortened(&requirement.title),
            priority: requirement.priority,
            // What is not told cannot be waited for.
            depends_on: needs.into_iter().filter(|n| *n < told).map(id).collect(),
            section: requirement.section.clone(),
        })
        .collect();
    let values = Priority::ALL.map(|grade| tasks.iter().filter(|t| t.priority == grade).count());
    Plan {
        source: source.to_owned(),
        total: requirements.len(),
        tasks,
        chart_data: ChartData {
            labels: Priority::ALL.map(|grade| grade.name().to_owned()).into(),
            values: values.into(),
        },
        chart_options: ChartOptions {
            title: format!("Tasks from {source} by priority"),
        },
    }
}

impl Plan {
    /// The tasks under their sections, for a person or a model that reads text only.
    pub(crate) fn text(&self) -> String {
        if self.tasks.is_empty() {
            return format!(
                "No tasks in {}: a list item is one, and a sentence with must, should or may.",
                self.source
            );
        }
        let mut text = format!(
            "{} of {} tasks from {}:\n",
            self.tasks.len(),
            self.total,
            self.source
        );
        let mut section = "";
        for task in &self.tasks {
            if task.section != section {
                section = &task.section;
                text.push_str(&format!("\n{section}\n"));
            }
            let after = match task.depends_on.join(", ") {
                none if none.is_empty() => none,
                ids => format!(" (after {ids})"),
            };
            let Task { id, title, .. } = task;
            text.push_str(&format!(
                "- {id} [{}] {title}{after}\n",
                task.priority.name()
            ));
        }
        text
    }
}

/// Lower-case letters, digits and single hyphens: fit for an id whatever the source is called.
fn slug(source: &str) -> String {
    let words: Vec<String> = source
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_ascii_lowercase)
        .collect();
    if words.is_empty() {
        "task".to_owned()
    } else {
        words.join("-")
    }
}

fn shortened(title: &str) -> String {
    if title.chars().count() <= TITLE_CHARS {
        return title.to_owned();
    }
    let kept: String = title.chars().take(TITLE_CHARS - 1).collect();
    format!("{}…", kept.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requirement(parent: Option<usize>, after: Option<usize>) -> Requirement {
        Requirement {
            title: "t".to_owned(),
            order: Order { parent, after },
            ..Requirement::default()
        }
    }

    fn depends(plan: &Plan) -> Vec<Vec<&str>> {
        let tasks = plan.tasks.iter();
        tasks
            .map(|task| task.depends_on.iter().map(String::as_str).collect())
            .collect()
    }

    #[test]
    fn a_whole_waits_for_its_parts_and_a_step_for_the_one_before() {
        let found = [
            requirement(None, None),
            requirement(Some(0), None),
            requirement(Some(0), Some(1)),
            requirement(None, Some(0)),
        ];
        let plan = plan("My PRD!", &found, 10);
        assert_eq!(
            depends(&plan),
            [
                vec!["my-prd-2", "my-prd-3"],
                vec![],
                vec!["my-prd-2"],
                vec!["my-prd-1"]
            ]
        );
    }

    #[test]
    fn a_cut_plan_says_so_and_waits_for_nothing_it_does_not_tell() {
        let found = [requirement(None, None), requirement(Some(0), None)];
        let plan = plan("¿?", &found, 1);
        assert_eq!((plan.total, plan.tasks.len()), (2, 1));
        assert_eq!(plan.tasks[0].id, "task-1");
        assert_eq!(depends(&plan), [Vec::<&str>::new()]);
        assert!(plan.text().starts_with("1 of 2 tasks from ¿?:"));
    }

    #[test]
    fn the_chart_counts_every_told_task_once() {
        let plan = plan("prd", &vec![requirement(None, None); 5], 3);
        assert_eq!(plan.chart_data.labels, ["high", "medium", "low"]);
        assert_eq!(plan.chart_data.values, [0, 3, 0]);
    }
}
