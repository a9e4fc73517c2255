//! From text to a tree of nodes, with bounds on everything that a hostile file could make large.

use serde_saphyr::Error as YamlError;
use serde_saphyr::budget::BudgetBreach;

use crate::error::{ConfigError, Position, Problem};
use crate::node::Node;

/// The largest configuration file: 1 MiB. The largest sensible one declares some thousand queues.
pub const FILE_BYTES_MAX: usize = 1 << 20;

/// Levels of nesting; the deepest sensible file has five.
const DEPTH_MAX: usize = 16;
/// Values in one file; a queue with every setting has some 25.
const NODES_MAX: usize = 200_000;

/// Reads a document; `file` is for the error.
pub(crate) fn parse(text: &str, file: &str) -> Result<Node, ConfigError> {
    let whole = |message: &str| ConfigError::new(file, None, message);
    if text.len() > FILE_BYTES_MAX {
        return Err(whole(&too_large()));
    }
    if let Some(position) = text_behind_the_end(text) {
        let message = "the document has ended with «...»; remove what follows";
        return Err(ConfigError::new(file, Some(position), message));
    }
    match serde_saphyr::from_str_with_options::<Option<Node>>(text, options()) {
        Ok(Some(node)) => Ok(node),
        Ok(None) | Err(YamlError::Eof { .. }) => Err(whole(
            "it is empty; say where metadata and items live, under queue-storage and partition-storage",
        )),
        Err(error) => Err(refusal(&error, file)),
    }
}

/// The message for a file above [`FILE_BYTES_MAX`].
pub(crate) fn too_large() -> String {
    format!("it is larger than {FILE_BYTES_MAX} bytes, the most that a configuration may have")
}

fn options() -> serde_saphyr::Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_documents: 1,
            max_depth: DEPTH_MAX,
            max_events: 3 * NODES_MAX,
            max_nodes: NODES_MAX,
            max_aliases: 0,
            max_anchors: 0,
            max_total_scalar_bytes: FILE_BYTES_MAX,
            max_merge_keys: 0,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: 0,
            max_alias_expansions_per_anchor: 0,
        },
        duplicate_keys: serde_saphyr::DuplicateKeyPolicy::Error,
        merge_keys: serde_saphyr::options::MergeKeyPolicy::Error,
        strict_booleans: true,
        reject_unsupported_tags: true,
        with_snippet: false,
    }
}

fn refusal(error: &YamlError, file: &str) -> ConfigError {
    let position = error.location().map(|location| Position {
        line: location.line(),
        column: location.column(),
    });
    let problem = match error.without_snippet() {
        YamlError::DuplicateMappingKey { key, .. } => {
            let key = key.clone().unwrap_or_default();
            let shown = key.escape_debug();
            let message = format!("the key «{shown}» stands here a second time; remove one");
            Problem {
                found: Some(key),
                ..Problem::from(message)
            }
        }
        YamlError::MultipleDocuments { .. } => Problem::from(SECOND_DOCUMENT),
        YamlError::MergeKeyNotAllowed { .. } | YamlError::UnknownAnchor { .. } => {
            Problem::from(NO_ALIASES)
        }
        YamlError::Budget { breach, .. } => Problem::from(match breach {
            BudgetBreach::Documents { .. } => SECOND_DOCUMENT.to_owned(),
            BudgetBreach::Depth { .. } => format!("it is nested deeper than {DEPTH_MAX} levels"),
            BudgetBreach::Nodes { .. } | BudgetBreach::Events { .. } => {
                format!("it has more than {NODES_MAX} values")
            }
            BudgetBreach::Anchors { .. }
            | BudgetBreach::Aliases { .. }
            | BudgetBreach::MergeKeys { .. } => NO_ALIASES.to_owned(),
            other => format!("it exceeds a limit of the reader: {other:?}"),
        }),
        YamlError::UnsupportedTag { tag, .. } => Problem {
            found: Some(tag.clone()),
            ..Problem::from(format!(
                "the tag «{}» is not known; write the value without a tag",
                tag.escape_debug()
            ))
        },
        other => {
            let text = other.to_string();
            let text = text.split(" at line ").next().unwrap_or_default();
            Problem::from(format!("this is not YAML: {text}"))
        }
    };
    ConfigError::new(file, position, problem)
}

const SECOND_DOCUMENT: &str = "a second document starts here; a configuration is one document";
const NO_ALIASES: &str =
    "anchors, aliases and merge keys are not allowed; write the value out where it is used";

/// Where text stands behind the marker of a document's end: the reader would pass over it in silence.
fn text_behind_the_end(text: &str) -> Option<Position> {
    let mut has_ended = false;
    for (index, line) in text.lines().enumerate() {
        let rest = if has_ended {
            line
        } else if let Some(rest) = line.strip_prefix("...") {
            // Four dots, or a word that begins with three, are text.
            has_ended = rest.is_empty() || rest.starts_with([' ', '\t']);
            continue;
        } else {
            continue;
        };
        let content = rest.trim_start();
        if !content.is_empty() && !content.starts_with('#') {
            return Some(Position {
                line: index as u64 + 1,
                column: (rest.chars().count() - content.chars().count()) as u64 + 1,
            });
        }
    }
    None
}
