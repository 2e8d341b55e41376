//! The parse of any tokens with any segments is leftmost-longest, and its expansion is exact.
//!
//! ```text
//! cargo fuzz run parse        (a nightly compiler, or RUSTC_BOOTSTRAP=1 with a stable one)
//! ```
#![no_main]

use std::collections::BTreeSet;

use arbitrary::Arbitrary;
use lar_core::{Error, Segments, Vocabulary};
use libfuzzer_sys::fuzz_target;

#[derive(Debug, Arbitrary)]
struct Input {
    base_size: u32,
    segments: Vec<Vec<u8>>,
    tokens: Vec<u8>,
    /// Arbitrary tokens, also large ones and ids that are not base ids.
    wild: Vec<(u8, u32)>,
    action: Vec<bool>,
    cuts: Vec<u16>,
}

fuzz_target!(|input: Input| {
    let distinct: BTreeSet<Vec<u32>> = input.segments.iter().map(|segment| ids(segment)).collect();
    let segments: Vec<Vec<u32>> = distinct.into_iter().collect();
    let Ok(vocabulary) =
        Vocabulary::new(input.base_size, segments.iter().map(Vec::as_slice).collect::<Segments>())
    else {
        return;
    };
    let mut tokens = ids(&input.tokens);
    for &(place, token) in &input.wild {
        if let Some(place) = tokens.get_mut(usize::from(place)) {
            *place = token;
        }
    }
    check_parse(&vocabulary, &segments, &tokens);
    check_units(&vocabulary, &tokens);
    if tokens.iter().all(|&token| token < input.base_size) {
        check_alignment(&vocabulary, &tokens, &input.action, &input.cuts);
    }
});

/// Few different ids, so that segments occur.
fn ids(bytes: &[u8]) -> Vec<u32> {
    bytes.iter().map(|&byte| u32::from(byte % 8)).collect()
}

fn check_parse(vocabulary: &Vocabulary, segments: &[Vec<u32>], tokens: &[u32]) {
    let outside = tokens.iter().position(|&token| token >= vocabulary.base_size());
    match (vocabulary.encode(tokens), outside) {
        (Err(Error::IdOutOfRange { position, .. }), Some(first)) => assert_eq!(position, first),
        (Ok(units), None) => {
            assert_eq!(units, parse_by_definition(vocabulary.base_size(), segments, tokens));
            assert_eq!(vocabulary.expand(&units).unwrap(), tokens);
        }
        (result, outside) => panic!("{result:?} where {outside:?} is the first wrong id"),
    }
}

fn parse_by_definition(base_size: u32, segments: &[Vec<u32>], tokens: &[u32]) -> Vec<u32> {
    let mut units = Vec::new();
    let mut rest = tokens;
    while let Some(&first) = rest.first() {
        let matching = segments.iter().enumerate().filter(|(_, segment)| rest.starts_with(segment));
        let (unit, length) = matching
            .max_by_key(|(_, segment)| segment.len())
            .map_or((first, 1), |(index, segment)| (base_size + index as u32, segment.len()));
        units.push(unit);
        rest = &rest[length..];
    }
    units
}

/// Arbitrary ids, read as units.
fn check_units(vocabulary: &Vocabulary, units: &[u32]) {
    let expected: Option<Vec<u32>> = units.iter().try_fold(Vec::new(), |mut tokens, unit| {
        match vocabulary.segment(*unit) {
            Some(segment) => tokens.extend_from_slice(segment),
            None if *unit < vocabulary.base_size() => tokens.push(*unit),
            None => return None,
        }
        Some(tokens)
    });
    assert_eq!(vocabulary.expand(units).ok(), expected);
}

fn check_alignment(vocabulary: &Vocabulary, tokens: &[u32], action: &[bool], cuts: &[u16]) {
    let action: Vec<bool> =
        (0..tokens.len()).map(|position| action.get(position / 5).copied().unwrap_or_default()).collect();
    let mut offsets: Vec<usize> = cuts.iter().map(|&cut| usize::from(cut) % (tokens.len() + 1)).collect();
    offsets.extend([0, tokens.len()]);
    offsets.sort_unstable();
    let aligned = vocabulary.align(tokens, &action, &offsets).unwrap();
    let mut units = Vec::new();
    let mut starts = Vec::new();
    let mut begin = 0;
    for end in 1..=tokens.len() {
        if end == tokens.len() || action[end] != action[begin] || offsets.binary_search(&end).is_ok() {
            for unit in vocabulary.encode(&tokens[begin..end]).unwrap() {
                starts.push(begin as i64);
                begin += vocabulary.segment(unit).map_or(1, <[u32]>::len);
                units.push(unit);
            }
        }
    }
    starts.push(tokens.len() as i64);
    assert_eq!((aligned.units, aligned.starts.clone()), (units, starts));
    let speakers: Vec<bool> =
        aligned.starts[..aligned.action.len()].iter().map(|&start| action[start as usize]).collect();
    assert_eq!(aligned.action, speakers);
}
