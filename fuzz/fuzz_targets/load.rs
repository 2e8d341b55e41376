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
    base_size: u32,
    tokens: Vec<u32>,
    offsets: Vec<usize>,
    bytes: Vec<u8>,
    byte_offsets: Vec<usize>,
}

fuzz_target!(|input: Input| {
    let Input { base_size, tokens, offsets, bytes, byte_offsets } = input;
    if let Ok(token_bytes) = TokenBytes::new(bytes.clone(), byte_offsets.clone()) {
        let again: Vec<u8> = (0..token_bytes.size()).flat_map(|id| token_bytes.get(id).to_vec()).collect();
        assert_eq!(again, bytes);
    }
    let Ok(segments) = Segments::from_flat(tokens.clone(), offsets) else { return };
    assert_eq!(segments.tokens(), tokens);
    // The tables grow with the base ids.
    let Ok(vocabulary) = Vocabulary::new(base_size % (1 << 16), segments) else { return };
    let latents: Vec<u32> = (vocabulary.base_size()..vocabulary.size()).collect();
    assert_eq!(vocabulary.expand(&latents).unwrap(), tokens);
    if let Ok(expander) = Expander::new(Arc::new(vocabulary), bytes, byte_offsets) {
        expander.text(&latents).unwrap();
    }
});
