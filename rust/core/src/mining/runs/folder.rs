//! Folding: equal runs become one, with the sum of their counts and the union of their tasks.

use std::ops::Range;

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use super::finding::FoundRun;
use super::{Room, Runs, Trajectories, more_occurrences};
use crate::error::Result;
use crate::hash;
use crate::tokens::barriers::Barriers;
use crate::tokens::segments::Segments;

/// Tokens whose runs are found and hashed while those of the tokens before are inserted, and tokens of new runs
/// that are copied together: few enough that they are still in the processor's caches when they are copied.
const BATCH_TOKENS: usize = 1 << 17;

/// Occurrences of runs in tasks up to which they are not deduplicated before the end: they take 1 MiB.
const FEWEST_DEDUPLICATED: usize = 1 << 17;

/// Occurrences are deduplicated when they are so many times as many as the last time, and as the distinct runs.
/// With two, folding runs of three tokens took 1.4 times as long.
const DEDUPLICATED_AT: usize = 8;

/// Folds equal runs into one as they are added, within its [`Room`].
#[derive(Default)]
pub struct RunFolder {
    room: Room,
    strings: Segments,
    /// The newest runs, which follow `strings`. All threads append them there together: memory that was never
    /// written before is mapped page by page, which takes longer than copying.
    newest: Segments,
    counts: Vec<u64>,
    total_tokens: u64,
    /// (run, task) for each occurrence; grouped and deduplicated at the end, and on the way where many repeat.
    occurrences: Vec<(u32, u32)>,
    /// How many they were after they were last deduplicated.
    distinct_occurrences: usize,
    /// The hash of each distinct run, and its index.
    index: HashTable<(u64, u32)>,
}

impl RunFolder {
    /// A folder of this much room; the default is for runs in which candidates are searched.
    pub fn within(room: Room) -> Self {
        RunFolder { room, ..RunFolder::default() }
    }

    /// Adds every run of part of a corpus.
    ///
    /// # Errors
    /// If the arrays do not fit together, a run holds an id that no token has, or there is no room for a run;
    /// in the last two cases some runs may have been added.
    pub fn add(&mut self, part: &Trajectories<'_>, barriers: &Barriers) -> Result<()> {
        part.check()?;
        self.add_some(part, 0..part.tasks.len(), barriers)
    }

    /// Adds every run of some trajectories of a part that was checked.
    pub(super) fn add_some(
        &mut self,
        part: &Trajectories<'_>,
        trajectories: Range<usize>,
        barriers: &Barriers,
    ) -> Result<()> {
        // On a thread of the pool, because another one would sleep and be woken for each batch.
        rayon::scope(|_| self.add_batches(part, trajectories, barriers))
    }

    fn add_batches(
        &mut self,
        part: &Trajectories<'_>,
        trajectories: Range<usize>,
        barriers: &Barriers,
    ) -> Result<()> {
        let mut found = Vec::new();
        for batch in batches(part.offsets, trajectories, BATCH_TOKENS) {
            let find = || part.find_runs(batch, barriers);
            let (next, inserted) = rayon::join(find, || self.insert(part, &found));
            inserted?;
            found = next?;
        }
        self.insert(part, &found)
    }

    /// Adds folded runs, with their counts and tasks.
    ///
    /// # Errors
    /// If there is no room for a run; some may have been added.
    pub fn add_runs(&mut self, runs: &Runs) -> Result<()> {
        runs.strings.iter().enumerate().try_for_each(|(index, run)| {
            self.add_run(run, runs.count(index), runs.tasks(index).iter().copied())
        })
    }

    /// Bytes that the folder has allocated.
    pub fn memory(&self) -> usize {
        self.strings.memory()
            + self.newest.memory()
            + self.counts.capacity() * size_of::<u64>()
            + self.occurrences.capacity() * size_of::<(u32, u32)>()
            + self.index.allocation_size()
    }

    /// The distinct runs.
    pub fn finish(mut self) -> Runs {
        self.append_newest();
        let tasks = task_sets(self.occurrences, self.counts.len());
        Runs { strings: self.strings, counts: self.counts, tasks, total_tokens: self.total_tokens }
    }

    pub(super) fn add_run(
        &mut self,
        run: &[u32],
        count: u64,
        tasks: impl Iterator<Item = u32>,
    ) -> Result<()> {
        self.add_hashed(run, hash::of_run(run), None, count, tasks)
    }

    fn insert(&mut self, part: &Trajectories<'_>, found: &[Vec<FoundRun>]) -> Result<()> {
        let alike = self.look_up(found);
        found.iter().flatten().zip(alike).try_for_each(|(&FoundRun { start, end, hash, task }, alike)| {
            self.add_hashed(&part.tokens[start..end], hash, alike, 1, std::iter::once(task))
        })
    }

