//! Any flat arrays are refused with an error or become a vocabulary of exactly these segments.
//!
//! ```text
//! cargo fuzz run load         (a nightly compiler, or RUSTC_BOOTSTRAP=1 with a stable one)
//! ```
#![no_main]

use std::sync::Arc;

use arbitrary::Arbitrary;
use lar_core::stream::expander::Expander;
use lar_core::tokens::bytes::TokenBytes;
use lar_core::{Segments, Vocabulary};
use libfuzzer_sys::fuzz_target;

#[derive(Debug, Arbitrary)]
struct Input {
    /// None: the number of tokens that have bytes.
    base_size: Option<u16>,
    tokens: Vec<u32>,
    segments: Offsets,
    bytes: Vec<u8>,
    base_tokens: Offsets,
}

/// Offsets that fit, but for those that are overwritten.
#[derive(Debug, Arbitrary)]
struct Offsets {
    lengths: Vec<u8>,
    wild: Vec<(u8, usize)>,
}

fuzz_target!(|input: Input| {
    let tokens: Vec<u32> = input.tokens.iter().map(|&token| mostly_small(token)).collect();
    let offsets = input.segments.within(tokens.len());
    let byte_offsets = input.base_tokens.within(input.bytes.len());
    let bytes = input.bytes;
    let base_size = input.base_size.map_or(byte_offsets.len() as u32 - 1, u32::from);
    let token_bytes = TokenBytes::new(bytes.clone(), byte_offsets);
    if let Ok(token_bytes) = &token_bytes {
        let again: Vec<u8> = (0..token_bytes.size()).flat_map(|id| token_bytes.get(id).to_vec()).collect();
        assert_eq!(again, bytes);
    }
    let Ok(segments) = Segments::from_flat(tokens.clone(), offsets) else { return };
    assert_eq!(segments.tokens(), tokens);
    let Ok(vocabulary) = Vocabulary::new(base_size, segments) else { return };
    let latents: Vec<u32> = (vocabulary.base_size()..vocabulary.size()).collect();
    assert_eq!(vocabulary.expand(&latents).unwrap(), tokens);
    let expander = token_bytes.and_then(|bytes| Expander::new(Arc::new(vocabulary), bytes));
    if let Ok(expander) = expander {
        expander.text(&latents).unwrap();
    }
});

/// One token in 16 is any number: of the others, enough are base ids for vocabularies to be made.
fn mostly_small(token: u32) -> u32 {
    if token >> 28 == 15 { token } else { token % 16 }
}

impl Offsets {
    fn within(&self, end: usize) -> Vec<usize> {
        let mut offsets = vec![0];
        for &length in &self.lengths {
            offsets.push(end.min(offsets[offsets.len() - 1] + usize::from(length % 8)));
        }
        offsets.push(end);
        for &(place, offset) in &self.wild {
            if let Some(place) = offsets.get_mut(usize::from(place)) {
                *place = offset;
            }
        }
        offsets
    }
}
