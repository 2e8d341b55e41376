//! The distinct runs of a corpus: in memory, or in parts on disk, of which one at a time has to be in memory.

use std::borrow::Cow;

use crate::error::Result;
use crate::mining::runs::sample::{Draw, Sizes, sampled};
use crate::mining::runs::spill::file::{Extent, SpillFile};
use crate::mining::runs::spill::{MemoryBound, SpillingFolder, groups_of};
use crate::mining::runs::{Room, Runs, sum_of_occurrences};
use crate::tokens::bytes::TokenBytes;

/// The distinct runs of a corpus in one or more parts; no run is in two of them. Parts on disk can be read as often
/// as needed.
///
/// What is made of runs that were folded within a bound of memory is within the same bound.
#[derive(Debug)]
pub struct RunParts {
    storage: Storage,
    bound: Option<MemoryBound>,
    summary: Summary,
}

/// Where the runs are.
#[derive(Debug)]
enum Storage {
    Memory(Runs),
    /// Where each part lies in the file.
    Disk(SpillFile, Vec<Extent>),
}

/// Numbers of all parts.
#[derive(Debug, Default)]
struct Summary {
    runs: usize,
    tokens: u64,
    total_tokens: u64,
    sizes: Sizes,
}

impl Summary {
    fn of(runs: &Runs) -> Self {
        let mut sizes = Sizes::default();
        sizes.add(runs);
        let (tokens, total_tokens) = (runs.strings().tokens().len() as u64, runs.total_tokens());
        Summary { runs: runs.len(), tokens, total_tokens, sizes }
    }

    fn add(&mut self, runs: &Runs) -> Result<()> {
        self.total_tokens = sum_of_occurrences(self.total_tokens, Some(runs.total_tokens()))?;
        self.tokens += runs.strings().tokens().len() as u64;
        self.runs += runs.len();
        self.sizes.add(runs);
        Ok(())
    }
}

impl RunParts {
    /// Number of parts; there is at least one.
    pub fn number(&self) -> usize {
        match &self.storage {
            Storage::Memory(_) => 1,
            Storage::Disk(_, parts) => parts.len(),
        }
    }

    /// Number of distinct runs.
    pub fn len(&self) -> usize {
        self.summary.runs
    }

    /// Whether there are no runs.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Tokens of the distinct runs of all parts.
    pub fn tokens(&self) -> u64 {
        self.summary.tokens
    }

    /// Tokens in all occurrences of all runs.
    pub fn total_tokens(&self) -> u64 {
        self.summary.total_tokens
    }

    /// The tokens of the distinct runs, by how often their run occurs.
    pub(crate) fn sizes(&self) -> &Sizes {
        &self.summary.sizes
    }

    /// Calls `visit` with the runs of each part, in the same order every time.
    ///
    /// # Errors
    /// The first error of `visit`, or if runs cannot be read from disk.
    pub fn for_each(&self, visit: impl FnMut(&Runs) -> Result<()>) -> Result<()> {
        self.for_first(self.number(), visit)
    }

    /// The same with at most so many parts.
    pub(crate) fn for_first(&self, most: usize, mut visit: impl FnMut(&Runs) -> Result<()>) -> Result<()> {
        match &self.storage {
            Storage::Memory(runs) => (0..most.min(1)).try_for_each(|_| visit(runs)),
            Storage::Disk(file, parts) => {
                let mut runs = Runs::default();
                parts.iter().take(most).try_for_each(|&part| {
                    // The memory of one part is used again for the next.
                    runs = file.read(part, std::mem::take(&mut runs))?;
                    visit(&runs)
                })
            }
        }
    }

