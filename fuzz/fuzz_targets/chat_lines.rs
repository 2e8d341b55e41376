//! Any bytes are read into columns of equal length, and every line that is not blank is a record or is listed.
//!
//! ```text
//! cargo fuzz run chat_lines   (a nightly compiler, or RUSTC_BOOTSTRAP=1 with a stable one)
//! ```
#![no_main]

use arbitrary::Arbitrary;
use lar_core::chat_lines::{ChatLines, OPENING, LinePlace, count_lines};
use libfuzzer_sys::fuzz_target;

/// Whole parts of records: bytes alone hardly ever become a plain line.
const PARTS: [&str; 11] = [
    r#"{"messages": ["#,
    r#"{"role": "user", "content": "é"}"#,
    r#"{"role": "assistant", "content": "<think>a</think> b"}"#,
    r#"{"role": "assistant", "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": "{}"}}]}"#,
    r#"{"role": "tool", "tool_call_id": "1", "content": "\ud83d\ude00"}"#,
    ", ",
    "]}",
    r#"], "tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}]}"#,
    r#"], "id": "one", "task": 1, "success": true}"#,
    r#"{"model": "m", "source": "s", "messages": ["#,
    "\n",
];

#[derive(Debug, Arbitrary)]
enum Piece {
    Part(u8),
    Bytes(Vec<u8>),
}

fuzz_target!(|pieces: Vec<Piece>| {
    let block: Vec<u8> = pieces.into_iter().flat_map(bytes_of).collect();
    let found = ChatLines::read(&block, "log", LinePlace { line: 1, number: 1 });
    let plain = found.places.len();
    let records = &found.records;
    assert_eq!((plain + found.others.len()) as u64, count_lines(&block).1);
    assert_eq!(
        [records.ids.len(), records.tasks.len(), records.models.len(), records.sources.len()],
        [plain; 4]
    );
    assert_eq!([records.success.len(), records.tools.len(), records.characters.len()], [plain; 3]);
    assert_eq!(records.openings.len(), plain * OPENING);
    assert_eq!(records.messages.offsets().last().copied(), Some(found.messages.roles.len() as i32));
    assert_eq!(found.messages.contents.len(), found.messages.roles.len());
    assert_eq!(found.messages.calls.offsets().last().copied(), Some(found.calls.names.len() as i32));
    for (_, range) in &found.others {
        assert!(!block[range.clone()].trim_ascii().is_empty());
    }
});

fn bytes_of(piece: Piece) -> Vec<u8> {
    match piece {
        Piece::Part(index) => PARTS[usize::from(index) % PARTS.len()].as_bytes().to_vec(),
        Piece::Bytes(bytes) => bytes,
    }
}
