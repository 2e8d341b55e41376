//! Streaming expansion: units in, text out, exactly as the whole text would read.
//!
//! What all requests share ([`Expander`]) is immutable; what one request needs ([`Stream`]) is a few words
//! and the bytes held back: those that may still become a character or a stop string.

use std::sync::Arc;

use crate::error::{Error, Result, check_length};
use crate::vocabulary::Vocabulary;

/// A vocabulary together with the bytes of each of its ids.
#[derive(Debug, Clone)]
pub struct Expander {
    vocabulary: Arc<Vocabulary>,
    bytes: Vec<u8>,
    /// Where the bytes of each id begin, base ids first, then latents; and the end of the last.
    offsets: Vec<usize>,
}

impl Expander {
    /// An expander over the bytes of each base id: `bytes[offsets[id]..offsets[id + 1]]`.
    ///
    /// An id with no bytes is silent: special tokens, as a rule.
    ///
    /// # Errors
    /// If the offsets do not divide the bytes into one stretch for each base id.
    pub fn new(vocabulary: Arc<Vocabulary>, mut bytes: Vec<u8>, mut offsets: Vec<usize>) -> Result<Self> {
        crate::error::check_offsets(&offsets, bytes.len())?;
        check_length("token bytes", offsets.len() - 1, vocabulary.base_size() as usize)?;
        for segment in vocabulary.segments().iter() {
            for &token in segment {
                let range = offsets[token as usize]..offsets[token as usize + 1];
                bytes.extend_from_within(range);
            }
            offsets.push(bytes.len());
        }
        Ok(Expander { vocabulary, bytes, offsets })
    }

    /// The vocabulary.
    pub fn vocabulary(&self) -> &Vocabulary {
        &self.vocabulary
    }

    /// The text of units; bytes that are no UTF-8 become U+FFFD.
    ///
    /// # Errors
    /// If an id is neither a base id nor a latent.
    pub fn text(&self, units: &[u32]) -> Result<String> {
        let mut bytes = Vec::new();
        for (position, &unit) in units.iter().enumerate() {
            bytes.extend_from_slice(self.bytes_of(unit).ok_or(self.out_of_range(unit, position))?);
        }
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn bytes_of(&self, unit: u32) -> Option<&[u8]> {
        let end = *self.offsets.get(unit as usize + 1)?;
        Some(&self.bytes[self.offsets[unit as usize]..end])
    }

    fn out_of_range(&self, id: u32, position: usize) -> Error {
        Error::IdOutOfRange { id, position, size: self.vocabulary.size() }
    }
}

/// Texts that end a stream. The first to be complete ends it; of several complete at once, the longest.
#[derive(Debug, Clone, Default)]
pub struct StopStrings {
    stops: Vec<Vec<u8>>,
}

impl StopStrings {
    /// The given stop strings.
    ///
    /// # Errors
    /// If one is empty.
    pub fn new<S: AsRef<str>>(stops: &[S]) -> Result<Self> {
        match stops.iter().position(|stop| stop.as_ref().is_empty()) {
            Some(index) => Err(Error::EmptyStop { index }),
            None => Ok(StopStrings {
                stops: stops.iter().map(|stop| stop.as_ref().as_bytes().to_vec()).collect(),
            }),
        }
    }

    /// The stop string that is complete first in `bytes`: its index and where it begins.
    fn find(&self, bytes: &[u8]) -> Option<(usize, usize)> {
        let first_end = |stop: &Vec<u8>| {
            bytes.windows(stop.len()).position(|window| window == stop).map(|start| start + stop.len())
        };
        let ends = self.stops.iter().enumerate().filter_map(|(index, stop)| Some((index, first_end(stop)?)));
        let (index, end) =
            ends.min_by_key(|&(index, end)| (end, std::cmp::Reverse(self.stops[index].len())))?;
        Some((index, end - self.stops[index].len()))
    }

