//! The temporary file of spilled runs: what was written, one after another, each time ordered by partition.

use std::fs::File;
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process;

use crate::error::{Error, Result};
use crate::hash;
use crate::mining::runs::{Runs, bytes_of};
use crate::tokens::segments::Segments;

/// Bytes that are written or read at a time.
const BUFFER: usize = 1 << 18;

/// Most partitions that runs can be divided into.
pub const MOST_PARTITIONS: usize = 1 << 12;

/// The steps that can fail, for messages.
const WRITTEN: &str = "spilled to";
const READ: &str = "read again from";

/// A file without a name, which ends with this object, and with the process, even with one that is killed.
///
/// A forked process shares the file. It can read what was written before, but not write: it would write where the
/// other process does.
#[derive(Debug)]
pub struct SpillFile {
    /// The folder of the file, for messages.
    folder: PathBuf,
    file: File,
    /// The process that writes.
    writer: u32,
    length: u64,
    partitions: usize,
    /// For each time that runs were written, those of each partition.
    written: Vec<Vec<Extent>>,
}

/// Runs in a file: where their five arrays begin, which lie end to end, and how long these are.
#[derive(Debug, Clone, Copy)]
pub struct Extent {
    start: u64,
    runs: usize,
    tokens: usize,
    tasks: usize,
}

impl Extent {
    /// Its runs, and the zeros before the offsets.
    fn bytes(&self) -> u64 {
        bytes_of(self.runs, self.tokens + self.tasks) + 2 * size_of::<u64>() as u64
    }
}

impl SpillFile {
    /// An empty file in `folder`.
    pub fn create(folder: &Path, partitions: usize) -> Result<Self> {
        let file = tempfile::tempfile_in(folder).map_err(|error| failure(WRITTEN, folder, &error))?;
        let (folder, writer) = (folder.into(), process::id());
        Ok(SpillFile { folder, file, writer, length: 0, partitions, written: Vec::new() })
    }

    /// Writes runs out, those of each partition together.
    ///
    /// # Errors
    /// If the system cannot write them, or the process was forked from the one that made the file.
    pub fn write(&mut self, runs: &Runs) -> Result<()> {
        let written = self.write_groups(runs).map_err(|error| failure(WRITTEN, &self.folder, &error))?;
        self.written.push(written);
        Ok(())
    }

    /// Bytes of each partition.
    pub fn sizes(&self) -> Vec<u64> {
        let mut sizes = vec![0; self.partitions];
        for extents in &self.written {
            sizes.iter_mut().zip(extents).for_each(|(size, extent)| *size += extent.bytes());
        }
        sizes
    }

    /// Where the runs of some partitions are, in the order in which they were written.
    pub fn extents(&self, partitions: Range<usize>) -> impl Iterator<Item = Extent> {
        self.written.iter().flat_map(move |extents| extents[partitions.clone()].iter().copied())
    }

    /// Reads the runs of an extent into the memory of others, which are given up.
    pub fn read(&self, extent: Extent, others: Runs) -> Result<Runs> {
        let read = read_runs(&mut Reader { file: &self.file, place: extent.start }, extent, others);
        // Where the arrays do not fit together, a disk gave back other bytes than it was given.
        let runs = read.and_then(|runs| runs.map_err(|error| io::Error::other(error.to_string())));
        runs.map_err(|error| failure(READ, &self.folder, &error))
    }

    fn write_groups(&mut self, runs: &Runs) -> io::Result<Vec<Extent>> {
        if self.writer != process::id() {
            return Err(io::Error::other("another process, which this one was forked from, writes the file"));
        }
        self.file.seek(SeekFrom::Start(self.length))?;
        let mut out = BufWriter::with_capacity(BUFFER, &self.file);
        let mut written = Vec::with_capacity(self.partitions);
        let mut write = |runs: &Runs| -> io::Result<()> {
            let (tokens, tasks) = (runs.strings().tokens().len(), runs.task_sets().tokens().len());
            let extent = Extent { start: self.length, runs: runs.len(), tokens, tasks };
            self.length += extent.bytes();
            written.push(extent);
            write_runs(&mut out, runs)
        };
        match self.partitions {
            1 => write(runs)?,
            partitions => by_partition(runs, partitions)
                .iter()
                .try_for_each(|group| write(&runs.some(group.iter().map(|&run| run as usize))))?,
        }
        out.flush()?;
        Ok(written)
    }
}

