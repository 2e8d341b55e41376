//! Candidates: the segments that recur in enough occurrences and enough tasks.
//!
//! A suffix trie over the distinct runs, grown depth first and only below nodes that are frequent enough.
//! Both conditions are anti-monotone (an extension occurs in no more places and tasks than what it
//! extends), so nothing is missed. A node is held as the list of positions where its string begins, never
//! as an object: the memory is one 32-bit position a token and the path being grown.

use std::ops::Range;

use rayon::prelude::*;

use crate::error::{Error, Result, check_length};
use crate::runs::Runs;
use crate::segments::Segments;

/// Ends every run; no token id is as large, since base ids and latents fit 32 bits together.
const END: u32 = u32::MAX;

/// How frequent a segment must be.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Fewest occurrences.
    pub min_count: u64,
    /// Fewest distinct tasks.
    pub min_support: u32,
    /// Longest segment in tokens.
    pub max_length: usize,
}

/// Segments with their exact frequencies.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Candidates {
    /// The segments, ascending by token ids.
    pub segments: Segments,
    /// Occurrences of each, overlapping ones included.
    pub counts: Vec<u64>,
    /// Distinct tasks in which each occurs.
    pub supports: Vec<u32>,
}

impl Candidates {
    /// Takes flat arrays over, after checking that they fit together.
    ///
    /// # Errors
    /// If there is not one count and one support for each segment, or the segments do not ascend.
    pub fn from_parts(segments: Segments, counts: Vec<u64>, supports: Vec<u32>) -> Result<Candidates> {
        check_length("counts", counts.len(), segments.len())?;
        check_length("supports", supports.len(), segments.len())?;
        match (1..segments.len()).find(|&index| segments.get(index - 1) >= segments.get(index)) {
            Some(candidate) => Err(Error::UnorderedCandidates { candidate }),
            None => Ok(Candidates { segments, counts, supports }),
        }
    }

    /// Number of candidates.
    pub fn len(&self) -> usize {
        self.counts.len()
    }

    /// Whether there is no candidate at all.
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    /// The candidates for which `keep` is true.
    ///
    /// # Errors
    /// If `keep` has not one entry for each candidate.
    pub fn filter(&self, keep: &[bool]) -> Result<Candidates> {
        crate::error::check_length("keep", keep.len(), self.len())?;
        let mut kept = Candidates::default();
        for index in (0..self.len()).filter(|&index| keep[index]) {
            kept.push(self.segments.get(index), self.counts[index], self.supports[index]);
        }
        Ok(kept)
    }

    fn push(&mut self, segment: &[u32], count: u64, support: u32) {
        self.segments.push(segment);
        self.counts.push(count);
        self.supports.push(support);
    }

    fn append(&mut self, other: &Candidates) {
        for (index, segment) in other.segments.iter().enumerate() {
            self.push(segment, other.counts[index], other.supports[index]);
        }
    }
}

/// All *closed* segments of two or more tokens within `limits`: those that no further token to the left
/// or to the right would extend without losing an occurrence.
///
/// # Errors
/// If the distinct runs hold more tokens than 32-bit positions reach.
pub fn find_candidates(runs: &Runs, limits: &Limits) -> Result<Candidates> {
    find_candidates_from(runs, limits, 0..END)
}

/// Those of [`find_candidates`] whose first token lies within `first_tokens`.
///
/// They stand in the same order, so the parts for neighbouring ranges, put together, are the whole.
///
/// # Errors
/// If the distinct runs hold more tokens than 32-bit positions reach.
pub fn find_candidates_from(runs: &Runs, limits: &Limits, first_tokens: Range<u32>) -> Result<Candidates> {
    let text = Text::new(runs)?;
    let mut positions = text.positions_by_first_token(first_tokens);
    let parts: Vec<Candidates> = positions
        .par_chunk_by_mut(|&left, &right| text.token(left, 0) == text.token(right, 0))
        .map_init(|| Grower::new(&text, limits), Grower::candidates_below)
        .collect();
    let mut candidates = Candidates::default();
    for part in &parts {
        candidates.append(part);
    }
    Ok(candidates)
}

/// The distinct runs end to end, with an `END` before the first and after each.
struct Text<'a> {
    tokens: Vec<u32>,
    run_of: Vec<u32>,
    runs: &'a Runs,
}

impl<'a> Text<'a> {
    fn new(runs: &'a Runs) -> Result<Self> {
        let length = runs.segments().tokens().len() + runs.len() + 1;
        if length > END as usize {
            return Err(Error::TooManyTokens { length });
        }
        let mut text = Text { tokens: Vec::with_capacity(length), run_of: Vec::with_capacity(length), runs };
        text.tokens.push(END);
        text.run_of.push(0);
        for (index, run) in runs.segments().iter().enumerate() {
            text.tokens.extend_from_slice(run);
            text.tokens.push(END);
            text.run_of.resize(text.tokens.len(), index as u32);
        }
        Ok(text)
    }