    /// How many of the last `bytes` could still become a stop string.
    fn open(&self, bytes: &[u8]) -> usize {
        let open_of = |stop: &Vec<u8>| {
            let longest = bytes.len().min(stop.len() - 1);
            (1..=longest).rev().find(|&length| bytes.ends_with(&stop[..length])).unwrap_or(0)
        };
        self.stops.iter().map(open_of).max().unwrap_or(0)
    }
}

/// How much a stream may say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Budget {
    /// As much as it likes.
    #[default]
    Unlimited,
    /// So many units.
    Units(u64),
    /// So many base tokens: the last latent is cut where the budget ends.
    BaseTokens(u64),
}

/// Why a stream has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finish {
    /// The stop string of this index is complete.
    Stop(usize),
    /// The budget is spent.
    Length,
    /// [`Stream::flush`] was called.
    Flushed,
}

/// The expansion of one request's units.
#[derive(Debug, Clone)]
pub struct Stream {
    expander: Arc<Expander>,
    stops: Arc<StopStrings>,
    budget: Budget,
    held: Vec<u8>,
    units: u64,
    base_tokens: u64,
    finish: Option<Finish>,
}

impl Stream {
    /// A stream that has said nothing yet.
    pub fn new(expander: Arc<Expander>, stops: Arc<StopStrings>, budget: Budget) -> Self {
        Stream { expander, stops, budget, held: Vec::new(), units: 0, base_tokens: 0, finish: None }
    }

    /// Units pushed so far.
    pub fn units(&self) -> u64 {
        self.units
    }

    /// Base tokens that the units stand for, up to the budget's end.
    pub fn base_tokens(&self) -> u64 {
        self.base_tokens
    }

    /// Why the stream has ended; None while it has not.
    pub fn finish(&self) -> Option<Finish> {
        self.finish
    }

    /// Takes one unit and appends to `text` all that is certain now.
    ///
    /// # Errors
    /// If the id is neither a base id nor a latent, or the stream has ended. The stream is unchanged then.
    pub fn push(&mut self, unit: u32, text: &mut String) -> Result<()> {
        if self.finish.is_some() || self.is_spent() {
            return Err(Error::StreamEnded);
        }
        let expander = Arc::clone(&self.expander);
        let bytes =
            expander.bytes_of(unit).ok_or_else(|| expander.out_of_range(unit, self.units as usize))?;
        let length = expander.vocabulary.segment(unit).map_or(1, <[u32]>::len) as u64;
        self.units += 1;
        match self.budget {
            Budget::BaseTokens(budget) if self.base_tokens + length > budget => {
                self.push_cut(&expander, unit, (budget - self.base_tokens) as usize);
            }
            _ => {
                self.held.extend_from_slice(bytes);
                self.base_tokens += length;
            }
        }
        self.release(text);
        if self.finish.is_none() && self.is_spent() {
            self.end(Finish::Length, text);
        }
        Ok(())
    }

    /// Ends the stream and appends to `text` what was held back; a no-op where it has ended already.
    pub fn flush(&mut self, text: &mut String) {
        if self.finish.is_none() {
            self.end(Finish::Flushed, text);
        }
    }

    fn is_spent(&self) -> bool {
        match self.budget {
            Budget::Unlimited => false,
            Budget::Units(budget) => self.units >= budget,
            Budget::BaseTokens(budget) => self.base_tokens >= budget,
        }
    }

    /// Holds the bytes of a latent's first `length` tokens.
    fn push_cut(&mut self, expander: &Expander, unit: u32, length: usize) {
        for &token in expander.vocabulary.segment(unit).iter().flat_map(|segment| &segment[..length]) {
            self.held.extend_from_slice(expander.bytes_of(token).unwrap_or_default());
        }
        self.base_tokens += length as u64;
    }

    /// Appends to `text` the held bytes that nothing to come can change.
    fn release(&mut self, text: &mut String) {
        if let Some((index, start)) = self.stops.find(&self.held) {
            self.held.truncate(start);
            self.end(Finish::Stop(index), text);
            return;
        }
        let open = self.stops.open(&self.held).max(incomplete_character(&self.held));
        let certain = self.held.len() - open;
        text.push_str(&String::from_utf8_lossy(&self.held[..certain]));
        self.held.drain(..certain);
    }

