//! Lines of OpenAI chat logs as columns, for logs that are larger than a decoder of objects can take.
//!
//! A *plain* line is one record `{"messages": [...]}` in OpenAI's form, with at most the members `id`, `task`,
//! `split_key`, `model`, `source`, `success` and `tools`. [`ChatLines::read`] makes columns of the plain lines
//! of a block and lists all others, which another reader takes. A line is plain only where no doubt is left
//! about what that other reader would make of it. A line with two members of one name, for example, is not plain.

mod columns;
mod messages;
mod opening;
mod record;
mod text;
mod tools;
mod visit;

use std::ops::Range;

use memchr::memchr;

pub use columns::{Lists, TextBuffers, Texts};
pub use opening::OPENING;

use columns::Mark;
use tools::DistinctTools;

/// Most bytes of a block: 32 bits must hold the offsets of each column.
const MOST_BYTES: usize = 1 << 30;

/// Most bytes of the ids and sources that are made of the label.
const MOST_NAMES: usize = 1 << 30;

/// The plain lines of a block as columns, and the places of all others.
///
/// ```
/// use lar_core::chat_lines::{ChatLines, LinePlace};
///
/// let block = br#"{"id": "one", "messages": [{"role": "assistant", "content": "Done."}]}
/// not a record
/// "#;
/// let lines = ChatLines::read(block, "log", LinePlace { line: 1, number: 1 });
/// assert_eq!(lines.records.ids.get(0), b"one");
/// assert_eq!(lines.messages.contents.get(0), b"Done.");
///
/// let (place, range) = &lines.others[0];
/// assert_eq!(*place, LinePlace { line: 2, number: 2 });
/// assert_eq!(&block[range.clone()], b"not a record\n");
/// ```
#[derive(Debug, Default)]
pub struct ChatLines {
    /// The plain lines.
    pub places: Vec<LinePlace>,
    /// The lines that are not plain.
    pub others: Vec<(LinePlace, Range<usize>)>,
    /// Columns of the plain lines.
    pub records: Records,
    /// Columns of their messages, end to end.
    pub messages: Messages,
    /// Columns of the calls of these messages, end to end.
    pub calls: Calls,
    /// What the agent wrote in all plain lines.
    pub agent: Agent,
    distinct_tools: DistinctTools,
}

/// A line and its record, both counted from 1 from the beginning of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinePlace {
    /// The line.
    pub line: u64,
    /// The record: the lines that are not blank, up to this one.
    pub number: u64,
}

/// One entry for each plain line.
#[derive(Debug, Default)]
pub struct Records {
    /// The id; for a record without one, the label and the number.
    pub ids: Texts,
    /// The task that the record names.
    pub tasks: Texts,
    /// Whether the task was solved, where that is recorded.
    pub success: Vec<Option<bool>>,
    /// The model.
    pub models: Texts,
    /// The source; the label where the record has no such member.
    pub sources: Texts,
    /// The index of the tools in `distinct_tools`.
    pub tools: Vec<Option<u32>>,
    /// The distinct lists of tools, as JSON text.
    pub distinct_tools: Texts,
    /// The messages of each record.
    pub messages: Lists,
    /// Characters of the contents of these.
    pub characters: Vec<u64>,
    /// [`OPENING`] bytes: how the conversation begins.
    pub openings: Vec<u8>,
}

/// One entry for each message.
#[derive(Debug, Default)]
pub struct Messages {
    /// `system`, `user`, `assistant` or `tool`.
    pub roles: Texts,
    /// The text, which may be empty.
    pub contents: Texts,
    /// The name of the speaker or of the tool.
    pub names: Texts,
    /// The call that a tool's message answers.
    pub call_ids: Texts,
    /// The calls of each message; a message without calls has none, rather than an empty list.
    pub calls: Lists,
}

/// One entry for each call of a tool.
#[derive(Debug, Default)]
pub struct Calls {
    /// The id.
    pub ids: Texts,
    /// The name of the function.
    pub names: Texts,
    /// Its arguments, as the agent wrote them.
    pub arguments: Texts,
}

/// What the agent wrote.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Agent {
    /// Messages of the agent that are not empty.
    pub turns: u64,
    /// Calls of tools.
    pub calls: u64,
    /// Characters of the contents and arguments.
    pub characters: u64,
}

/// The lines of a block of whole lines, and how many of these are not blank.
pub fn count_lines(block: &[u8]) -> (u64, u64) {
    let (mut lines, mut records, mut start) = (0, 0, 0);
    while start < block.len() {
        let range = first_line(block, start);
        lines += 1;
        records += u64::from(!is_blank_line(&block[range.clone()]));
        start = range.end;
    }
    (lines, records)
}

/// The line that begins at `start`, with its end.
fn first_line(block: &[u8], start: usize) -> Range<usize> {
    start..memchr(b'\n', &block[start..]).map_or(block.len(), |end| start + end + 1)
}

fn is_blank_line(line: &[u8]) -> bool {
    line.iter().all(|&byte| text::is_blank(byte))
}