    /// For each run, the index of a distinct run of the same hash. Look-ups directly after each other wait for
    /// memory together.
    fn look_up(&self, found: &[Vec<FoundRun>]) -> Vec<Option<u32>> {
        let alike = |run: &FoundRun| {
            let entry = self.index.find(run.hash, |&(hash, _)| hash == run.hash);
            entry.map(|&(_, index)| index)
        };
        found.iter().flatten().map(alike).collect()
    }

    /// Adds occurrences of a run; `alike` may be the index of a run of the same hash.
    fn add_hashed(
        &mut self,
        run: &[u32],
        hash: u64,
        alike: Option<u32>,
        count: u64,
        tasks: impl Iterator<Item = u32>,
    ) -> Result<()> {
        let total_tokens = more_occurrences(self.total_tokens, run, count)?;
        let index = match alike.filter(|&index| self.get(index) == run) {
            Some(index) => index,
            None => self.index_of(run, hash)?,
        };
        self.total_tokens = total_tokens;
        self.counts[index as usize] += count;
        for task in tasks {
            if self.occurrences.last() != Some(&(index, task)) {
                self.occurrences.push((index, task));
            }
        }
        let distinct =
            self.distinct_occurrences.max(self.counts.len()).max(FEWEST_DEDUPLICATED / DEDUPLICATED_AT);
        if self.occurrences.len() >= DEDUPLICATED_AT * distinct {
            self.deduplicate_occurrences();
        }
        Ok(())
    }

    /// A few runs may alternate very often in one task.
    fn deduplicate_occurrences(&mut self) {
        self.occurrences.sort_unstable();
        self.occurrences.dedup();
        self.distinct_occurrences = self.occurrences.len();
    }

    /// A distinct run.
    fn get(&self, index: u32) -> &[u32] {
        run_of(&self.strings, &self.newest, index)
    }

    /// The index of the distinct run equal to `run`; it is added if it is new.
    fn index_of(&mut self, run: &[u32], hash: u64) -> Result<u32> {
        let RunFolder { room, strings, newest, counts, index, .. } = self;
        let is_run =
            |&(other, candidate): &(u64, u32)| other == hash && run_of(strings, newest, candidate) == run;
        let entry = match index.entry(hash, is_run, |&(hash, _)| hash) {
            Entry::Occupied(entry) => return Ok(entry.get().1),
            Entry::Vacant(entry) => entry,
        };
        room.check(counts.len() + 1, strings.tokens().len() + newest.tokens().len() + run.len())?;
        // There is room for no more runs than 32 bits can number.
        let next = counts.len() as u32;
        entry.insert((hash, next));
        newest.push(run);
        counts.push(0);
        if newest.tokens().len() >= BATCH_TOKENS {
            self.append_newest();
        }
        Ok(next)
    }

    fn append_newest(&mut self) {
        self.strings.append(&self.newest);
        self.newest.clear();
    }
}

/// The run of this index among `strings` and the `newest` after them.
fn run_of<'a>(strings: &'a Segments, newest: &'a Segments, index: u32) -> &'a [u32] {
    match (index as usize).checked_sub(strings.len()) {
        None => strings.get(index as usize),
        Some(place) => newest.get(place),
    }
}

/// The tasks of each run, ascending, from (run, task) in any order. They are moved to the places of their run,
/// because most runs occur once or twice: then sorting them all takes longer.
fn task_sets(occurrences: Vec<(u32, u32)>, runs: usize) -> Segments {
    let mut ends = vec![0; runs];
    occurrences.iter().for_each(|&(run, _)| ends[run as usize] += 1);
    let mut end = 0;
    for place in &mut ends {
        end += std::mem::replace(place, end);
    }
    let mut tasks = vec![0; end];
    for (run, task) in occurrences {
        // The place for the run's next task, and in the end where its tasks end.
        let place = &mut ends[run as usize];
        tasks[*place] = task;
        *place += 1;
    }
    let (mut sets, mut start) = (Segments::default(), 0);
    for end in ends {
        let set = &mut tasks[start..end];
        set.sort_unstable();
        sets.push_from(set.chunk_by(u32::eq).map(|equal| equal[0]));
        start = end;
    }
    sets
}

