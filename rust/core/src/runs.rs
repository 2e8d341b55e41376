//! The runs of a corpus: maximal stretches of action tokens that may continue one another, folded
//! into distinct runs with their counts and tasks.
//!
//! Logs repeat themselves: after folding, all later work grows with the distinct runs only. Counts and
//! task sets add up, so parts of a corpus can be folded apart and merged.

use std::hash::Hasher;

use hashbrown::HashTable;
use rayon::prelude::*;
use rustc_hash::FxHasher;

use crate::error::{Error, Result, check_length, check_offsets};
use crate::segments::Segments;

/// A set of token ids that no segment may contain.
#[derive(Debug, Clone, Default)]
pub struct Barriers {
    words: Vec<u64>,
}

impl Barriers {
    /// The set of the given ids.
    pub fn new(ids: &[u32]) -> Self {
        let mut words = vec![0; ids.iter().max().map_or(0, |&id| id as usize / 64 + 1)];
        for &id in ids {
            words[id as usize / 64] |= 1 << (id % 64);
        }
        Barriers { words }
    }

    /// Whether `id` is a barrier.
    pub fn contains(&self, id: u32) -> bool {
        self.words.get(id as usize / 64).is_some_and(|word| word >> (id % 64) & 1 == 1)
    }
}

/// Part of a corpus as flat arrays: trajectory `i` is `tokens[offsets[i]..offsets[i + 1]]`.
#[derive(Debug, Clone, Copy)]
pub struct Trajectories<'a> {
    /// Base ids, end to end.
    pub tokens: &'a [u32],
    /// Where each trajectory begins, and the end of the last.
    pub offsets: &'a [usize],
    /// Whether the agent wrote the token; as long as `tokens`.
    pub action: &'a [bool],
    /// Whether the token may *continue* a segment; as long as `tokens`. None: every token may.
    pub continues: Option<&'a [bool]>,
    /// The task of each trajectory.
    pub tasks: &'a [u32],
}

impl Trajectories<'_> {
    pub(crate) fn check(&self) -> Result<()> {
        check_offsets(self.offsets, self.tokens.len())?;
        check_length("action", self.action.len(), self.tokens.len())?;
        if let Some(continues) = self.continues {
            check_length("continues", continues.len(), self.tokens.len())?;
        }
        check_length("tasks", self.tasks.len(), self.offsets.len() - 1)
    }

    fn runs_of(&self, trajectory: usize, barriers: &Barriers) -> Vec<FoundRun> {
        let range = self.offsets[trajectory]..self.offsets[trajectory + 1];
        let continues = self.continues.map(|may| &may[range.clone()]);
        let task = self.tasks[trajectory];
        let mut runs = Vec::new();
        for_each_run(
            &self.tokens[range.clone()],
            &self.action[range.clone()],
            continues,
            barriers,
            |run, at| {
                let start = range.start + at;
                runs.push(FoundRun { start, end: start + run.len(), hash: hash(run), task });
            },
        );
        runs
    }
}

/// Calls `visit` with each maximal run of one trajectory's tokens and where it begins.
///
/// A run ends before a token that is not the agent's or is a barrier, and before a token that may not
/// continue a segment (which then begins the next run). Single tokens are runs too.
fn for_each_run(
    tokens: &[u32],
    action: &[bool],
    continues: Option<&[bool]>,
    barriers: &Barriers,
    mut visit: impl FnMut(&[u32], usize),
) {
    let mut start = 0;
    for position in 0..=tokens.len() {
        let eligible = position < tokens.len() && action[position] && !barriers.contains(tokens[position]);
        if eligible && (position == start || continues.is_none_or(|may| may[position])) {
            continue;
        }
        if position > start {
            visit(&tokens[start..position], start);
        }
        start = if eligible { position } else { position + 1 };
    }
}

/// Distinct runs, each with the number of its occurrences and the tasks that it occurs in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Runs {
    segments: Segments,
    counts: Vec<u64>,
    tasks: Segments,
}