    fn end(&mut self, finish: Finish, text: &mut String) {
        text.push_str(&String::from_utf8_lossy(&self.held));
        self.held.clear();
        self.finish = Some(finish);
    }
}

/// How many of the last bytes begin a character whose rest may still come.
fn incomplete_character(bytes: &[u8]) -> usize {
    let tail = &bytes[bytes.len().saturating_sub(3)..];
    let lead = tail.iter().rposition(|&byte| byte & 0b1100_0000 != 0b1000_0000);
    let Some(character) = lead.map(|start| &tail[start..]) else {
        return 0;
    };
    match std::str::from_utf8(character) {
        Err(error) if error.error_len().is_none() => character.len(),
        _ => 0,
    }
}

/// The streams of many requests, stepped together.
#[derive(Debug, Clone)]
pub struct StreamBatch {
    streams: Vec<Stream>,
}

impl StreamBatch {
    /// A batch of the given streams.
    pub fn new(streams: Vec<Stream>) -> Self {
        StreamBatch { streams }
    }

    /// The streams.
    pub fn streams(&self) -> &[Stream] {
        &self.streams
    }

    /// Pushes `units[i]` to stream `i` and appends its text to `texts`; ended streams take no part.
    ///
    /// # Errors
    /// If there is not one unit for each stream, or an id of a running stream is out of range; then no
    /// stream has changed.
    pub fn push(&mut self, units: &[u32], texts: &mut Vec<String>) -> Result<()> {
        check_length("units", units.len(), self.streams.len())?;
        for (position, (stream, &unit)) in self.streams.iter().zip(units).enumerate() {
            if stream.finish.is_none() && stream.expander.bytes_of(unit).is_none() {
                return Err(stream.expander.out_of_range(unit, position));
            }
        }
        for (stream, &unit) in self.streams.iter_mut().zip(units) {
            let mut text = String::new();
            if stream.finish.is_none() {
                stream.push(unit, &mut text)?;
            }
            texts.push(text);
        }
        Ok(())
    }

