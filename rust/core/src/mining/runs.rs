//! The runs of a corpus, folded into distinct runs with their counts and tasks. A run is a maximal sequence
//! of the agent's tokens that may continue one another.
//!
//! Logs repeat themselves: after folding, the work depends only on the distinct runs. Counts and task sets
//! add up, so parts of a corpus can be folded separately and merged.

use std::borrow::Cow;

use crate::error::{Error, Result};
use crate::tokens::IDS;
use crate::tokens::barriers::Barriers;
use crate::tokens::checks::{check_ids, check_length, check_offsets};
use crate::tokens::segments::Segments;

mod finding;
mod folder;
pub(crate) mod frequency;
pub mod parts;
pub(crate) mod sample;
pub(crate) mod shares;
pub mod spill;

use finding::for_each_run;
pub use folder::RunFolder;

/// Entries of a table that is short for any corpus.
const MOST_TABLE: usize = 1 << 16;

/// Most tokens in all occurrences of all runs. Floats are exact for whole numbers up to here, and no later
/// sum of counts overflows.
const MOST_OCCURRENCES: u64 = 1 << 53;

/// Limits of the distinct runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Most distinct runs.
    pub runs: usize,
    /// Most positions: the tokens of the distinct runs, and one for the end of each.
    pub positions: usize,
}

impl Room {
    /// Room for runs in which candidates are to be searched: positions have 32 bits there.
    pub const SEARCHED: Room = Room { runs: u32::MAX as usize - 1, positions: u32::MAX as usize - 1 };

    /// Room for runs that are only parsed.
    pub const PARSED: Room = Room { positions: usize::MAX, ..Room::SEARCHED };

    /// Checks that there is room for this many runs, with this many tokens in all.
    pub(crate) fn check(self, runs: usize, tokens: usize) -> Result<()> {
        let positions = tokens.saturating_add(runs);
        let most = self.runs.min(Room::SEARCHED.runs);
        if runs > most {
            return Err(Error::TooManyRuns { most });
        }
        if positions > self.positions {
            return Err(Error::TooManyPositions { positions, most: self.positions });
        }
        Ok(())
    }
}

impl Default for Room {
    fn default() -> Self {
        Room::SEARCHED
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
}

/// Distinct runs, each with the number of its occurrences and the tasks that it occurs in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Runs {
    strings: Segments,
    counts: Vec<u64>,
    tasks: Segments,
    total_tokens: u64,
}

impl Runs {
    /// The runs of checked [`Runs::strings`], [`Runs::counts`] and [`Runs::task_sets`].
    ///
    /// Runs may be equal: folding would merge them, and the candidates are the same either way.
    ///
    /// # Errors
    /// If there is not one count and one set of tasks for each run; if a run has no token, no occurrence or no
    /// task, or its tasks do not ascend; if an id belongs to no token; if there are more runs than can be
    /// numbered, or their counts are too large.
    pub fn from_parts(strings: Segments, counts: Vec<u64>, tasks: Segments) -> Result<Runs> {
        check_length("counts", counts.len(), strings.len())?;
        check_length("tasks", tasks.len(), strings.len())?;
        check_ids(strings.tokens(), 0, IDS)?;
        Room::PARSED.check(strings.len(), strings.tokens().len())?;
        let mut total_tokens = 0;
        for (run, (tokens, &count)) in strings.iter().zip(&counts).enumerate() {
            check_run(run, tokens, count, tasks.get(run))?;
            total_tokens = more_occurrences(total_tokens, tokens, count)?;
        }
        Ok(Runs { strings, counts, tasks, total_tokens })
    }

    /// The arrays of [`Runs::from_parts`].
    pub(crate) fn into_parts(self) -> (Segments, Vec<u64>, Segments) {
        (self.strings, self.counts, self.tasks)
    }