impl Runs {
    /// Takes apart what [`Runs::segments`], [`Runs::counts`] and [`Runs::task_sets`] gave, after checking it.
    ///
    /// # Errors
    /// If there is not one count and one set of tasks for each run, or a set is not ascending.
    pub fn from_parts(segments: Segments, counts: Vec<u64>, tasks: Segments) -> Result<Runs> {
        check_length("counts", counts.len(), segments.len())?;
        check_length("tasks", tasks.len(), segments.len())?;
        let unordered = |tasks: &[u32]| tasks.windows(2).any(|pair| pair[0] >= pair[1]);
        if let Some(run) = (0..tasks.len()).find(|&run| unordered(tasks.get(run))) {
            return Err(Error::UnorderedTasks { run });
        }
        Ok(Runs { segments, counts, tasks })
    }

    /// Number of distinct runs.
    pub fn len(&self) -> usize {
        self.counts.len()
    }

    /// Whether there is no run at all.
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    /// The tokens of every distinct run, in the order of their first occurrence.
    pub fn segments(&self) -> &Segments {
        &self.segments
    }

    /// How often run `index` occurs.
    pub fn count(&self, index: usize) -> u64 {
        self.counts[index]
    }

    /// How often each run occurs.
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// The tasks of every run, ascending.
    pub fn task_sets(&self) -> &Segments {
        &self.tasks
    }

    /// The tasks in which run `index` occurs, ascending.
    pub fn tasks(&self, index: usize) -> &[u32] {
        self.tasks.get(index)
    }

    /// The runs that are left when each distinct run is cut before every token that may not continue one.
    ///
    /// # Errors
    /// If `continues` is not as long as the tokens of the distinct runs end to end.
    pub fn split(&self, continues: &[bool]) -> Result<Runs> {
        check_length("continues", continues.len(), self.segments.tokens().len())?;
        let mut folder = RunFolder::default();
        let nothing = Barriers::default();
        for (index, range) in self.segments.offsets().windows(2).enumerate() {
            let run = self.segments.get(index);
            let may = Some(&continues[range[0]..range[1]]);
            for_each_run(run, &vec![true; run.len()], may, &nothing, |part, _| {
                folder.add_run(part, self.count(index), self.tasks(index).iter().copied());
            });
        }
        Ok(folder.finish())
    }

    /// One distinct run in `step`.
    pub(crate) fn every(&self, step: usize) -> Runs {
        let places = || (0..self.len()).step_by(step);
        Runs {
            segments: places().map(|run| self.segments.get(run)).collect(),
            counts: places().map(|run| self.counts[run]).collect(),
            tasks: places().map(|run| self.tasks.get(run)).collect(),
        }
    }

    /// Tokens in all occurrences of all runs.
    pub fn total_tokens(&self) -> u64 {
        self.segments.iter().zip(&self.counts).map(|(run, count)| run.len() as u64 * count).sum()
    }
}

/// Folds equal runs into one as they come.
#[derive(Default)]
pub struct RunFolder {
    segments: Segments,
    counts: Vec<u64>,
    /// (run, task) for each occurrence, but for immediate repetitions; sorted and deduplicated at the end.
    occurrences: Vec<(u32, u32)>,
    /// The hash of each distinct run, and its index.
    index: HashTable<(u64, u32)>,
}

/// Trajectories whose runs are found and hashed by one task of the thread pool.
const TRAJECTORIES_A_TASK: usize = 64;

/// Where a run lies among the tokens of a part of a corpus.
struct FoundRun {
    start: usize,
    end: usize,
    hash: u64,
    task: u32,
}

