//! The temporary file of spilled runs: what was written, one after another, each time ordered by partition.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::hash;
use crate::mining::runs::Runs;
use crate::tokens::segments::Segments;

/// Bytes that are written or read at a time.
const BUFFER: usize = 1 << 18;

/// Most partitions that runs can be divided into.
pub const MOST_PARTITIONS: usize = 1 << 12;

/// Tokens and tasks that are read before they are given away.
const BATCH_WORDS: usize = 1 << 20;

/// A file without a name, which ends with this object, and with the process, even with one that is killed.
pub struct SpillFile {
    /// The folder of the file, for messages.
    folder: PathBuf,
    file: File,
    length: u64,
    partitions: usize,
    /// For each time that runs were written, where each partition begins, and the end of the last.
    written: Vec<Vec<u64>>,
}

impl SpillFile {
    /// An empty file in `folder`.
    pub fn create(folder: &Path, partitions: usize) -> Result<Self> {
        let file = tempfile::tempfile_in(folder).map_err(|error| failure(folder, &error))?;
        Ok(SpillFile { folder: folder.into(), file, length: 0, partitions, written: Vec::new() })
    }

    /// The folder that the file lies in.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Writes runs out, those of each partition together.
    pub fn write(&mut self, runs: &Runs) -> Result<()> {
        let groups = by_partition(runs, self.partitions);
        let starts = self.write_groups(runs, &groups).map_err(|error| failure(&self.folder, &error))?;
        self.written.push(starts);
        Ok(())
    }

    /// Bytes of each partition.
    pub fn sizes(&self) -> Vec<u64> {
        let mut sizes = vec![0; self.partitions];
        for starts in &self.written {
            sizes.iter_mut().zip(starts.windows(2)).for_each(|(size, range)| *size += range[1] - range[0]);
        }
        sizes
    }

    /// Where the runs of some partitions are, in the order in which they were written.
    pub fn extents(&self, partitions: Range<usize>) -> impl Iterator<Item = Range<u64>> {
        self.written.iter().map(move |starts| starts[partitions.start]..starts[partitions.end])
    }

    /// Reads the runs of an extent in order, some at a time.
    pub fn read(&mut self, extent: Range<u64>, mut visit: impl FnMut(Runs) -> Result<()>) -> Result<()> {
        let SpillFile { folder, file, .. } = self;
        file.seek(SeekFrom::Start(extent.start)).map_err(|error| failure(folder, &error))?;
        let mut source = BufReader::with_capacity(BUFFER, file).take(extent.end - extent.start);
        while source.limit() > 0 {
            visit(read_batch(&mut source).map_err(|error| failure(folder, &error))??)?;
        }
        Ok(())
    }

    fn write_groups(&mut self, runs: &Runs, groups: &[Vec<u32>]) -> io::Result<Vec<u64>> {
        self.file.seek(SeekFrom::Start(self.length))?;
        let mut out = BufWriter::with_capacity(BUFFER, &self.file);
        let (mut starts, mut bytes) = (vec![self.length], Vec::new());
        for group in groups {
            for &index in group {
                self.length += write_run(&mut out, &mut bytes, runs, index as usize)?;
            }
            starts.push(self.length);
        }
        out.flush()?;
        Ok(starts)
    }
}

fn failure(folder: &Path, error: &io::Error) -> Error {
    Error::Spill {
        folder: folder.display().to_string(),
        reason: error.to_string(),
        code: error.raw_os_error(),
    }
}

/// The indices of the runs of each partition.
fn by_partition(runs: &Runs, partitions: usize) -> Vec<Vec<u32>> {
    if partitions == 1 {
        return vec![(0..runs.len() as u32).collect()];
    }
    let mut groups = vec![Vec::new(); partitions];
    for (index, run) in runs.strings().iter().enumerate() {
        groups[partition_of(run, partitions)].push(index as u32);
    }
    groups
}

/// The partition of a run, by twelve bits of its hash that a folder's index seldom uses: it takes the upper
/// seven, and the lower ones up to its size. Runs that agreed in these would make it slow.
fn partition_of(run: &[u32], partitions: usize) -> usize {
    let bits = hash::of_run(run) >> 45 & (MOST_PARTITIONS as u64 - 1);
    bits as usize * partitions / MOST_PARTITIONS
}

/// One run: its lengths in tokens and tasks, its count, and both; returns the number of bytes. A run that is
/// only parsed may be longer than 32 bits can count.
fn write_run(out: &mut impl Write, bytes: &mut Vec<u8>, runs: &Runs, index: usize) -> io::Result<u64> {
    let (run, tasks) = (runs.strings().get(index), runs.tasks(index));
    let numbers = [run.len() as u64, tasks.len() as u64, runs.count(index)];
    numbers.iter().try_for_each(|number| out.write_all(&number.to_le_bytes()))?;
    bytes.resize((run.len() + tasks.len()) * size_of::<u32>(), 0);
    for (place, word) in bytes.as_chunks_mut().0.iter_mut().zip(run.iter().chain(tasks)) {
        *place = word.to_le_bytes();
    }
    out.write_all(bytes)?;
    Ok((size_of_val(&numbers) + bytes.len()) as u64)
}

fn read_batch(source: &mut io::Take<impl Read>) -> io::Result<Result<Runs>> {
    let (mut segments, mut counts, mut tasks) = (Segments::default(), Vec::new(), Segments::default());
    let (mut bytes, mut words) = (Vec::new(), 0);
    while source.limit() > 0 && words < BATCH_WORDS {
        let lengths = [read_u64(source)? as usize, read_u64(source)? as usize];
        counts.push(read_u64(source)?);
        for (length, list) in lengths.into_iter().zip([&mut segments, &mut tasks]) {
            bytes.resize(length * size_of::<u32>(), 0);
            source.read_exact(&mut bytes)?;
            list.push_from(bytes.as_chunks().0.iter().map(|&word| u32::from_le_bytes(word)));
            words += length;
        }
    }
    Ok(Runs::from_parts(segments, counts, tasks))
}

fn read_u64(source: &mut impl Read) -> io::Result<u64> {
    let mut bytes = [0; 8];
    source.read_exact(&mut bytes)?;
    Ok(u64::from_le_bytes(bytes))
}
