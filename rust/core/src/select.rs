//! Which candidates become latents: by what would be lost without them, not by frequency.
//!
//! The corpus is parsed with all candidates left, those whose removal would cost the fewest units are
//! dropped, and it is parsed again, until as many are left as were asked for. What a segment's removal
//! costs is exact for the segment alone: its uses times (the units that spell it without it - 1).

use rayon::prelude::*;

use crate::parse::{MatchingTrie, Unit};
use crate::runs::Runs;
use crate::segments::Segments;
use crate::trie::Candidates;

/// Of the segments above the wanted number, at most this share is dropped between two parses. Smaller is
/// slower and hardly better: removals that lean on each other are seen only by the next parse.
const DROPPED_SHARE: f64 = 0.1;

/// Runs parsed by one task of the thread pool.
const RUNS_A_TASK: usize = 256;

/// A segment that was chosen, by its index among the candidates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chosen {
    /// Index among the candidates.
    pub candidate: usize,
    /// How often the canonical parse of the corpus with all chosen segments uses it.
    pub uses: u64,
}

/// At most `size` of the candidates, those without which the most units would be lost first.
///
/// `runs` are the agent's tokens between barriers, *without* an entropy gate: that is what will be parsed.
/// Fewer are returned where fewer are of use.
pub fn select(runs: &Runs, candidates: &Candidates, size: usize) -> Vec<Chosen> {
    let mut left: Vec<usize> = (0..candidates.len()).collect();
    loop {
        let segments: Segments = left.iter().map(|&index| candidates.segments.get(index)).collect();
        let trie = MatchingTrie::new(&segments);
        let uses = count_uses(runs, &trie, segments.len());
        let losses: Vec<u64> = (0..left.len())
            .into_par_iter()
            .map(|index| uses[index] * (units_without(&trie, segments.get(index)) - 1))
            .collect();
        let mut order: Vec<usize> = (0..left.len()).collect();
        order.sort_by_key(|&index| (std::cmp::Reverse(losses[index]), index));
        let useful = order.iter().take_while(|&&index| losses[index] > 0).count();
        if useful == left.len() && useful <= size {
            return order.iter().map(|&index| Chosen { candidate: left[index], uses: uses[index] }).collect();
        }
        order.truncate(next_number(useful, size));
        order.sort_unstable();
        left = order.into_iter().map(|index| left[index]).collect();
    }
}

/// How many of `useful` segments to keep for the next parse.
fn next_number(useful: usize, size: usize) -> usize {
    let dropped = ((useful as f64 * DROPPED_SHARE) as usize).max(1);
    useful.saturating_sub(dropped).max(size).min(useful)
}

/// How often the canonical parse of all runs uses each segment.
fn count_uses(runs: &Runs, trie: &MatchingTrie, segments: usize) -> Vec<u64> {
    (0..runs.len())
        .into_par_iter()
        .with_min_len(RUNS_A_TASK)
        .fold(
            || vec![0; segments],
            |mut uses, run| {
                trie.parse(runs.segments().get(run), |unit| {
                    if let Unit::Segment { index, .. } = unit {
                        uses[index as usize] += runs.count(run);
                    }
                });
                uses
            },
        )
        .reduce(
            || vec![0; segments],
            |left, right| left.iter().zip(&right).map(|(left, right)| left + right).collect(),
        )
}

/// Units that spell `segment` with all other segments of the trie.
fn units_without(trie: &MatchingTrie, segment: &[u32]) -> u64 {
    let first = trie.longest_match_within(segment, segment.len() - 1).map_or(1, Unit::length);
    let mut units = 1;
    trie.parse(&segment[first..], |_| units += 1);
    units
}
