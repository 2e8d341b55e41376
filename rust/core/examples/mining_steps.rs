//! One step of mining over a file of runs, or all of them, a given number of times: for a profiler.
//!
//! ```text
//! cargo build --release --example mining_steps
//! target/release/examples/mining_steps candidates runs.u32 32768 128 5
//! ```
//!
//! The file holds 32-bit numbers, little-endian: for each run its task, its length and its tokens.

use std::hint::black_box;
use std::process::exit;
use std::sync::Arc;
use std::time::Instant;

use lar_core::Result;
use lar_core::mining::branching::branching_entropies;
use lar_core::mining::limits::Limits;
use lar_core::mining::mine::{MiningOptions, Selection, mine};
use lar_core::mining::runs::{RunFolder, Runs, Trajectories};
use lar_core::mining::trie::find_candidates;
use lar_core::tokens::barriers::Barriers;
use lar_core::tokens::bytes::TokenBytes;

const USAGE: &str = "usage: mining_steps candidates|branching|mine RUNS MOST MAX_LENGTH ROUNDS";

/// For `mine`: candidates for each segment that is chosen.
const CANDIDATES_A_SEGMENT: usize = 32;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [step, runs, most, max_length, rounds] = &arguments[..] else { fail(USAGE) };
    let number = |text: &String| text.parse().unwrap_or_else(|_| fail(USAGE));
    let limits = Limits { min_count: 2, min_support: 2, max_length: number(max_length), most: number(most) };
    let runs = Arc::new(fold(&read(runs)).unwrap_or_else(|error| fail(&error.to_string())));
    let mut seconds: Vec<f64> = (0..number(rounds)).map(|_| time(step, &runs, &limits)).collect();
    seconds.sort_by(f64::total_cmp);
    let median = seconds.get(seconds.len() / 2).copied().unwrap_or(f64::NAN);
    println!("{step}: {} tokens in runs, median {median:.3} s", runs.strings().tokens().len());
}

fn fail(message: &str) -> ! {
    eprintln!("{message}");
    exit(2)
}

fn read(path: &str) -> Vec<u32> {
    let bytes = std::fs::read(path).unwrap_or_else(|error| fail(&format!("{path}: {error}")));
    bytes.as_chunks().0.iter().map(|&number| u32::from_le_bytes(number)).collect()
}

fn fold(mut flat: &[u32]) -> Result<Runs> {
    let (mut tokens, mut offsets, mut tasks) = (Vec::new(), vec![0], Vec::new());
    while let [task, length, rest @ ..] = flat {
        let (run, rest) = rest.split_at_checked(*length as usize).unwrap_or_else(|| fail("RUNS ends early"));
        tokens.extend_from_slice(run);
        offsets.push(tokens.len());
        tasks.push(*task);
        flat = rest;
    }
    let part = Trajectories {
        tokens: &tokens,
        offsets: &offsets,
        action: &vec![true; tokens.len()],
        continues: None,
        tasks: &tasks,
    };
    let mut folder = RunFolder::default();
    folder.add(&part, &Barriers::default())?;
    Ok(folder.finish())
}

/// Mines with tokens of no text, so that no candidate cuts a character.
fn mine_all(runs: &Arc<Runs>, limits: &Limits) -> Result<Selection> {
    let size = runs.strings().tokens().iter().max().map_or(0, |&id| id as usize + 1);
    let token_bytes = TokenBytes::new(Vec::new(), vec![0; size + 1])?;
    let options = MiningOptions { size: limits.most.div_ceil(CANDIDATES_A_SEGMENT), limits: *limits };
    mine(runs, Arc::clone(runs), &token_bytes, &options, |segments| Ok(vec![false; segments.len()]))
}

fn time(step: &str, runs: &Arc<Runs>, limits: &Limits) -> f64 {
    let began = Instant::now();
    match step {
        "candidates" => {
            let found = find_candidates(runs, limits).unwrap_or_else(|error| fail(&error.to_string()));
            black_box(found.len());
        }
        "branching" => {
            let entropies = branching_entropies(runs).unwrap_or_else(|error| fail(&error.to_string()));
            black_box(entropies.len());
        }
        "mine" => {
            let mined = mine_all(runs, limits).unwrap_or_else(|error| fail(&error.to_string()));
            black_box(mined.saving());
        }
        _ => fail(USAGE),
    }
    began.elapsed().as_secs_f64()
}