    fn token(&self, position: u32, depth: usize) -> u32 {
        self.tokens[position as usize + depth]
    }

    fn previous(&self, position: u32) -> u32 {
        self.tokens[position as usize - 1]
    }

    fn run(&self, position: u32) -> usize {
        self.run_of[position as usize] as usize
    }

    /// Every position of one of `first_tokens` (`END` is none), ordered by the token that stands there.
    fn positions_by_first_token(&self, first_tokens: Range<u32>) -> Vec<u32> {
        let mut keyed: Vec<u64> = (0..self.tokens.len() as u32)
            .filter(|&position| first_tokens.contains(&self.token(position, 0)))
            .map(|position| keyed_position(self.token(position, 0), position))
            .collect();
        keyed.par_sort_unstable();
        keyed.into_iter().map(|keyed| keyed as u32).collect()
    }
}

fn keyed_position(token: u32, position: u32) -> u64 {
    u64::from(token) << 32 | u64::from(position)
}

/// Grows the trie below one first token at a time; its buffers live from one to the next.
struct Grower<'a> {
    text: &'a Text<'a>,
    limits: &'a Limits,
    path: Vec<u32>,
    found: Candidates,
    keyed: Vec<u64>,
    /// The last `epoch` in which each task was counted.
    stamps: Vec<u32>,
    epoch: u32,
}

impl<'a> Grower<'a> {
    fn new(text: &'a Text<'a>, limits: &'a Limits) -> Self {
        let tasks = (0..text.runs.len()).filter_map(|run| text.runs.tasks(run).last()).max();
        Grower {
            text,
            limits,
            path: Vec::new(),
            found: Candidates::default(),
            keyed: Vec::new(),
            stamps: vec![0; tasks.map_or(0, |&task| task as usize + 1)],
            epoch: 0,
        }
    }

    fn candidates_below(&mut self, positions: &mut [u32]) -> Candidates {
        if let Some((count, support)) = self.frequency(positions) {
            self.path.push(self.text.token(positions[0], 0));
            self.grow(positions, count, support);
            self.path.pop();
        }
        std::mem::take(&mut self.found)
    }

    /// Visits the node whose string is `path`, which begins at `positions`.
    fn grow(&mut self, positions: &mut [u32], count: u64, support: u32) {
        let depth = self.path.len();
        let may_grow = depth < self.limits.max_length;
        self.order_by_token(positions, depth);
        let extends_right = may_grow && self.is_always_followed_by_one_token(positions, depth);
        if depth >= 2 && !extends_right && !self.is_always_preceded_by_one_token(positions) {
            self.found.push(&self.path, count, support);
        }
        if !may_grow {
            return;
        }
        let text = self.text;
        for child in
            positions.chunk_by_mut(|&left, &right| text.token(left, depth) == text.token(right, depth))
        {
            let token = text.token(child[0], depth);
            if token == END {
                continue;
            }
            if let Some((count, support)) = self.frequency(child) {
                self.path.push(token);
                self.grow(child, count, support);
                self.path.pop();
            }
        }
    }

    /// Occurrences and support of the string at `positions`, None where either is too small.
    fn frequency(&mut self, positions: &[u32]) -> Option<(u64, u32)> {
        let count = positions.iter().map(|&position| self.text.runs.count(self.text.run(position))).sum();
        if count < self.limits.min_count {
            return None;
        }
        let support = self.support(positions);
        (support >= self.limits.min_support).then_some((count, support))
    }

    fn support(&mut self, positions: &[u32]) -> u32 {
        self.epoch += 1;
        let mut support = 0;
        let mut last_run = usize::MAX;
        for run in positions.iter().map(|&position| self.text.run(position)) {
            if run == last_run {
                continue;
            }
            last_run = run;
            for &task in self.text.runs.tasks(run) {
                if self.stamps[task as usize] != self.epoch {
                    self.stamps[task as usize] = self.epoch;
                    support += 1;
                }
            }
        }
        support
    }

    fn is_always_preceded_by_one_token(&self, positions: &[u32]) -> bool {
        let first = self.text.previous(positions[0]);
        first != END && positions.iter().all(|&position| self.text.previous(position) == first)
    }

    /// Whether all `positions`, which are in order of the token at `depth`, have the same one there.
    fn is_always_followed_by_one_token(&self, positions: &[u32], depth: usize) -> bool {
        let first = self.text.token(positions[0], depth);
        first != END && first == self.text.token(positions[positions.len() - 1], depth)
    }

