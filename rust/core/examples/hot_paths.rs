//! Runs one hot path over a file of ids several times, for an instruction counter or a profiler.
//!
//! ```text
//! cargo build --release --example hot_paths
//! valgrind --tool=callgrind target/release/examples/hot_paths encode ids.u32 segments.u32 151936 3
//! ```
//!
//! Files contain 32-bit little-endian numbers: IDS the ids, SEGMENTS for each segment its length and its
//! tokens. The cost of a token follows from two counts with different rounds, as in
//! `benches/hot_paths/encoding.py`.

use std::hint::black_box;
use std::process::exit;
use std::time::Instant;

use lar_core::vocabulary::align::AlignedRoom;
use lar_core::{Result, Segments, Vocabulary};

const USAGE: &str = "usage: hot_paths encode|expand|align IDS SEGMENTS BASE_SIZE ROUNDS";

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [path, ids, segments, base_size, rounds] = &arguments[..] else { fail(USAGE) };
    let base_size = base_size.parse().unwrap_or_else(|_| fail("BASE_SIZE is not a number of ids"));
    let rounds: usize = rounds.parse().unwrap_or_else(|_| fail("ROUNDS is not a number"));
    let vocabulary = Vocabulary::new(base_size, segments_of(&read(segments)));
    let vocabulary = vocabulary.unwrap_or_else(|error| fail(&error.to_string()));
    let seconds = run(path, &vocabulary, &read(ids), rounds).unwrap_or_else(|error| fail(&error.to_string()));
    println!("{path}: {:.1} M tokens/s in the fastest round", read(ids).len() as f64 / seconds / 1e6);
}

fn fail(message: &str) -> ! {
    eprintln!("{message}");
    exit(2)
}

fn read(path: &str) -> Vec<u32> {
    let bytes = std::fs::read(path).unwrap_or_else(|error| fail(&format!("{path}: {error}")));
    bytes.as_chunks().0.iter().map(|&number| u32::from_le_bytes(number)).collect()
}

fn segments_of(mut flat: &[u32]) -> Segments {
    let mut segments = Segments::default();
    while let Some((&length, rest)) = flat.split_first() {
        let (segment, rest) =
            rest.split_at_checked(length as usize).unwrap_or_else(|| fail("SEGMENTS ends early"));
        segments.push(segment);
        flat = rest;
    }
    segments
}

/// Seconds of the fastest of `rounds`.
fn run(path: &str, vocabulary: &Vocabulary, ids: &[u32], rounds: usize) -> Result<f64> {
    let mut parsed = vec![0; ids.len()];
    let written = vocabulary.encode_into(ids, &mut parsed)?;
    let units = parsed[..written].to_vec();
    let (mut tokens, mut action, mut starts) =
        (vec![0; ids.len()], vec![false; ids.len()], vec![0; ids.len() + 1]);
    // The speakers alternate every hundred tokens.
    let speakers: Vec<bool> = (0..ids.len()).map(|position| position / 100 % 2 == 1).collect();
    let mut fastest = f64::INFINITY;
    for _ in 0..rounds {
        let began = Instant::now();
        match path {
            "encode" => black_box(vocabulary.encode_into(ids, &mut parsed)?),
            "expand" => {
                // Callers compute the length first, to allocate the tokens.
                let length = vocabulary.expanded_length(&units)?;
                vocabulary.expand_into(&units, &mut tokens[..length])?;
                black_box(length)
            }
            "align" => {
                let room = AlignedRoom { units: &mut parsed, action: &mut action, starts: &mut starts };
                black_box(vocabulary.align_into(ids, &speakers, &[0, ids.len()], room)?)
            }
            _ => fail(USAGE),
        };
        fastest = fastest.min(began.elapsed().as_secs_f64());
    }
    Ok(fastest)
}
