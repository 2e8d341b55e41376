//! Stop strings: the texts that end a stream.

use crate::error::{Error, Result};

/// Texts that end a stream. The first complete one ends it; if several are complete at once, the longest.
#[derive(Debug, Clone)]
pub struct StopStrings {
    stops: Vec<Vec<u8>>,
    /// For each byte, whether a stop string begins with it.
    begins: [bool; 256],
}

impl Default for StopStrings {
    fn default() -> Self {
        StopStrings { stops: Vec::new(), begins: [false; 256] }
    }
}

impl StopStrings {
    /// The given stop strings.
    ///
    /// # Errors
    /// If one is empty.
    pub fn new<S: AsRef<str>>(stops: &[S]) -> Result<Self> {
        let mut begins = [false; 256];
        for (index, stop) in stops.iter().enumerate() {
            let first = stop.as_ref().as_bytes().first().ok_or(Error::EmptyStop { index })?;
            begins[usize::from(*first)] = true;
        }
        let stops = stops.iter().map(|stop| stop.as_ref().as_bytes().to_vec()).collect();
        Ok(StopStrings { stops, begins })
    }

    /// Whether `bytes` neither contain a stop string nor end with the beginning of one.
    #[inline]
    pub(crate) fn pass(&self, bytes: &[u8]) -> bool {
        // Most texts have no byte that begins a stop string; only the others are searched.
        self.stops.is_empty()
            || !bytes.iter().any(|&byte| self.begins[usize::from(byte)])
            || (self.find(bytes).is_none() && self.open(bytes) == 0)
    }

    /// The index and the start of the first complete stop string in `bytes`.
    pub(crate) fn find(&self, bytes: &[u8]) -> Option<(usize, usize)> {
        let first_end = |stop: &Vec<u8>| {
            bytes.windows(stop.len()).position(|window| window == stop).map(|start| start + stop.len())
        };
        let ends = self.stops.iter().enumerate().filter_map(|(index, stop)| Some((index, first_end(stop)?)));
        let (index, end) =
            ends.min_by_key(|&(index, end)| (end, std::cmp::Reverse(self.stops[index].len())))?;
        Some((index, end - self.stops[index].len()))
    }

    /// The number of last `bytes` that could still become a stop string.
    pub(crate) fn open(&self, bytes: &[u8]) -> usize {
        let open_of = |stop: &Vec<u8>| {
            let longest = bytes.len().min(stop.len() - 1);
            (1..=longest).rev().find(|&length| bytes.ends_with(&stop[..length])).unwrap_or(0)
        };
        self.stops.iter().map(open_of).max().unwrap_or(0)
    }
}