    /// Adds a run to a folder; an occurrence counts as `factor`. Nothing is added if that is 0.
    fn add_weighted(&self, run: usize, factor: u64, folder: &mut RunFolder) -> Result<()> {
        if factor == 0 {
            return Ok(());
        }
        let count = self.count(run).checked_mul(factor);
        let count = count.ok_or(Error::TooManyOccurrences { most: MOST_OCCURRENCES })?;
        folder.add_run(self.strings.get(run), count, self.tasks(run).iter().copied())
    }

    /// Adds a run to a folder, cut before each token that may not continue one. There is an entry of `continues`
    /// for each token of all distinct runs, end to end.
    fn add_split(&self, run: usize, continues: &[bool], folder: &mut RunFolder) -> Result<()> {
        let (tokens, mut added) = (self.strings.get(run), Ok(()));
        let may = &continues[self.strings.offsets()[run]..][..tokens.len()];
        for_each_run(tokens, &vec![true; tokens.len()], Some(may), &Barriers::default(), |piece| {
            if added.is_ok() {
                added = folder.add_run(&tokens[piece], self.count(run), self.tasks(run).iter().copied());
            }
        });
        added
    }

    /// Number of distinct runs.
    pub fn len(&self) -> usize {
        self.counts.len()
    }

    /// Whether there are no runs.
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    /// The tokens of every distinct run.
    pub fn strings(&self) -> &Segments {
        &self.strings
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

    /// Appends other runs, none of which may be equal to one of these.
    ///
    /// # Errors
    /// If there is no room for all, or their counts are too large; then nothing is appended.
    pub(crate) fn append(&mut self, others: &Runs, room: Room) -> Result<()> {
        let tokens = self.strings.tokens().len() + others.strings.tokens().len();
        room.check(self.len() + others.len(), tokens)?;
        self.total_tokens = sum_of_occurrences(self.total_tokens, Some(others.total_tokens))?;
        self.strings.append(&others.strings);
        self.counts.extend_from_slice(&others.counts);
        self.tasks.append(&others.tasks);
        Ok(())
    }

    /// The runs of these indices.
    pub(crate) fn some(&self, indices: impl Iterator<Item = usize> + Clone) -> Runs {
        Runs {
            strings: indices.clone().map(|run| self.strings.get(run)).collect(),
            counts: indices.clone().map(|run| self.counts[run]).collect(),
            tasks: indices.clone().map(|run| self.tasks.get(run)).collect(),
            total_tokens: indices.map(|run| self.strings.get(run).len() as u64 * self.counts[run]).sum(),
        }
    }

    /// One distinct run in `step`.
    pub(crate) fn every(&self, step: usize) -> Runs {
        self.some((0..self.len()).step_by(step))
    }

    /// The same runs with their tasks numbered from 0 on, if a table as long as the largest number would be long:
    /// a caller may number tasks by hashes.
    pub(crate) fn with_dense_tasks(&self) -> Cow<'_, Runs> {
        let largest = self.tasks.tokens().iter().max().map_or(0, |&task| task as usize);
        if largest < MOST_TABLE.max(4 * self.tasks.tokens().len()) {
            return Cow::Borrowed(self);
        }
        let mut distinct = self.tasks.tokens().to_vec();
        distinct.sort_unstable();
        distinct.dedup();
        let number = |task: &u32| distinct.partition_point(|other| other < task) as u32;
        let mut tasks = Segments::default();
        self.tasks.iter().for_each(|set| tasks.push_from(set.iter().map(number)));
        Cow::Owned(Runs { tasks, ..self.clone() })
    }

    /// Bytes of each run, in memory or on disk.
    pub(crate) fn sizes(&self) -> Vec<u64> {
        let size = |run: usize| bytes_of(1, self.strings.get(run).len() + self.tasks.get(run).len());
        (0..self.len()).map(size).collect()
    }

    /// Tokens in all occurrences of all runs.
    pub fn total_tokens(&self) -> u64 {
        self.total_tokens
    }
}

/// Bytes of so many runs with so many tokens and tasks: each run has a count and two offsets.
pub(crate) fn bytes_of(runs: usize, words: usize) -> u64 {
    (3 * size_of::<u64>() * runs + size_of::<u32>() * words) as u64
}

