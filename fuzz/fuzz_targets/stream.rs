//! A stream gives the whole text, however it is cut into units, up to its stop string and its budget.
//!
//! ```text
//! cargo fuzz run stream       (a nightly compiler, or RUSTC_BOOTSTRAP=1 with a stable one)
//! ```
#![no_main]

use std::sync::Arc;

use arbitrary::Arbitrary;
use lar_core::stream::expander::Expander;
use lar_core::stream::stop_strings::StopStrings;
use lar_core::stream::{Budget, Finish, Piece, Stream};
use lar_core::tokens::bytes::TokenBytes;
use lar_core::{Segments, Vocabulary};
use libfuzzer_sys::fuzz_target;

#[derive(Debug, Arbitrary)]
enum Limit {
    None,
    Units(u8),
    BaseTokens(u8),
}

#[derive(Debug, Arbitrary)]
struct Input {
    /// The text in units; base ids are bytes.
    chunks: Vec<Vec<u8>>,
    stops: Vec<String>,
    limit: Limit,
}

fuzz_target!(|input: Input| {
    let chunks: Vec<&[u8]> =
        input.chunks.iter().map(Vec::as_slice).filter(|chunk| !chunk.is_empty()).collect();
    let stops: Vec<&str> = input.stops.iter().map(String::as_str).filter(|stop| !stop.is_empty()).collect();
    let (expander, units) = units_of(&chunks);
    let budget = match input.limit {
        Limit::None => Budget::Unlimited,
        Limit::Units(units) => Budget::Units(u64::from(units)),
        Limit::BaseTokens(tokens) => Budget::BaseTokens(u64::from(tokens)),
    };
    let (streamed, finish) =
        say(Stream::new(expander, Arc::new(StopStrings::new(&stops).unwrap()), budget), &units);
    let (text, spent) = within(&chunks, budget);
    let cut = first_stop(&text, &stops);
    assert_eq!(streamed, String::from_utf8_lossy(&text[..cut.unwrap_or(text.len())]));
    match finish {
        Some(Finish::Stop(index)) => {
            assert!(text[cut.unwrap()..].starts_with(stops[index].as_bytes()));
        }
        Some(Finish::Length) => assert!(spent && cut.is_none()),
        _ => assert!(!spent && cut.is_none()),
    }
});

/// A latent for each chunk of two or more bytes.
fn units_of(chunks: &[&[u8]]) -> (Arc<Expander>, Vec<u32>) {
    let mut distinct: Vec<&[u8]> = chunks.iter().copied().filter(|chunk| chunk.len() > 1).collect();
    distinct.sort_unstable();
    distinct.dedup();
    let mut segments = Segments::default();
    for chunk in &distinct {
        segments.push(&chunk.iter().map(|&byte| u32::from(byte)).collect::<Vec<_>>());
    }
    let vocabulary = Arc::new(Vocabulary::new(256, segments).unwrap());
    let token_bytes = TokenBytes::new((0..=255).collect(), (0..=256).collect()).unwrap();
    let expander = Expander::new(vocabulary, token_bytes).unwrap();
    let unit =
        |chunk: &&[u8]| distinct.binary_search(chunk).map_or(u32::from(chunk[0]), |index| 256 + index as u32);
    (Arc::new(expander), chunks.iter().map(unit).collect())
}

/// The whole text of a stream with its flushed text, and why it ended before the flush.
fn say(mut stream: Stream, units: &[u32]) -> (String, Option<Finish>) {
    let mut streamed = String::new();
    for &unit in units {
        if stream.finish().is_some() {
            break;
        }
        match stream.push(unit).unwrap() {
            Piece::Own(unit) => streamed.push_str(stream.expander().own_text(unit).unwrap()),
            Piece::Other(text) => streamed.push_str(&text),
        }
    }
    let finish = stream.finish();
    streamed.push_str(&stream.flush());
    (streamed, finish)
}

/// The bytes within a budget, and whether they spend it.
fn within(chunks: &[&[u8]], budget: Budget) -> (Vec<u8>, bool) {
    match budget {
        Budget::Unlimited => (chunks.concat(), false),
        Budget::Units(units) => {
            let units = units as usize;
            (chunks[..units.min(chunks.len())].concat(), chunks.len() >= units)
        }
        Budget::BaseTokens(tokens) => {
            let (text, tokens) = (chunks.concat(), tokens as usize);
            let length = text.len();
            (text[..tokens.min(length)].to_vec(), length >= tokens)
        }
    }
}

/// The start of the first complete stop string; the longest, if several are complete at once.
fn first_stop(text: &[u8], stops: &[&str]) -> Option<usize> {
    (0..=text.len()).find_map(|end| {
        let complete = stops.iter().filter(|stop| text[..end].ends_with(stop.as_bytes()));
        complete.map(|stop| end - stop.len()).min()
    })
}