    /// Ends every stream and appends what each held back to `texts`.
    pub fn flush(&mut self, texts: &mut Vec<String>) {
        for stream in &mut self.streams {
            let mut text = String::new();
            stream.flush(&mut text);
            texts.push(text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::segments::Segments;
    use proptest::prelude::*;

    /// Base ids 0 to 255 are the bytes themselves; one latent for each segment.
    fn expander(segments: &[&[u8]]) -> Arc<Expander> {
        let mut flat = Segments::default();
        for segment in segments {
            flat.push(&segment.iter().map(|&byte| u32::from(byte)).collect::<Vec<_>>());
        }
        let vocabulary = Arc::new(Vocabulary::new(256, flat).unwrap());
        Arc::new(Expander::new(vocabulary, (0..=255).collect(), (0..=256).collect()).unwrap())
    }

    fn stream(expander: &Arc<Expander>, stops: &[&str], budget: Budget) -> Stream {
        Stream::new(Arc::clone(expander), Arc::new(StopStrings::new(stops).unwrap()), budget)
    }

    /// All pieces of text, the flushed one last; pushes until the stream ends.
    fn pieces(mut stream: Stream, units: &[u32]) -> (Vec<String>, Option<Finish>) {
        let mut pieces = Vec::new();
        for &unit in units {
            if stream.finish().is_none() {
                let mut text = String::new();
                stream.push(unit, &mut text).unwrap();
                pieces.push(text);
            }
        }
        let mut text = String::new();
        let finish = stream.finish();
        stream.flush(&mut text);
        pieces.push(text);
        (pieces, finish)
    }

    fn bytes(text: &str) -> Vec<u32> {
        text.bytes().map(u32::from).collect()
    }

    #[test]
    fn half_a_character_is_held_back() {
        let (texts, _) = pieces(stream(&expander(&[]), &[], Budget::Unlimited), &bytes("né!"));
        assert_eq!(texts, ["n", "", "é", "!", ""]);
    }

    #[test]
    fn a_stop_string_inside_an_expansion_cuts_exactly() {
        let expander = expander(&[b"done\nObservation: x"]);
        let (texts, finish) = pieces(stream(&expander, &["Observation:"], Budget::Unlimited), &[256]);
        assert_eq!((texts.concat().as_str(), finish), ("done\n", Some(Finish::Stop(0))));
    }

    #[test]
    fn text_is_held_only_while_a_stop_string_may_complete() {
        let (texts, finish) =
            pieces(stream(&expander(&[]), &["stop"], Budget::Unlimited), &bytes("a st.sto"));
        assert_eq!(texts, ["a", " ", "", "", "st.", "", "", "", "sto"]);
        assert_eq!(finish, None);
    }

    #[test]
    fn budgets_count_units_or_base_tokens() {
        let expander = expander(&[b"abcd"]);
        let (texts, finish) = pieces(stream(&expander, &[], Budget::Units(2)), &[256, 256, 256]);
        assert_eq!((texts.concat().as_str(), finish), ("abcdabcd", Some(Finish::Length)));
        let (texts, finish) = pieces(stream(&expander, &[], Budget::BaseTokens(6)), &[256, 256, 256]);
        assert_eq!((texts.concat().as_str(), finish), ("abcdab", Some(Finish::Length)));
    }

    #[test]
    fn an_ended_stream_and_a_wrong_id_are_refused() {
        let expander = expander(&[]);
        let mut ended = stream(&expander, &["a"], Budget::Unlimited);
        let mut text = String::new();
        assert_eq!(ended.push(256, &mut text), Err(Error::IdOutOfRange { id: 256, position: 0, size: 256 }));
        ended.push(u32::from(b'a'), &mut text).unwrap();
        assert_eq!(ended.push(0, &mut text), Err(Error::StreamEnded));
        assert_eq!(stream(&expander, &[], Budget::Units(0)).push(0, &mut text), Err(Error::StreamEnded));
        assert_eq!(StopStrings::new(&["a", ""]).unwrap_err(), Error::EmptyStop { index: 1 });
    }

    proptest! {
        #[test]
        fn a_stream_says_what_the_whole_would_say(
            text in prop::collection::vec(prop_oneof![3 => 97u8..101, 1 => any::<u8>()], 0..40),
            segments in prop::collection::btree_set(prop::collection::vec(97u8..101, 2..5), 0..8),
            stops in prop::collection::vec("[a-d]{1,3}", 0..3),
        ) {
            let segments: Vec<&[u8]> = segments.iter().map(Vec::as_slice).collect();
            let stops: Vec<&str> = stops.iter().map(String::as_str).collect();
            let expander = expander(&segments);
            let tokens: Vec<u32> = text.iter().map(|&byte| u32::from(byte)).collect();
            let units = expander.vocabulary().encode(&tokens).unwrap();
            prop_assert_eq!(expander.text(&units).unwrap(), String::from_utf8_lossy(&text));
            // The same bytes as units and one at a time: every chunking says the same and ends the same.
            let in_units = pieces(stream(&expander, &stops, Budget::Unlimited), &units);
            let in_bytes = pieces(stream(&expander, &stops, Budget::Unlimited), &tokens);
            prop_assert_eq!(in_units.0.concat(), in_bytes.0.concat());
            prop_assert_eq!(in_units.1, in_bytes.1);
            // And by definition: cut where the first complete stop string begins.
            let stopped_at = (0..=text.len()).find_map(|end| {
                stops.iter().filter(|stop| text[..end].ends_with(stop.as_bytes())).map(|stop| end - stop.len()).min()
            });
            let expected = &text[..stopped_at.unwrap_or(text.len())];
            prop_assert_eq!(in_units.0.concat(), String::from_utf8_lossy(expected));
        }
    }
}