    /// All runs in memory.
    ///
    /// # Errors
    /// If runs cannot be read from disk, or are more than can be numbered.
    pub fn whole(&self) -> Result<Cow<'_, Runs>> {
        if let Storage::Memory(runs) = &self.storage {
            return Ok(Cow::Borrowed(runs));
        }
        let mut all = Runs::default();
        self.for_each(|runs| all.append(runs, Room::PARSED))?;
        Ok(Cow::Owned(all))
    }

    /// Runs of two tokens or more that stand for all, with about `most` tokens; all of these if they are fewer.
    ///
    /// A run's count is the number of occurrences that it stands for. Of very long runs, pieces are drawn.
    ///
    /// # Errors
    /// If runs cannot be read from disk.
    pub fn sample(&self, most: u64) -> Result<Runs> {
        sampled(self, most, Draw::Selection, |_| true)
    }

    /// The same where runs are text: pieces begin and end between characters.
    ///
    /// # Errors
    /// If runs cannot be read from disk.
    pub fn sample_text(&self, most: u64, token_bytes: &TokenBytes) -> Result<Runs> {
        let begin = token_bytes.begin_characters();
        sampled(self, most, Draw::Selection, |id| begin.get(id as usize).is_none_or(|&begins| begins))
    }

    /// Runs of several corpora together, in which an occurrence in corpus i counts as the factor i.
    ///
    /// So the counts of what an agent writes and of what it reads can be added up by their prices. Tasks are
    /// unchanged. A corpus of factor 0 is left out.
    ///
    /// # Errors
    /// If there are more distinct runs than can be numbered, the counts are too large, or runs cannot be read from
    /// disk or written.
    pub fn weighted(corpora: &[(&RunParts, u64)]) -> Result<RunParts> {
        let bounded = corpora.iter().find_map(|(runs, _)| runs.bound.clone());
        let mut folder = SpillingFolder::within(bounded);
        for &(runs, factor) in corpora {
            runs.for_each(|part| folder.add_weighted(part, factor))?;
        }
        folder.finish()
    }

    /// Runs that were folded within a bound: in memory if they fit one part, else on disk.
    pub(crate) fn within(bound: MemoryBound, runs: Runs) -> Result<RunParts> {
        let groups = groups_of(&runs.sizes(), bound.part_bytes());
        if groups.len() == 1 {
            return Ok(RunParts { bound: Some(bound), ..RunParts::from(runs) });
        }
        let mut parts = PartsWriter::create(bound)?;
        groups.into_iter().try_for_each(|part| parts.write(&runs.some(part)))?;
        Ok(parts.finish())
    }

    /// An empty folder with the bound of these runs.
    pub(crate) fn folder(&self) -> SpillingFolder {
        SpillingFolder::within(self.bound.clone())
    }
}

/// Runs in memory are one part.
impl From<Runs> for RunParts {
    fn from(runs: Runs) -> Self {
        let summary = Summary::of(&runs);
        RunParts { storage: Storage::Memory(runs), bound: None, summary }
    }
}

/// Takes parts one after another, and writes them to a temporary file.
pub(crate) struct PartsWriter {
    file: SpillFile,
    bound: MemoryBound,
    summary: Summary,
}

impl PartsWriter {
    /// No parts yet.
    pub(crate) fn create(bound: MemoryBound) -> Result<Self> {
        let file = SpillFile::create(&bound.directory, 1)?;
        Ok(PartsWriter { file, bound, summary: Summary::default() })
    }

    /// Appends a part.
    pub(crate) fn write(&mut self, runs: &Runs) -> Result<()> {
        self.summary.add(runs)?;
        self.file.write(runs)
    }