    /// Orders positions by the token at `depth`, then by position; most nodes have one child and need no sort.
    fn order_by_token(&mut self, positions: &mut [u32], depth: usize) {
        let first = self.text.token(positions[0], depth);
        if positions.iter().all(|&position| self.text.token(position, depth) == first) {
            return;
        }
        self.keyed.clear();
        let text = self.text;
        self.keyed
            .extend(positions.iter().map(|&position| keyed_position(text.token(position, depth), position)));
        self.keyed.sort_unstable();
        for (position, keyed) in positions.iter_mut().zip(&self.keyed) {
            *position = *keyed as u32;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runs::{Barriers, RunFolder, Trajectories};
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};

    type Frequencies = BTreeMap<Vec<u32>, (u64, u32)>;

    fn runs_of(parts: &[(Vec<u32>, u32)]) -> Runs {
        let mut folder = RunFolder::default();
        for (tokens, task) in parts {
            let part = Trajectories {
                tokens,
                offsets: &[0, tokens.len()],
                action: &vec![true; tokens.len()],
                continues: None,
                tasks: &[*task],
            };
            folder.add(&part, &Barriers::new(&[0])).unwrap();
        }
        folder.finish()
    }

    /// Every substring of every run, counted one by one.
    fn brute_force(parts: &[(Vec<u32>, u32)], limits: &Limits) -> Frequencies {
        let mut seen: BTreeMap<Vec<u32>, (u64, BTreeSet<u32>)> = BTreeMap::new();
        for (tokens, task) in parts {
            for run in tokens.split(|&token| token == 0) {
                for start in 0..run.len() {
                    for end in start + 1..=run.len().min(start + limits.max_length) {
                        let entry = seen.entry(run[start..end].to_vec()).or_default();
                        entry.0 += 1;
                        entry.1.insert(*task);
                    }
                }
            }
        }
        let all: Frequencies = seen
            .into_iter()
            .map(|(segment, (count, tasks))| (segment, (count, tasks.len() as u32)))
            .collect();
        let extended = |segment: &[u32], count: u64| {
            all.iter().any(|(other, &(other_count, _))| {
                other_count == count
                    && other.len() == segment.len() + 1
                    && (other[1..] == *segment || other[..segment.len()] == *segment)
            })
        };
        let frequent = |segment: &Vec<u32>, &(count, support): &(u64, u32)| {
            segment.len() >= 2
                && count >= limits.min_count
                && support >= limits.min_support
                && !extended(segment, count)
        };
        all.iter()
            .filter(|(segment, frequency)| frequent(segment, frequency))
            .map(|(s, f)| (s.clone(), *f))
            .collect()
    }

    fn as_map(candidates: &Candidates) -> Frequencies {
        let entry = |(index, segment): (usize, &[u32])| {
            (segment.to_vec(), (candidates.counts[index], candidates.supports[index]))
        };
        candidates.segments.iter().enumerate().map(entry).collect()
    }

    #[test]
    fn one_tasks_retries_are_no_support() {
        let parts = [(vec![1, 2, 3], 0), (vec![1, 2, 3], 0), (vec![1, 2, 4], 1)];
        let limits = Limits { min_count: 2, min_support: 2, max_length: 8 };
        let candidates = find_candidates(&runs_of(&parts), &limits).unwrap();
        assert_eq!(as_map(&candidates), Frequencies::from([(vec![1, 2], (3, 2))]));
    }

    proptest! {
        #[test]
        fn counts_supports_and_closedness_equal_a_brute_force_count(
            parts in prop::collection::vec((prop::collection::vec(0u32..4, 0..24), 0u32..3), 0..6),
            min_count in 1u64..4,
            min_support in 1u32..3,
        ) {
            // Longer than any run: at the longest length closedness to the right is not looked for.
            let limits = Limits { min_count, min_support, max_length: 24 };
            let candidates = find_candidates(&runs_of(&parts), &limits).unwrap();
            prop_assert_eq!(as_map(&candidates), brute_force(&parts, &limits));
            prop_assert_eq!(candidates.len(), as_map(&candidates).len());
        }

        #[test]
        fn ranges_of_first_tokens_put_together_are_the_whole(
            parts in prop::collection::vec((prop::collection::vec(0u32..6, 0..24), 0u32..3), 0..6),
            mut cuts in prop::collection::vec(0u32..8, 0..4),
        ) {
            let runs = runs_of(&parts);
            let limits = Limits { min_count: 2, min_support: 1, max_length: 24 };
            cuts.extend([0, u32::MAX]);
            cuts.sort_unstable();
            let mut together = Candidates::default();
            for cut in cuts.windows(2) {
                together.append(&find_candidates_from(&runs, &limits, cut[0]..cut[1]).unwrap());
            }
            prop_assert_eq!(&together, &find_candidates(&runs, &limits).unwrap());
            let Candidates { segments, counts, supports } = together.clone();
            prop_assert_eq!(Candidates::from_parts(segments, counts, supports), Ok(together));
        }
    }
}
