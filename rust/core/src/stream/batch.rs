//! The streams of many requests, stepped together.

use crate::error::{Error, Result};
use crate::stream::{Piece, Stream};
use crate::tokens::checks::check_length;

/// The streams of many requests.
#[derive(Debug, Clone)]
pub struct StreamBatch {
    streams: Vec<Stream>,
}

impl StreamBatch {
    /// A batch of the given streams.
    pub fn new(streams: Vec<Stream>) -> Self {
        StreamBatch { streams }
    }

    /// A batch of as many streams as there are requests, each of which begins like `stream`.
    ///
    /// # Errors
    /// If there is no memory for so many.
    pub fn repeated(stream: &Stream, requests: usize) -> Result<Self> {
        let mut streams = Vec::new();
        streams.try_reserve_exact(requests).map_err(|_| Error::TooManyStreams { requests })?;
        streams.resize(requests, stream.clone());
        Ok(StreamBatch { streams })
    }

    /// The streams.
    pub fn streams(&self) -> &[Stream] {
        &self.streams
    }

    /// Pushes `units[i]` to stream `i`; returns the released text of each. Streams that have ended are
    /// skipped.
    ///
    /// # Errors
    /// If there is not one unit for each stream, or an id of a running stream is out of range; then all
    /// streams are unchanged.
    pub fn push(&mut self, units: &[u32]) -> Result<Vec<Piece>> {
        check_length("units", units.len(), self.streams.len())?;
        for (position, (stream, &unit)) in self.streams.iter().zip(units).enumerate() {
            stream.check(unit, position)?;
        }
        let push = |(stream, &unit): (&mut Stream, &u32)| match stream.finish() {
            None => stream.push(unit),
            Some(_) => Ok(Piece::Other(String::new())),
        };
        self.streams.iter_mut().zip(units).map(push).collect()
    }

    /// Ends every stream; returns the held text of each.
    pub fn flush(&mut self) -> Vec<String> {
        self.streams.iter_mut().map(Stream::flush).collect()
    }
}
