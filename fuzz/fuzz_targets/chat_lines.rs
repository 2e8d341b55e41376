//! Any bytes are read into columns of equal length, and every line that is not blank is a record or is listed.
//!
//! ```text
//! cargo fuzz run chat_lines   (a nightly compiler, or RUSTC_BOOTSTRAP=1 with a stable one)
//! ```
#![no_main]

use lar_core::chat_lines::{ChatLines, OPENING, Place, count_lines};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|block: &[u8]| {
    let found = ChatLines::read(block, "log", Place { line: 1, number: 1 });
    let plain = found.places.len();
    let records = &found.records;
    assert_eq!((plain + found.others.len()) as u64, count_lines(block).1);
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
