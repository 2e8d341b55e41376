//! Folding within a bound of memory: runs that do not fit go to a temporary file.
//!
//! A full folder writes its runs to the file, partitioned by a hash of their tokens, and starts again empty.
//! Equal runs always get the same partition. At the end the partitions are merged, as many at a time as fit the
//! bound, and counts and tasks add up to what they would have been in memory. What is merged together is a part of
//! the result, see [`RunParts`]. No run is left out: one without a candidate still counts for the n-gram entropies.

use std::ops::Range;
use std::path::PathBuf;

use crate::error::{Error, Result};
use crate::mining::runs::folder::batches;
use crate::mining::runs::parts::{PartsWriter, RunParts};
use crate::mining::runs::{Room, RunFolder, Runs, Trajectories};
use crate::tokens::barriers::Barriers;

pub(crate) mod file;

use file::{MOST_PARTITIONS, SpillFile};

/// Fewest partitions of the spilled runs.
const FEWEST_PARTITIONS: usize = 64;

/// Bytes of a partition that a full folder writes together: fewer would be slow to read from a disk.
const PARTITION_BYTES: usize = 1 << 18;

/// The memory of a folder is checked each time this many tokens were added, so it may exceed its bound a
/// little.
const BLOCK_TOKENS: usize = 1 << 19;

/// How many bytes the runs of a corpus may take, and the folder on disk that takes the others.
#[derive(Debug, Clone)]
pub struct MemoryBound {
    /// About the most bytes in memory.
    pub bytes: usize,
    /// The folder of the temporary files.
    pub directory: PathBuf,
}

impl MemoryBound {
    /// Bytes that a folder may hold: its tasks are in memory twice while it is written, and so is an array while
    /// it grows.
    fn folder_bytes(&self) -> usize {
        self.bytes / 2
    }

    /// Bytes of a part: short runs need up to four times as much while they are folded.
    pub(crate) fn part_bytes(&self) -> u64 {
        (self.bytes / 4) as u64
    }

    /// Partitions of what is spilled.
    fn partitions(&self) -> usize {
        (self.folder_bytes() / PARTITION_BYTES).clamp(FEWEST_PARTITIONS, MOST_PARTITIONS)
    }
}

/// A [`RunFolder`] for runs that are only parsed or searched by a sample. Within a bound, it spills to disk.
pub struct SpillingFolder {
    folder: RunFolder,
    bound: Option<MemoryBound>,
    spilled: Option<SpillFile>,
    /// Why runs were lost: they could not be written to disk. Every later call fails too.
    lost: Option<Error>,
}

impl SpillingFolder {
    /// A folder of at most about so many bytes; without a bound it never spills.
    pub fn within(bound: Option<MemoryBound>) -> Self {
        SpillingFolder { folder: RunFolder::within(Room::PARSED), bound, spilled: None, lost: None }
    }

    /// Adds every run of part of a corpus.
    ///
    /// # Errors
    /// As of [`RunFolder::add`], or if runs cannot be written to disk; then all later calls fail too.
    pub fn add(&mut self, part: &Trajectories<'_>, barriers: &Barriers) -> Result<()> {
        self.check_complete()?;
        if self.bound.is_none() {
            return self.folder.add(part, barriers);
        }
        part.check()?;
        for block in batches(part.offsets, 0..part.tasks.len(), BLOCK_TOKENS) {
            self.folder.add_some(part, block, barriers)?;
            self.spill_if_full()?;
        }
        Ok(())
    }

    /// Adds folded runs.
    ///
    /// # Errors
    /// If there is no room for a run, runs cannot be read from disk, or runs cannot be written; then all later
    /// calls fail too.
    pub fn add_runs(&mut self, runs: &RunParts) -> Result<()> {
        runs.for_each(|part| self.add_weighted(part, 1))
    }

    /// Adds folded runs, each of whose occurrences counts as `factor`.
    pub(crate) fn add_weighted(&mut self, runs: &Runs, factor: u64) -> Result<()> {
        self.add_each(runs, |run, folder| runs.add_weighted(run, factor, folder))
    }

    /// Adds folded runs, cut before each token that may not continue one. There is an entry of `continues` for
    /// each token of the distinct runs, end to end.
    pub(crate) fn add_split(&mut self, runs: &Runs, continues: &[bool]) -> Result<()> {
        self.add_each(runs, |run, folder| runs.add_split(run, continues, folder))
    }

    /// Adds something of each run. The folder may be full after any: each piece of a run that is cut has all of
    /// its tasks, so the pieces may take many times the memory of the run.
    fn add_each(&mut self, runs: &Runs, add: impl Fn(usize, &mut RunFolder) -> Result<()>) -> Result<()> {
        self.check_complete()?;
        (0..runs.len()).try_for_each(|run| {
            add(run, &mut self.folder)?;
            self.spill_if_full()
        })
    }