    /// The parts.
    pub(crate) fn finish(self) -> RunParts {
        let PartsWriter { file, bound, summary } = self;
        let parts = file.extents(0..1).collect();
        RunParts { storage: Storage::Disk(file, parts), bound: Some(bound), summary }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::error::Error;
    use crate::tokens::segments::Segments;
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use std::path::Path;
    use tempfile::{TempDir, tempdir};

    /// The same runs on disk, in parts of about so many bytes.
    pub(crate) fn on_disk(runs: &Runs, part_bytes: usize) -> (RunParts, TempDir) {
        let scratch = tempdir().unwrap();
        (RunParts::within(bound(4 * part_bytes, scratch.path()), runs.clone()).unwrap(), scratch)
    }

    pub(crate) fn bound(bytes: usize, directory: &Path) -> MemoryBound {
        MemoryBound { bytes, directory: directory.to_path_buf() }
    }

    /// The runs after each is cut before every token that may not continue one. There is an entry of `continues`
    /// for each token of the distinct runs, end to end.
    pub(crate) fn split(runs: &RunParts, mut continues: &[bool]) -> RunParts {
        let mut folder = runs.folder();
        let cut = |part: &Runs| {
            let (of_part, rest) = continues.split_at(part.strings().tokens().len());
            continues = rest;
            folder.add_split(part, of_part)
        };
        runs.for_each(cut).unwrap();
        folder.finish().unwrap()
    }

    pub(crate) type Counted = BTreeMap<Vec<u32>, (u64, Vec<u32>)>;

    fn runs_of(counted: &Counted) -> Runs {
        let strings: Segments = counted.keys().map(Vec::as_slice).collect();
        let counts = counted.values().map(|(count, _)| *count).collect();
        let tasks: Segments = counted.values().map(|(_, tasks)| tasks.as_slice()).collect();
        Runs::from_parts(strings, counts, tasks).unwrap()
    }

    /// All runs of all parts; a run that is in two of them fails the test.
    pub(crate) fn counted(parts: &RunParts) -> Counted {
        let mut all = Counted::new();
        let visit = |runs: &Runs| {
            for (run, tokens) in runs.strings().iter().enumerate() {
                let entry = (runs.count(run), runs.tasks(run).to_vec());
                assert_eq!(all.insert(tokens.to_vec(), entry), None);
            }
            Ok(())
        };
        parts.for_each(visit).unwrap();
        all
    }

    fn corpus() -> impl Strategy<Value = Counted> {
        let tasks = prop::collection::btree_set(0u32..6, 1..4).prop_map(|set| set.into_iter().collect());
        let run = prop::collection::vec(0u32..4, 1..12);
        prop::collection::btree_map(run, (1u64..5, tasks), 0..30)
    }

    fn two_runs() -> Runs {
        runs_of(&[(vec![1], (1, vec![0])), (vec![2], (1, vec![0]))].into())
    }

    fn numbers(parts: &RunParts) -> (usize, u64, u64) {
        (parts.len(), parts.tokens(), parts.total_tokens())
    }

    #[test]
    fn no_runs_are_one_empty_part() {
        for parts in [RunParts::from(Runs::default()), on_disk(&Runs::default(), 0).0] {
            let mut lengths = Vec::new();
            let visit = |runs: &Runs| {
                lengths.push(runs.len());
                Ok(())
            };
            parts.for_each(visit).unwrap();
            assert_eq!((parts.number(), numbers(&parts), lengths), (1, (0, 0, 0), vec![0]));
        }
    }

    #[test]
    fn an_error_of_a_visit_ends_the_visits() {
        let (parts, _scratch) = on_disk(&two_runs(), 0);
        assert_eq!(parts.number(), 2);
        let (refused, mut visits) = (Error::TooManyRuns { most: 0 }, 0);
        let visit = |_: &Runs| {
            visits += 1;
            Err(refused.clone())
        };
        assert_eq!(parts.for_each(visit), Err(refused.clone()));
        assert_eq!(visits, 1);
    }

    #[test]
    fn parts_that_cannot_be_written_are_a_typed_error() {
        let nowhere = bound(0, Path::new("/nowhere/at/all"));
        let error = RunParts::within(nowhere, two_runs()).unwrap_err();
        assert!(matches!(error, Error::Spill { step: "spilled to", code: Some(_), .. }), "{error}");
    }

    #[test]
    fn parts_that_a_disk_has_lost_or_changed_are_a_typed_error() {
        let damaged = |damage: fn(&mut SpillFile)| {
            let (mut parts, _scratch) = on_disk(&two_runs(), 0);
            let Storage::Disk(file, _) = &mut parts.storage else { panic!("in memory") };
            damage(file);
            let error = parts.whole().unwrap_err();
            assert!(matches!(error, Error::Spill { step: "read again from", .. }), "{error}");
        };
        damaged(|file| file.cut_to(10));
        damaged(|file| file.overwrite(16, &[7; 8]));
    }

    /// Otherwise a forked process, which shares the place, would read from where another one has got to.
    #[cfg(not(windows))]
    #[test]
    fn reading_does_not_move_the_place_of_the_file() {
        let (parts, _scratch) = on_disk(&two_runs(), 0);
        let Storage::Disk(file, _) = &parts.storage else { panic!("in memory") };
        let before = file.shared_place();
        parts.for_first(1, |_| Ok(())).unwrap();
        assert_eq!(file.shared_place(), before);
    }

    #[test]
    fn a_forked_process_cannot_write() {
        let scratch = tempdir().unwrap();
        let mut file = SpillFile::create(scratch.path(), 1).unwrap();
        file.write(&two_runs()).unwrap();
        file.fork();
        let error = file.write(&two_runs()).unwrap_err();
        assert!(matches!(error, Error::Spill { step: "spilled to", code: None, .. }), "{error}");
        let part = file.extents(0..1).next().unwrap();
        assert_eq!(file.read(part, Runs::default()).unwrap().len(), 2);
    }

    #[test]
    fn what_is_made_of_bounded_runs_is_bounded() {
        let (parts, _scratch) = on_disk(&two_runs(), 0);
        let memory = RunParts::from(two_runs());
        let weighted = RunParts::weighted(&[(&memory, 1), (&parts, 2)]).unwrap();
        for made in [split(&parts, &[true; 2]), weighted] {
            assert!(made.number() > 1);
        }
        assert_eq!(split(&memory, &[true; 2]).number(), 1);
    }

    proptest! {
        #[test]
        fn parts_of_any_bound_hold_what_is_folded_in_memory(
            corpora in prop::collection::vec(corpus(), 0..4),
            bytes in prop_oneof![Just(0usize), 0usize..20_000],
        ) {
            let scratch = tempdir().unwrap();
            let mut bounded = SpillingFolder::within(Some(bound(bytes, scratch.path())));
            let mut plain = SpillingFolder::default();
            for folder in [&mut bounded, &mut plain] {
                corpora.iter().for_each(|corpus| folder.add_runs(&runs_of(corpus).into()).unwrap());
            }
            let (expected, parts) = (plain.finish().unwrap(), bounded.finish().unwrap());
            prop_assert_eq!(expected.number(), 1);
            prop_assert_eq!(numbers(&parts), numbers(&expected));
            prop_assert_eq!(parts.sizes(), expected.sizes());
            prop_assert_eq!(counted(&parts), counted(&expected));
            prop_assert_eq!(counted(&parts), counted(&RunParts::from(parts.whole().unwrap().into_owned())));
            drop(parts);
            prop_assert!(std::fs::read_dir(&scratch).unwrap().next().is_none());
        }

        #[test]
        fn parts_are_no_larger_than_they_may_be(corpus in corpus(), most in 1usize..400) {
            let (parts, _scratch) = on_disk(&runs_of(&corpus), most);
            prop_assert_eq!(counted(&parts), corpus);
            let mut sizes = Vec::new();
            parts.for_each(|runs| {
                sizes.push(runs.sizes());
                Ok(())
            }).unwrap();
            let sums: Vec<u64> = sizes.iter().map(|sizes| sizes.iter().sum()).collect();
            prop_assert!(sizes.iter().zip(&sums).all(|(sizes, &sum)| sizes.len() <= 1 || sum <= most as u64));
            prop_assert!(sums.windows(2).zip(&sizes[1..]).all(|(pair, next)| pair[0] + next[0] > most as u64));
        }

        #[test]
        fn runs_in_parts_are_split_and_weighted_as_in_memory(
            corpora in prop::array::uniform2(corpus()), factors in prop::array::uniform2(0u64..4),
            may in prop::collection::vec(any::<bool>(), 400), most in 1usize..400,
        ) {
            let [left, right] = corpora.each_ref().map(runs_of);
            let ((one, _here), (other, _there)) = (on_disk(&left, most), on_disk(&right, most));
            let weighted = RunParts::weighted(&[(&one, factors[0]), (&other, factors[1])]).unwrap();
            let mut expected = SpillingFolder::default();
            for (runs, factor) in [&left, &right].into_iter().zip(factors) {
                expected.add_weighted(runs, factor).unwrap();
            }
            prop_assert_eq!(counted(&weighted), counted(&expected.finish().unwrap()));

            let may = &may[..left.strings().tokens().len()];
            prop_assert_eq!(counted(&split(&one, may)), counted(&split(&left.into(), may)));
        }
    }
}
