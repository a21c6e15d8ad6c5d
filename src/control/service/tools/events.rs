//! The tools about events: reading them, durable subscriptions, dead letters.

use super::{
    CONSUMER_LIST, CONSUMER_MEND, CONSUMER_OPEN, CONSUMER_REMOVE, DLQ_DROP, DLQ_LIST, DLQ_REDRIVE,
    DLQ_SHOW, EVENT_OPEN, EVENT_TYPES, REPLAY_DELIVER, ToolDefinition, define, shapes,
};
use crate::event::{
    ConsumerMend, ConsumerMended, ConsumerNamed, ConsumerOpen, ConsumerOpened, ConsumerPage,
    ConsumerRemoved, Declared, LetterGet, LetterList, LetterPage, LetterShown, LettersDone,
    LettersNamed, Open, Opened, ReplayDeliver, ReplayDelivered,
};

pub(super) fn of_events() -> Vec<ToolDefinition> {
    vec![
        define::<shapes::Nothing, Declared>(
            EVENT_TYPES,
            "Which events there may be",
            "Lists the domains and the types of events that the deployment declares beyond Weft's own catalogue, each type with the JSON Schema of its data.",
            true,
        ),
        define::<Open, Opened>(
            EVENT_OPEN,
            "Read a stream of events",
            "Has a stream push its events to weft.v1.dlv.{caller}.{deliver}, from where the caller says; one reader a stream. Needs subscribe:events/{source}/{type} for all that is asked for; replay:events/{source}/{type} for a replay.",
            true,
        ),
    ]
}

pub(super) fn of_durables() -> Vec<ToolDefinition> {
    vec![
        define::<ConsumerOpen, ConsumerOpened>(
            CONSUMER_OPEN,
            "Open a durable subscription",
            "Opens a durable of the caller's, or changes how it hands out its events: pull from each of its streams, on a connection that was made after this. Needs subscribe:events/{source}/{type} for all that is asked for.",
            false,
        ),
        define::<shapes::Nothing, ConsumerPage>(
            CONSUMER_LIST,
            "List durable subscriptions",
            "Lists the caller's durables and how far each is on each stream; everybody's for who has read:mesh/consumers.",
            true,
        ),
        define::<ConsumerNamed, ConsumerRemoved>(
            CONSUMER_REMOVE,
            "Remove a durable subscription",
            "Removes a durable of the caller's. Its place in its streams is lost; the events stay.",
            false,
        ),
        define::<ConsumerMend, ConsumerMended>(
            CONSUMER_MEND,
            "Look for unreadable events",
            "Looks through what a durable was handed and did not answer for events whose headers no client can read. Each becomes a dead letter of the durable. For a reader that lost its connection.",
            false,
        ),
        define::<ReplayDeliver, ReplayDelivered>(
            REPLAY_DELIVER,
            "Deliver events once more",
            "Delivers events to one durable once more, marked as replays, and to no other reader. Needs replay:events/{source}/{type} for each; for another's durable admin:mesh/dlq too.",
            false,
        ),
    ]
}

pub(super) fn of_letters() -> Vec<ToolDefinition> {
    vec![
        define::<LetterList, LetterPage>(
            DLQ_LIST,
            "List dead letters",
            "Lists events that durables gave up, the oldest first: the caller's own durables', everybody's for who has read:mesh/dlq.",
            true,
        ),
        define::<LetterGet, LetterShown>(
            DLQ_SHOW,
            "Show a dead letter",
            "Shows one dead letter, and its event where the caller may see that. Another's needs read:mesh/dlq.",
            true,
        ),
        define::<LettersNamed, LettersDone>(
            DLQ_REDRIVE,
            "Deliver dead letters once more",
            "Delivers the event of each dead letter to its durable once more, and to no other reader; the letter is gone then. Another's needs admin:mesh/dlq.",
            false,
        ),
        define::<LettersNamed, LettersDone>(
            DLQ_DROP,
            "Drop dead letters",
            "Removes dead letters. Their events stay in their streams. Another's needs admin:mesh/dlq.",
            false,
        ),
    ]
}