    /// The distinct runs, in no particular order if some were spilled.
    ///
    /// Within a bound, parts fit it (one of 1 GiB up to 2^37 distinct tokens). The merged runs are written to a
    /// second temporary file, and the first ends after that.
    ///
    /// # Errors
    /// If runs cannot be written to disk or read again, also in an earlier call, or there is no room for a part.
    pub fn finish(self) -> Result<RunParts> {
        self.check_complete()?;
        let (runs, spilled) = (self.folder.finish(), self.spilled);
        let Some(bound) = self.bound else { return Ok(RunParts::from(runs)) };
        let Some(mut file) = spilled else { return RunParts::within(bound, runs) };
        file.write(&runs)?;
        drop(runs);
        merged(file, bound)
    }

    /// Checks that no runs were lost.
    fn check_complete(&self) -> Result<()> {
        self.lost.clone().map_or(Ok(()), Err)
    }

    fn spill_if_full(&mut self) -> Result<()> {
        match &self.bound {
            Some(bound) if self.folder.memory() > bound.folder_bytes() => {
                let spilled = self.spill(&bound.clone());
                self.lost = spilled.clone().err();
                spilled
            }
            _ => Ok(()),
        }
    }

    fn spill(&mut self, bound: &MemoryBound) -> Result<()> {
        let runs = std::mem::replace(&mut self.folder, RunFolder::within(Room::PARSED)).finish();
        let file = match self.spilled.take() {
            Some(file) => file,
            None => SpillFile::create(&bound.directory, bound.partitions())?,
        };
        self.spilled.insert(file).write(&runs)
    }
}

/// Without a bound.
impl Default for SpillingFolder {
    fn default() -> Self {
        SpillingFolder::within(None)
    }
}

/// Merges some partitions at a time, since no run is in two of them, to the parts of the result.
fn merged(file: SpillFile, bound: MemoryBound) -> Result<RunParts> {
    let groups = groups_of(&file.sizes(), bound.part_bytes());
    let (mut parts, mut read) = (PartsWriter::create(bound)?, Runs::default());
    for partitions in groups {
        let mut folder = RunFolder::within(Room::PARSED);
        let extents: Vec<_> = file.extents(partitions).collect();
        for extent in extents {
            read = file.read(extent, read)?;
            folder.add_runs(&read)?;
        }
        parts.write(&folder.finish())?;
    }
    Ok(parts.finish())
}

