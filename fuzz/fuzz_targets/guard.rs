//! A guard excludes exactly the units that would overtake one more start, whatever was written before.
//!
//! ```text
//! cargo fuzz run guard        (a nightly compiler, or RUSTC_BOOTSTRAP=1 with a stable one)
//! ```
#![no_main]

use std::sync::Arc;

use arbitrary::Arbitrary;
use lar_core::tokens::barriers::Barriers;
use lar_core::tokens::bytes::TokenBytes;
use lar_core::vocabulary::guard::{CanonicalGuard, GuardTable};
use lar_core::{Error, Segments, Vocabulary};
use libfuzzer_sys::fuzz_target;

#[derive(Debug, Arbitrary)]
struct Input {
    /// The bytes of each base token.
    tokens: Vec<Vec<u8>>,
    segments: Vec<Vec<u8>>,
    barriers: Vec<u8>,
    units: Vec<u8>,
}

fuzz_target!(|input: Input| {
    let Some(table) = table_of(&input) else { return };
    let size = table.vocabulary().size();
    let mut guard = CanonicalGuard::new(Arc::new(table));
    for &unit in input.units.iter().take(32) {
        let overtaking = |unit: &u32| {
            let mut next = guard.clone();
            next.push(*unit).unwrap();
            next.overtaken() > guard.overtaken()
        };
        assert_eq!(guard.excluded(), (0..size).filter(overtaking).collect::<Vec<_>>());
        let (before, overtaken) = (guard.units(), guard.overtaken());
        match guard.push(unit.into()) {
            Ok(()) => assert_eq!(guard.units(), before + 1),
            Err(error) => {
                assert_eq!(error, Error::IdOutOfRange { id: unit.into(), position: before, size });
                assert_eq!((guard.units(), guard.overtaken()), (before, overtaken));
            }
        }
    }
});

/// Few letters, so that texts overlap; None for segments that make no vocabulary.
fn table_of(input: &Input) -> Option<GuardTable> {
    let texts: Vec<Vec<u8>> = input.tokens.iter().take(64).map(|text| letters(text)).collect();
    let offsets = (0..=texts.len()).map(|end| texts[..end].concat().len()).collect();
    let token_bytes = TokenBytes::new(texts.concat(), offsets).ok()?;
    let ids = |segment: &Vec<u8>| segment.iter().map(|&id| u32::from(id)).collect::<Vec<_>>();
    let segments: Vec<Vec<u32>> = input.segments.iter().take(32).map(ids).collect();
    let segments: Segments = segments.iter().map(Vec::as_slice).collect();
    let vocabulary = Vocabulary::new(token_bytes.size(), segments).ok()?;
    GuardTable::new(Arc::new(vocabulary), token_bytes, Barriers::new(&ids(&input.barriers)).ok()?).ok()
}

fn letters(text: &[u8]) -> Vec<u8> {
    text.iter().map(|byte| b"abc \xC3\xA9"[usize::from(byte % 6)]).collect()
}