impl RunFolder {
    /// Adds every run of part of a corpus.
    ///
    /// # Errors
    /// If the arrays do not fit together.
    pub fn add(&mut self, part: &Trajectories<'_>, barriers: &Barriers) -> Result<()> {
        part.check()?;
        let trajectories: Vec<usize> = (0..part.tasks.len()).collect();
        let found: Vec<Vec<FoundRun>> = trajectories
            .par_chunks(TRAJECTORIES_A_TASK)
            .map(|chunk| chunk.iter().flat_map(|&trajectory| part.runs_of(trajectory, barriers)).collect())
            .collect();
        for FoundRun { start, end, hash, task } in found.into_iter().flatten() {
            self.add_hashed(&part.tokens[start..end], hash, 1, std::iter::once(task));
        }
        Ok(())
    }

    /// Adds all that another folder has seen, as if its runs had been added here.
    pub fn merge(&mut self, other: RunFolder) {
        self.add_runs(&other.finish());
    }

    /// Adds runs that are folded already, as if what they were folded from had been added here.
    pub fn add_runs(&mut self, runs: &Runs) {
        for (index, run) in runs.segments.iter().enumerate() {
            self.add_run(run, runs.count(index), runs.tasks(index).iter().copied());
        }
    }

    /// Bytes that the folder holds now, room for more included.
    pub fn memory(&self) -> usize {
        self.segments.memory()
            + self.counts.capacity() * size_of::<u64>()
            + self.occurrences.capacity() * size_of::<(u32, u32)>()
            + self.index.allocation_size()
    }

    /// The distinct runs.
    pub fn finish(mut self) -> Runs {
        self.occurrences.sort_unstable();
        self.occurrences.dedup();
        let mut tasks = Segments::default();
        for group in self.occurrences.chunk_by(|left, right| left.0 == right.0) {
            tasks.push(&group.iter().map(|&(_, task)| task).collect::<Vec<_>>());
        }
        Runs { segments: self.segments, counts: self.counts, tasks }
    }

    fn add_run(&mut self, run: &[u32], count: u64, tasks: impl Iterator<Item = u32>) {
        self.add_hashed(run, hash(run), count, tasks);
    }

    fn add_hashed(&mut self, run: &[u32], hash: u64, count: u64, tasks: impl Iterator<Item = u32>) {
        let index = self.index_of(run, hash);
        self.counts[index as usize] += count;
        for task in tasks {
            if self.occurrences.last() != Some(&(index, task)) {
                self.occurrences.push((index, task));
            }
        }
    }

    /// The index of the distinct run equal to `run`, which is made where there is none.
    fn index_of(&mut self, run: &[u32], hash: u64) -> u32 {
        let RunFolder { segments, counts, index, .. } = self;
        let next = counts.len() as u32;
        let is_run =
            |&(other, candidate): &(u64, u32)| other == hash && segments.get(candidate as usize) == run;
        let (_, found) = *index.entry(hash, is_run, |&(hash, _)| hash).or_insert((hash, next)).get();
        if found == next {
            segments.push(run);
            counts.push(0);
        }
        found
    }
}