/// Divides numbers into ranges whose sums are at most `most`, as far as one number alone is.
pub(crate) fn groups_of(sizes: &[u64], most: u64) -> Vec<Range<usize>> {
    let (mut groups, mut start, mut sum) = (Vec::new(), 0, 0u64);
    for (index, &size) in sizes.iter().enumerate() {
        sum = sum.saturating_add(size);
        if sum > most && index > start {
            groups.push(start..index);
            (start, sum) = (index, size);
        }
    }
    groups.push(start..sizes.len());
    groups
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mining::runs::parts::tests::bound;
    use crate::tokens::IDS;
    use crate::tokens::segments::Segments;
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use std::path::Path;
    use tempfile::{TempDir, tempdir};

    fn is_empty(folder: &TempDir) -> bool {
        std::fs::read_dir(folder).unwrap().next().is_none()
    }

    type Parts = Vec<(Vec<u32>, u32)>;

    fn add_all(folder: &mut SpillingFolder, parts: &Parts) -> Result<()> {
        parts.iter().try_for_each(|(tokens, task)| {
            let part = Trajectories {
                tokens,
                offsets: &[0, tokens.len()],
                action: &vec![true; tokens.len()],
                continues: None,
                tasks: &[*task],
            };
            folder.add(&part, &Barriers::new(&[0]).unwrap())
        })
    }

    fn within(bytes: usize, directory: &Path) -> SpillingFolder {
        SpillingFolder::within(Some(bound(bytes, directory)))
    }

    fn as_map(runs: &RunParts) -> BTreeMap<Vec<u32>, (u64, Vec<u32>)> {
        let runs = runs.whole().unwrap();
        let entry = |index: usize| {
            (runs.strings().get(index).to_vec(), (runs.count(index), runs.tasks(index).to_vec()))
        };
        (0..runs.len()).map(entry).collect()
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_a_typed_error() {
        let mut folder = within(0, Path::new("/nowhere/at/all"));
        let error = add_all(&mut folder, &vec![(vec![1, 2], 0)]).unwrap_err();
        assert!(matches!(error, Error::Spill { code: Some(_), .. }), "{error}");
    }

    #[test]
    fn a_folder_that_lost_runs_fails_from_then_on() {
        let mut folder = within(0, Path::new("/nowhere/at/all"));
        let error = add_all(&mut folder, &vec![(vec![1, 2], 0)]).unwrap_err();
        assert_eq!(add_all(&mut folder, &vec![(vec![], 0)]), Err(error.clone()));
        let more = RunParts::from(Runs::default());
        assert_eq!(folder.add_runs(&more), Err(error.clone()));
        assert_eq!(folder.finish().map(|runs| runs.len()), Err(error));
    }

    #[test]
    fn nothing_is_left_on_disk_when_a_folder_is_dropped_half_way() {
        let scratch = tempdir().unwrap();
        let mut folder = within(0, scratch.path());
        add_all(&mut folder, &vec![(vec![1, 2], 0)]).unwrap();
        drop(folder);
        assert!(is_empty(&scratch));
    }

    #[test]
    fn a_part_of_many_blocks_is_spilled_on_the_way() {
        let scratch = tempdir().unwrap();
        let lengths = [BLOCK_TOKENS / 2 + 1, 7, BLOCK_TOKENS, 0, 3];
        let mut offsets = vec![0];
        offsets.extend(lengths.iter().scan(0, |end, length| {
            *end += length;
            Some(*end)
        }));
        let tokens: Vec<u32> = (0..offsets[lengths.len()] as u32).map(|index| index % 97 % 13).collect();
        let part = Trajectories {
            tokens: &tokens,
            offsets: &offsets,
            action: &vec![true; tokens.len()],
            continues: Some(&tokens.iter().map(|token| token % 5 != 3).collect::<Vec<_>>()),
            tasks: &[4, 2, 0, 1, 3],
        };
        let mut spilling = within(0, scratch.path());
        let mut plain = SpillingFolder::default();
        for folder in [&mut spilling, &mut plain] {
            folder.add(&part, &Barriers::new(&[0]).unwrap()).unwrap();
        }
        assert_eq!(as_map(&spilling.finish().unwrap()), as_map(&plain.finish().unwrap()));
        assert!(is_empty(&scratch));
    }

    #[test]
    fn an_id_that_no_token_has_is_named_by_its_place_among_all_blocks() {
        let scratch = tempdir().unwrap();
        let part = Trajectories {
            tokens: &[vec![1; BLOCK_TOKENS], vec![2, IDS]].concat(),
            offsets: &[0, BLOCK_TOKENS, BLOCK_TOKENS + 2],
            action: &vec![true; BLOCK_TOKENS + 2],
            continues: None,
            tasks: &[0, 1],
        };
        let error = within(0, scratch.path()).add(&part, &Barriers::default()).unwrap_err();
        assert_eq!(error, Error::IdOutOfRange { id: IDS, position: BLOCK_TOKENS + 1, size: IDS });
    }

    #[test]
    fn runs_that_take_more_memory_when_they_are_cut_are_spilled_on_the_way() {
        // Each of the 5,000 pieces is in all tasks: 8 MB, while the runs take 80 KB.
        let tasks: Vec<u32> = (0..200).collect();
        let strings: Vec<Vec<u32>> = (0..50).map(|run| (200 * run..200 * (run + 1)).collect()).collect();
        let strings: Segments = strings.iter().map(Vec::as_slice).collect();
        let task_sets = strings.iter().map(|_| tasks.as_slice()).collect();
        let runs = Runs::from_parts(strings, vec![200; 50], task_sets).unwrap();
        let continues: Vec<bool> = (0..10_000).map(|token| token % 2 == 1).collect();

        let scratch = tempdir().unwrap();
        let (mut spilling, mut plain) = (within(1 << 20, scratch.path()), SpillingFolder::default());
        for folder in [&mut spilling, &mut plain] {
            folder.add_split(&runs, &continues).unwrap();
        }
        let times_spilled = spilling.spilled.as_ref().map_or(0, |file| file.extents(0..1).count());
        assert!(times_spilled > 8, "{times_spilled}");
        assert_eq!(as_map(&spilling.finish().unwrap()), as_map(&plain.finish().unwrap()));
    }

    proptest! {
        #[test]
        fn spilled_equals_not_spilled(
            parts in prop::collection::vec((prop::collection::vec(0u32..5, 0..20), 0u32..4), 0..12),
            folded in prop::collection::vec((prop::collection::vec(0u32..5, 0..20), 0u32..4), 0..6),
            bytes in prop_oneof![Just(0usize), 0usize..4_000],
        ) {
            let scratch = tempdir().unwrap();
            let mut already = SpillingFolder::default();
            add_all(&mut already, &folded).unwrap();
            let already = already.finish().unwrap();
            let mut spilling = within(bytes, scratch.path());
            let mut plain = SpillingFolder::default();
            for folder in [&mut spilling, &mut plain] {
                add_all(folder, &parts).unwrap();
                folder.add_runs(&already).unwrap();
            }
            let (spilled, expected) = (spilling.finish().unwrap(), plain.finish().unwrap());
            prop_assert_eq!(spilled.len(), expected.len());
            prop_assert_eq!(as_map(&spilled), as_map(&expected));
            drop(spilled);
            prop_assert!(is_empty(&scratch));
        }
    }
}