/// Divides trajectories into ranges with about so many tokens each.
pub(super) fn batches(
    offsets: &[usize],
    trajectories: Range<usize>,
    tokens: usize,
) -> impl Iterator<Item = Range<usize>> {
    let Range { mut start, end } = trajectories;
    std::iter::from_fn(move || {
        let first = start;
        let is_within = |last: &&usize| **last < offsets[first] + tokens;
        start = end.min(first + 1 + offsets[first + 1..].iter().take_while(is_within).count());
        (first < end).then_some(first..start)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[test]
    fn runs_of_the_same_hash_stay_apart() {
        let mut folder = RunFolder::default();
        for (run, alike) in [([1, 2], None), ([3, 4], Some(0)), ([1, 2], Some(0))] {
            folder.add_hashed(&run, 7, alike, 1, std::iter::once(0)).unwrap();
        }
        let runs = folder.finish();
        assert_eq!((runs.counts(), runs.strings().tokens()), (&[2, 1][..], &[1, 2, 3, 4][..]));
    }

    #[test]
    fn runs_are_found_again_after_they_were_appended_to_the_others() {
        let runs = || (0..3 * BATCH_TOKENS as u32 / 8).map(|run| [run; 8]);
        let mut folder = RunFolder::default();
        runs().chain(runs()).for_each(|run| folder.add_run(&run, 1, std::iter::once(0)).unwrap());
        assert!(!folder.strings.is_empty());
        let folded = folder.finish();
        assert!(folded.counts().iter().all(|&count| count == 2));
        assert!(folded.strings().iter().eq(runs().collect::<Vec<_>>().iter().map(|run| run.as_slice())));
    }

    #[test]
    fn many_batches_are_folded_as_one_trajectory_after_another() {
        let lengths = [BATCH_TOKENS / 2, BATCH_TOKENS / 2 + 1, 0, 2 * BATCH_TOKENS, 5, 0];
        let offsets: Vec<usize> = (0..=lengths.len()).map(|end| lengths[..end].iter().sum()).collect();
        let tokens: Vec<u32> = (0..offsets[lengths.len()] as u32).map(|index| index % 1009 % 31).collect();
        let (action, barriers) = (vec![true; tokens.len()], Barriers::new(&[0, 7]).unwrap());
        let add = |folder: &mut RunFolder, trajectories: Range<usize>| {
            let range = offsets[trajectories.start]..offsets[trajectories.end];
            let own =
                offsets[trajectories.start..=trajectories.end].iter().map(|offset| offset - range.start);
            let (tasks, own): (Vec<u32>, Vec<usize>) =
                (trajectories.map(|i| i as u32 % 4).collect(), own.collect());
            let (tokens, action) = (&tokens[range.clone()], &action[range]);
            let part = Trajectories { tokens, offsets: &own, action, continues: None, tasks: &tasks };
            folder.add(&part, &barriers).unwrap();
        };
        let (mut together, mut apart) = (RunFolder::default(), RunFolder::default());
        add(&mut together, 0..lengths.len());
        (0..lengths.len()).for_each(|trajectory| add(&mut apart, trajectory..trajectory + 1));
        assert_eq!(together.finish(), apart.finish());
    }

    #[test]
    fn runs_that_alternate_in_a_task_take_no_more_memory_each_time() {
        let mut folder = RunFolder::default();
        for occurrence in 0..4 * BATCH_TOKENS as u32 {
            folder.add_run(&[occurrence % 2], 1, std::iter::once(occurrence % 6 / 2)).unwrap();
        }
        assert!(folder.memory() < 16 * BATCH_TOKENS, "{} bytes", folder.memory());
        let runs = folder.finish();
        assert_eq!(runs.counts(), [2 * BATCH_TOKENS as u64; 2]);
        assert_eq!((runs.tasks(0), runs.tasks(1)), (&[0, 1, 2][..], &[0, 1, 2][..]));
    }

    proptest! {
        #[test]
        fn every_trajectory_of_a_range_is_in_one_batch(
            lengths in prop::collection::vec(0..2 * BATCH_TOKENS, 0..12), ends in prop::array::uniform2(0usize..13),
        ) {
            let offsets: Vec<usize> = (0..=lengths.len()).map(|end| lengths[..end].iter().sum()).collect();
            let [start, end] = ends.map(|end| end.min(lengths.len()));
            let range = start.min(end)..start.max(end);
            let batches: Vec<Range<usize>> = batches(&offsets, range.clone(), BATCH_TOKENS).collect();
            let all: Vec<usize> = batches.iter().cloned().flatten().collect();
            prop_assert_eq!(all, range.collect::<Vec<_>>());
            for batch in batches {
                let but_the_last = &lengths[batch.start..batch.end - 1];
                prop_assert!(but_the_last.iter().sum::<usize>() < BATCH_TOKENS);
            }
        }

        #[test]
        fn sets_of_tasks_are_those_of_a_plain_map(pairs in prop::collection::vec((0u32..6, 0u32..5), 0..40)) {
            let all: Vec<(u32, u32)> = (0..6).map(|run| (run, 9)).chain(pairs).collect();
            let mut expected = vec![BTreeSet::new(); 6];
            for &(run, task) in &all {
                expected[run as usize].insert(task);
            }
            let sets: Vec<Vec<u32>> = task_sets(all, 6).iter().map(<[u32]>::to_vec).collect();
            let expected: Vec<Vec<u32>> = expected.into_iter().map(|set| set.into_iter().collect()).collect();
            prop_assert_eq!(sets, expected);
        }
    }
}