fn hash(run: &[u32]) -> u64 {
    let mut hasher = FxHasher::default();
    for &token in run {
        hasher.write_u32(token);
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};

    fn runs_of(
        tokens: &[u32],
        action: &[bool],
        continues: Option<&[bool]>,
        barriers: &[u32],
    ) -> Vec<Vec<u32>> {
        let mut found = Vec::new();
        for_each_run(tokens, action, continues, &Barriers::new(barriers), |run, _| found.push(run.to_vec()));
        found
    }

    #[test]
    fn runs_end_at_barriers_at_other_speakers_and_before_surprises() {
        let action = [true; 6];
        assert_eq!(runs_of(&[1, 2, 9, 3, 4, 5], &action, None, &[9]), [vec![1, 2], vec![3, 4, 5]]);
        let action = [false, true, true, false, true, true];
        assert_eq!(runs_of(&[1, 2, 3, 4, 5, 6], &action, None, &[]), [vec![2, 3], vec![5, 6]]);
        let continues = [false, true, false, true, false, false];
        let runs = runs_of(&[1, 2, 3, 4, 5, 6], &[true; 6], Some(&continues), &[]);
        assert_eq!(runs, [vec![1, 2], vec![3, 4], vec![5], vec![6]]);
    }

    #[test]
    fn arrays_that_do_not_fit_are_refused() {
        let part = Trajectories {
            tokens: &[1, 2],
            offsets: &[0, 3],
            action: &[true; 2],
            continues: None,
            tasks: &[0],
        };
        assert!(RunFolder::default().add(&part, &Barriers::default()).is_err());
    }

    type Parts = Vec<(Vec<(u32, bool, bool)>, u32)>;

    fn fold(parts: &Parts) -> RunFolder {
        let mut folder = RunFolder::default();
        for (tokens, task) in parts {
            let (ids, flags): (Vec<u32>, Vec<(bool, bool)>) =
                tokens.iter().map(|&(id, action, may)| (id, (action, may))).unzip();
            let (action, may): (Vec<bool>, Vec<bool>) = flags.into_iter().unzip();
            let part = Trajectories {
                tokens: &ids,
                offsets: &[0, ids.len()],
                action: &action,
                continues: Some(&may),
                tasks: &[*task],
            };
            folder.add(&part, &Barriers::new(&[3])).unwrap();
        }
        folder
    }

    fn as_map(runs: &Runs) -> BTreeMap<Vec<u32>, (u64, Vec<u32>)> {
        let entry = |index: usize| {
            (runs.segments().get(index).to_vec(), (runs.count(index), runs.tasks(index).to_vec()))
        };
        (0..runs.len()).map(entry).collect()
    }

    #[test]
    fn parts_that_are_no_runs_are_refused() {
        let strings = |lists: &[&[u32]]| -> Segments { lists.iter().copied().collect() };
        let segments = || strings(&[&[1, 2], &[3]]);
        assert!(Runs::from_parts(segments(), vec![1], strings(&[&[0], &[1]])).is_err());
        assert!(Runs::from_parts(segments(), vec![1, 1], strings(&[&[0]])).is_err());
        let unordered = Runs::from_parts(segments(), vec![1, 1], strings(&[&[0], &[1, 1]]));
        assert_eq!(unordered, Err(Error::UnorderedTasks { run: 1 }));
    }

    proptest! {
        #[test]
        fn folding_counts_what_a_plain_map_counts(
            parts in prop::collection::vec((prop::collection::vec((0u32..5, any::<bool>(), any::<bool>()), 0..20), 0u32..3), 0..8)
        ) {
            let mut expected: BTreeMap<Vec<u32>, (u64, BTreeSet<u32>)> = BTreeMap::new();
            for (tokens, task) in &parts {
                let ids: Vec<u32> = tokens.iter().map(|token| token.0).collect();
                let action: Vec<bool> = tokens.iter().map(|token| token.1).collect();
                let may: Vec<bool> = tokens.iter().map(|token| token.2).collect();
                for run in runs_of(&ids, &action, Some(&may), &[3]) {
                    let entry = expected.entry(run).or_default();
                    entry.0 += 1;
                    entry.1.insert(*task);
                }
            }
            let expected = expected.into_iter().map(|(run, (count, tasks))| (run, (count, tasks.into_iter().collect()))).collect();
            prop_assert_eq!(as_map(&fold(&parts).finish()), expected);
        }

        #[test]
        fn parts_can_be_folded_apart(
            left in prop::collection::vec((prop::collection::vec((0u32..5, any::<bool>(), any::<bool>()), 0..20), 0u32..3), 0..6),
            right in prop::collection::vec((prop::collection::vec((0u32..5, any::<bool>(), any::<bool>()), 0..20), 0u32..3), 0..6)
        ) {
            let mut merged = fold(&left);
            merged.merge(fold(&right));
            let together: Parts = left.into_iter().chain(right).collect();
            let merged = merged.finish();
            prop_assert_eq!(&merged, &fold(&together).finish());
            let Runs { segments, counts, tasks } = merged.clone();
            prop_assert_eq!(Runs::from_parts(segments, counts, tasks), Ok(merged));
        }
    }
}
