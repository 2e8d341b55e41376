//! How a conversation begins, as digests: conversations that begin alike may repeat one another.

use std::ops::Range;

use blake2b_simd::Params;

use super::text::is_space;
use super::{Calls, Messages};

/// Bytes of an opening: digests of the first message but the system's, of the first two and of the task, 8
/// bytes each; how many of the two messages there are; whether the record is one call of a model; whether it
/// may be a repetition.
pub const OPENING: usize = 27;

const DIGEST: usize = 16;
const KEPT: usize = 8;

/// What the opening of a record holds beside its messages.
pub(super) struct Opening<'a> {
    /// The task, where the record names one; else its digest is zero.
    pub(super) task: Option<&'a str>,
    /// Whether its result is recorded: such a run is an attempt of its own.
    pub(super) has_result: bool,
}

impl Opening<'_> {
    /// Appends the opening of a whole run.
    pub(super) fn write(
        &self,
        into: &mut Vec<u8>,
        messages: &Messages,
        calls: &Calls,
        of_record: Range<usize>,
    ) {
        let mut digest: Vec<u8> = Vec::new();
        let mut links = 0;
        let mut kept = [[0; KEPT]; 2];
        let spoken = |&message: &usize| messages.roles.get(message) != b"system";
        for message in of_record.filter(spoken).take(2) {
            let repeated = repeated(messages, calls, message);
            digest = Params::new().hash_length(DIGEST).key(&digest).hash(&repeated).as_bytes().to_vec();
            kept[links].copy_from_slice(&digest[..KEPT]);
            links += 1;
        }
        into.extend(kept.concat());
        match self.task {
            Some(task) => into.extend(Params::new().hash_length(KEPT).hash(task.as_bytes()).as_bytes()),
            None => into.extend([0; KEPT]),
        }
        into.extend([links as u8, 0, u8::from(!self.has_result && links > 0)]);
    }
}

/// What of a message a later request repeats.
fn repeated(messages: &Messages, calls: &Calls, message: usize) -> Vec<u8> {
    let role = messages.roles.get(message);
    let content = trimmed(messages.contents.get(message));
    let mut found = role.to_vec();
    found.push(0);
    if role != b"assistant" {
        found.extend(content.as_bytes());
        return found;
    }
    found.extend(without_thought(content).as_bytes());
    for call in messages.calls.get(message) {
        found.push(0);
        found.extend(calls.names.get(call));
        found.push(0);
        let arguments = as_text(calls.arguments.get(call));
        found.extend(arguments.split(is_space).flat_map(str::bytes));
    }
    found
}

/// A text of a column, which is UTF-8.
fn as_text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or_default()
}

fn trimmed(text: &[u8]) -> &str {
    as_text(text).trim_matches(is_space)
}

/// A content without the thought that it begins with.
fn without_thought(content: &str) -> &str {
    let thought = content.strip_prefix("<think>").and_then(|rest| rest.split_once("</think>"));
    thought.map_or(content, |(_, rest)| rest.trim_matches(is_space))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thought_that_is_not_closed_stays() {
        assert_eq!(without_thought("<think>a</think> b</think>"), "b</think>");
        assert_eq!(without_thought("<think>a <think>"), "<think>a <think>");
        assert_eq!(without_thought("a<think>b</think>"), "a<think>b</think>");
    }
}