fn failure(step: &'static str, folder: &Path, error: &io::Error) -> Error {
    let (folder, reason) = (folder.display().to_string(), error.to_string());
    Error::Spill { step, folder, reason, code: error.raw_os_error() }
}

/// The indices of the runs of each partition.
fn by_partition(runs: &Runs, partitions: usize) -> Vec<Vec<u32>> {
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

fn write_runs(out: &mut impl Write, runs: &Runs) -> io::Result<()> {
    let (strings, tasks) = (runs.strings(), runs.task_sets());
    let offset = |&offset: &usize| (offset as u64).to_le_bytes();
    write_numbers(out, strings.offsets(), offset)?;
    write_numbers(out, runs.counts(), |count| count.to_le_bytes())?;
    write_numbers(out, tasks.offsets(), offset)?;
    write_numbers(out, strings.tokens(), |id| id.to_le_bytes())?;
    write_numbers(out, tasks.tokens(), |task| task.to_le_bytes())
}

fn write_numbers<T, const N: usize>(
    out: &mut impl Write,
    numbers: &[T],
    to_bytes: impl Fn(&T) -> [u8; N],
) -> io::Result<()> {
    let mut bytes = vec![0; BUFFER.min(N * numbers.len())];
    for some in numbers.chunks(BUFFER / N) {
        let bytes = &mut bytes[..N * some.len()];
        for (place, number) in bytes.as_chunks_mut().0.iter_mut().zip(some) {
            *place = to_bytes(number);
        }
        out.write_all(bytes)?;
    }
    Ok(())
}

/// Reads a file from a place on. The file's own place is shared with forked processes, so it is not used: another
/// process could move it between two reads.
struct Reader<'a> {
    file: &'a File,
    place: u64,
}

impl Read for Reader<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let read = read_at(self.file, bytes, self.place)?;
        self.place += read as u64;
        Ok(read)
    }
}

#[cfg(windows)]
fn read_at(file: &File, bytes: &mut [u8], place: u64) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_read(file, bytes, place)
}

#[cfg(not(windows))]
fn read_at(file: &File, bytes: &mut [u8], place: u64) -> io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, bytes, place)
}

fn read_runs(file: &mut impl Read, extent: Extent, others: Runs) -> io::Result<Result<Runs>> {
    let (strings, mut counts, tasks) = others.into_parts();
    let ((mut ids, mut starts), (mut set_ids, mut set_starts)) = (strings.into_flat(), tasks.into_flat());
    let offset = |bytes| u64::from_le_bytes(bytes) as usize;
    read_numbers(file, extent.runs + 1, offset, &mut starts)?;
    read_numbers(file, extent.runs, u64::from_le_bytes, &mut counts)?;
    read_numbers(file, extent.runs + 1, offset, &mut set_starts)?;
    read_numbers(file, extent.tokens, u32::from_le_bytes, &mut ids)?;
    read_numbers(file, extent.tasks, u32::from_le_bytes, &mut set_ids)?;
    let (strings, tasks) = (Segments::from_flat(ids, starts), Segments::from_flat(set_ids, set_starts));
    Ok(strings.and_then(|strings| Runs::from_parts(strings, counts, tasks?)))
}

/// Reads so many numbers into `numbers`, whose memory is kept.
fn read_numbers<T, const N: usize>(
    source: &mut impl Read,
    number: usize,
    from_bytes: impl Fn([u8; N]) -> T,
    numbers: &mut Vec<T>,
) -> io::Result<()> {
    numbers.clear();
    numbers.reserve_exact(number);
    let mut bytes = vec![0; BUFFER.min(N * number)];
    while numbers.len() < number {
        let some = (number - numbers.len()).min(BUFFER / N);
        let bytes = &mut bytes[..N * some];
        source.read_exact(bytes)?;
        numbers.extend(bytes.as_chunks().0.iter().map(|&number| from_bytes(number)));
    }
    Ok(())
}

/// A disk that fails, and a forked process.
#[cfg(test)]
impl SpillFile {
    pub fn fork(&mut self) {
        self.writer = 0;
    }

    /// The place in the file that forked processes share.
    pub fn shared_place(&self) -> u64 {
        (&self.file).stream_position().unwrap()
    }

    pub fn cut_to(&mut self, length: u64) {
        self.file.set_len(length).unwrap();
    }

    pub fn overwrite(&mut self, place: u64, bytes: &[u8]) {
        self.file.seek(SeekFrom::Start(place)).unwrap();
        self.file.write_all(bytes).unwrap();
    }
}