fn check_run(run: usize, tokens: &[u32], count: u64, tasks: &[u32]) -> Result<()> {
    let parts = [("tokens", tokens.is_empty()), ("occurrences", count == 0), ("tasks", tasks.is_empty())];
    if let Some(&(what, _)) = parts.iter().find(|(_, is_missing)| *is_missing) {
        return Err(Error::EmptyRun { run, what });
    }
    let is_set = tasks.windows(2).all(|pair| pair[0] < pair[1]);
    if is_set { Ok(()) } else { Err(Error::UnorderedTasks { run }) }
}

/// Tokens in all occurrences, after `count` more of a run.
fn more_occurrences(occurrences: u64, run: &[u32], count: u64) -> Result<u64> {
    sum_of_occurrences(occurrences, count.checked_mul(run.len() as u64))
}

/// The sum of two numbers of tokens, of which the second may have been too large to be counted.
pub(crate) fn sum_of_occurrences(occurrences: u64, more: Option<u64>) -> Result<u64> {
    let sum = more.and_then(|more| occurrences.checked_add(more));
    sum.filter(|&sum| sum <= MOST_OCCURRENCES).ok_or(Error::TooManyOccurrences { most: MOST_OCCURRENCES })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::finding::tests::runs_of;
    use super::spill::SpillingFolder;
    use super::*;
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};

    /// The runs of trajectories with their tasks, in which the agent wrote every token.
    pub(crate) fn folded<T: AsRef<[u32]>>(
        trajectories: impl IntoIterator<Item = (T, u32)>,
        barriers: &[u32],
    ) -> Runs {
        let (mut strings, mut tasks) = (Segments::default(), Vec::new());
        for (tokens, task) in trajectories {
            strings.push(tokens.as_ref());
            tasks.push(task);
        }
        let (tokens, offsets) = (strings.tokens(), strings.offsets());
        let action = &vec![true; tokens.len()];
        let part = Trajectories { tokens, offsets, action, continues: None, tasks: &tasks };
        let mut folder = RunFolder::default();
        folder.add(&part, &Barriers::new(barriers).unwrap()).unwrap();
        folder.finish()
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
            folder.add(&part, &Barriers::new(&[3]).unwrap()).unwrap();
        }
        folder
    }

    fn as_map(runs: &Runs) -> BTreeMap<Vec<u32>, (u64, Vec<u32>)> {
        let entry = |index: usize| {
            (runs.strings().get(index).to_vec(), (runs.count(index), runs.tasks(index).to_vec()))
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
        let missing = |what| Err(Error::EmptyRun { run: 1, what });
        let tasks = || strings(&[&[0], &[1]]);
        assert_eq!(Runs::from_parts(strings(&[&[1], &[]]), vec![1, 1], tasks()), missing("tokens"));
        assert_eq!(Runs::from_parts(segments(), vec![1, 0], tasks()), missing("occurrences"));
        assert_eq!(Runs::from_parts(segments(), vec![1, 1], strings(&[&[0], &[]])), missing("tasks"));
        let reserved = Runs::from_parts(strings(&[&[1], &[IDS]]), vec![1, 1], tasks());
        assert_eq!(reserved, Err(Error::IdOutOfRange { id: IDS, position: 1, size: IDS }));
    }

    #[test]
    fn an_id_that_no_token_has_is_refused_where_the_agent_wrote_it() {
        let add = |action: &[bool]| {
            let (offsets, tasks) = (&[0, 2], &[0]);
            let part = Trajectories { tokens: &[1, IDS], offsets, action, continues: None, tasks };
            RunFolder::default().add(&part, &Barriers::default())
        };
        assert_eq!(add(&[true, false]), Ok(()));
        let error = add(&[true, true]).unwrap_err();
        assert_eq!(error, Error::IdOutOfRange { id: IDS, position: 1, size: IDS });
        // It is no vocabulary that has so many.
        assert_eq!(error.to_string(), "id 67108864 at position 1 is outside the 67108864 valid ids");
    }

    fn counted(run: &[u32], count: u64) -> Result<Runs> {
        let one = |list: &[u32]| [list].into_iter().collect();
        Runs::from_parts(one(run), vec![count], one(&[0]))
    }

    #[test]
    fn counts_that_cannot_be_added_exactly_are_refused() {
        let refused = Error::TooManyOccurrences { most: MOST_OCCURRENCES };
        assert_eq!(counted(&[1, 2], u64::MAX), Err(refused.clone()));
        assert_eq!(counted(&[1, 2], MOST_OCCURRENCES / 2 + 1), Err(refused.clone()));
        let half = counted(&[1, 2], MOST_OCCURRENCES / 4).unwrap();
        let mut folder = RunFolder::default();
        folder.add_runs(&half).unwrap();
        folder.add_runs(&half).unwrap();
        assert_eq!(folder.add_runs(&counted(&[1], 1).unwrap()), Err(refused));
        assert_eq!(folder.finish().total_tokens(), MOST_OCCURRENCES);
    }

    #[test]
    fn a_folder_takes_as_much_as_there_is_room_for() {
        let one = |run: &[u32]| counted(run, 1).unwrap();
        let mut folder = RunFolder::within(Room { runs: 2, positions: 9 });
        folder.add_runs(&one(&[1, 2, 3])).unwrap();
        folder.add_runs(&one(&[1, 2, 3])).unwrap();
        let long = Error::TooManyPositions { positions: 10, most: 9 };
        assert_eq!(folder.add_runs(&one(&[1, 2, 4, 5, 6])), Err(long));
        folder.add_runs(&one(&[1, 2, 4, 5])).unwrap();
        assert_eq!(folder.add_runs(&one(&[7])), Err(Error::TooManyRuns { most: 2 }));
        assert_eq!(folder.finish().counts(), [2, 1]);
        let numbered = Room { runs: usize::MAX, ..Room::PARSED };
        assert!(numbered.check(u32::MAX as usize, 0).is_err());
    }

    #[test]
    fn a_weight_that_overflows_is_refused() {
        let runs = fold(&[(vec![(1, true, true); 3], 0)].to_vec()).finish();
        for factor in [u64::MAX, MOST_OCCURRENCES] {
            let too_many = Err(Error::TooManyOccurrences { most: MOST_OCCURRENCES });
            assert_eq!(SpillingFolder::default().add_weighted(&runs, factor), too_many);
        }
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
            merged.add_runs(&fold(&right).finish()).unwrap();
            let together: Parts = left.into_iter().chain(right).collect();
            let merged = merged.finish();
            prop_assert_eq!(&merged, &fold(&together).finish());
            let Runs { strings, counts, tasks, .. } = merged.clone();
            prop_assert_eq!(Runs::from_parts(strings, counts, tasks), Ok(merged));
        }

        #[test]
        fn weights_are_occurrences_that_were_added_so_often(
            left in prop::collection::vec((prop::collection::vec((0u32..5, any::<bool>(), any::<bool>()), 0..20), 0u32..3), 0..6),
            right in prop::collection::vec((prop::collection::vec((0u32..5, any::<bool>(), any::<bool>()), 0..20), 0u32..3), 0..6),
            factors in [0usize..4, 0usize..4]
        ) {
            let times = |parts: &Parts, factor: usize| (0..factor).flat_map(|_| parts.clone()).collect::<Parts>();
            let together = [times(&left, factors[0]), times(&right, factors[1])].concat();
            let (left, right) = (fold(&left).finish(), fold(&right).finish());
            let mut folder = SpillingFolder::default();
            folder.add_weighted(&left, factors[0] as u64).unwrap();
            folder.add_weighted(&right, factors[1] as u64).unwrap();
            let weighted = folder.finish().unwrap();
            prop_assert_eq!(&*weighted.whole().unwrap(), &fold(&together).finish());
        }
    }
}
