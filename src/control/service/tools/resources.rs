//! The tools about shared resources.

use super::{
    RESOURCE_APPEND, RESOURCE_BEGIN, RESOURCE_COMMIT, RESOURCE_LIST, RESOURCE_READ,
    RESOURCE_REGISTER, RESOURCE_REMOVE, RESOURCE_UPDATE, ToolDefinition, define,
};
use crate::resource as r;

pub(super) fn definitions() -> Vec<ToolDefinition> {
    vec![
        define::<r::Register, r::Shown>(
            RESOURCE_REGISTER,
            "Register a resource",
            "Registers a resource of the caller's whose content has at most 512 KiB, or takes the place of a version of one. Needs write:resources/weft/{uri}; to take its place, being its owner or in its list is enough.",
            false,
        ),
        define::<r::Begin, r::Begun>(
            RESOURCE_BEGIN,
            "Begin to register a large resource",
            "Begins to register a resource in parts, or to take the place of a version of one: resource_append sends the parts, resource_commit makes them the resource. Nothing of it is visible before. Needs what resource_register needs.",
            false,
        ),
        define::<r::Append, r::Appended>(
            RESOURCE_APPEND,
            "Send a part",
            "Stores a part of an upload of the caller's, in any order; the same part may come again.",
            false,
        ),
        define::<r::Commit, r::Shown>(
            RESOURCE_COMMIT,
            "Register what was sent",
            "Checks the SHA-256 of all parts of an upload of the caller's and makes them the resource. Needs what resource_register needs, now.",
            false,
        ),
        define::<r::Update, r::Shown>(
            RESOURCE_UPDATE,
            "Change a resource",
            "Changes type, metadata or list of a resource, not its content. Needs write:resources/weft/{uri}, being its owner or in its list; for the list of others' admin:resources/weft/{uri}.",
            false,
        ),
        define::<r::Read, r::Shown>(
            RESOURCE_READ,
            "Read a resource",
            "Gives a resource with at most 512 KiB of its content from an offset: as text where it is UTF-8, else as base64. Needs read:resources/weft/{uri}, being its owner or in its list.",
            true,
        ),
        define::<r::List, r::Page>(
            RESOURCE_LIST,
            "List resources",
            "Lists the resources that the caller may read, by name, without their contents.",
            true,
        ),
        define::<r::Remove, r::Removed>(
            RESOURCE_REMOVE,
            "Remove a resource",
            "Removes a resource and its content. Needs write:resources/weft/{uri}, being its owner or in its list.",
            false,
        ),
    ]
}