impl ChatLines {
    /// Reads a block of whole lines.
    ///
    /// `label` names the file: in the ids of records without one, and as the source of those without one.
    /// `first` is the place of the block's first line, and of its record where that line is not blank.
    pub fn read(block: &[u8], label: &str, first: LinePlace) -> Self {
        let mut found = ChatLines::default();
        let mut place = first;
        let mut start = 0;
        let fits = block.len() <= MOST_BYTES;
        found.messages.contents.reserve(block.len());
        while start < block.len() {
            let range = first_line(block, start);
            let line = &block[range.clone()];
            start = range.end;
            if !is_blank_line(line) {
                if !(fits && found.has_room(label) && found.add(line, label, place)) {
                    found.others.push((place, range));
                }
                place.number += 1;
            }
            place.line += 1;
        }
        found
    }

    /// Whether one more record may be named after the label.
    fn has_room(&self, label: &str) -> bool {
        (label.len() + 32).saturating_mul(self.places.len() + 1) <= MOST_NAMES
    }

    /// Adds a line if it is plain; returns whether it is.
    fn add(&mut self, line: &[u8], label: &str, place: LinePlace) -> bool {
        let mark = self.mark();
        let read = std::str::from_utf8(line).ok().and_then(|text| record::read(self, text, label, place));
        match read {
            Some(agent) => {
                self.agent.add(agent);
                self.places.push(place);
                true
            }
            None => {
                self.cut(mark);
                false
            }
        }
    }

    fn mark(&self) -> Mark {
        Mark { records: self.places.len(), messages: self.messages.roles.len(), calls: self.calls.ids.len() }
    }

    /// Drops what was added after the mark.
    fn cut(&mut self, mark: Mark) {
        let Records { ids, tasks, success, models, sources, tools, messages, characters, openings, .. } =
            &mut self.records;
        for column in [ids, tasks, models, sources] {
            column.cut(mark.records);
        }
        success.truncate(mark.records);
        tools.truncate(mark.records);
        messages.cut(mark.records);
        characters.truncate(mark.records);
        openings.truncate(mark.records * OPENING);
        let Messages { roles, contents, names, call_ids, calls } = &mut self.messages;
        for column in [roles, contents, names, call_ids] {
            column.cut(mark.messages);
        }
        calls.cut(mark.messages);
        let Calls { ids, names, arguments } = &mut self.calls;
        for column in [ids, names, arguments] {
            column.cut(mark.calls);
        }
    }
}

impl Agent {
    fn add(&mut self, other: Agent) {
        self.turns += other.turns;
        self.calls += other.calls;
        self.characters += other.characters;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: LinePlace = LinePlace { line: 11, number: 5 };
    const TALK: &str =
        r#"[{"role": "user", "content": "é"}, {"content": "<think>a</think> b\n", "role": "assistant"}]"#;

    #[test]
    fn plain_lines_become_columns_and_others_keep_their_places() {
        let odd = r#"{"messages": [{"role": "assistant", "content": "lost"}], "id": 1, "id": 2}"#;
        let block = format!("{{\"messages\": {TALK}}}\n \t\n{odd}\n{{\"id\": 7, \"messages\": {TALK}}}");
        let mut found = ChatLines::read(block.as_bytes(), "log", FIRST);
        assert_eq!(found.places, [FIRST, LinePlace { line: 14, number: 7 }]);
        let (place, range) = found.others[0].clone();
        assert_eq!((place.line, place.number, &block[range]), (13, 6, &*format!("{odd}\n")));
        assert_eq!(count_lines(block.as_bytes()), (4, 3));
        assert_eq!(found.records.ids.take().data, b"log:57");
        assert_eq!(found.records.messages.offsets(), [0, 2, 4]);
        assert_eq!(found.messages.contents.get(3), b"<think>a</think> b\n");
        assert_eq!(found.records.characters, [20, 20]);
        assert_eq!(found.agent, Agent { turns: 2, calls: 0, characters: 38 });
        assert_eq!(found.records.openings.len(), 2 * OPENING);
    }

    #[test]
    fn a_line_is_plain_only_without_a_doubt() {
        let reply = r#""messages": [{"role": "assistant", "content": "a"}]"#;
        let plain = |line: &str| !ChatLines::read(line.as_bytes(), "log", FIRST).places.is_empty();
        for line in ["", r#""id": 3, "#, r#""task": "", "#, r#""success": null, "#, r#""tools": [], "#] {
            assert!(plain(&format!("{{{line}{reply}}}")), "{line}");
        }
        let others = [
            r#""note": "n", "#,
            r#""id": 1.0, "#,
            r#""id": -0, "#,
            r#""id": 18446744073709551616, "#,
            r#""success": 1, "#,
            r#""task": "a", "split_key": "b", "#,
            r#""model": "\ud83d", "#,
            r#""tools": "[]", "#,
            r#""messages": [], "#,
        ];
        for line in others {
            assert!(!plain(&format!("{{{line}{reply}}}")), "{line}");
        }
        for message in
            [r#"{"role": "user", "content": "a"}"#, r#"{"role": "assistant"}"#, r#"{"role": "ai"}"#]
        {
            assert!(!plain(&format!(r#"{{"messages": [{message}]}}"#)), "{message}");
        }
    }
}
