//! Streaming expansion: units in, text out. The pieces joined are exactly the text of all units.
//!
//! The state of a request is a few words and the held bytes, which may still become a character or a stop
//! string. Most pushes release exactly the text of their unit. Then no text is copied, and the caller can
//! reuse one string for each unit.

pub mod batch;
pub mod expander;
pub mod stop_strings;

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::stream::expander::Expander;
use crate::stream::stop_strings::StopStrings;

/// The limit of a stream's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Budget {
    /// No limit.
    #[default]
    Unlimited,
    /// A number of units.
    Units(u64),
    /// A number of base tokens; a latent is cut where the budget ends.
    BaseTokens(u64),
}

/// The reason why a stream has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finish {
    /// The stop string of this index is complete.
    Stop(usize),
    /// The budget is spent.
    Length,
    /// [`Stream::flush`] was called.
    Flushed,
}

/// The text that a push releases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// Exactly the text of the pushed unit: [`Expander::own_text`].
    Own(u32),
    /// Any other text, which may be empty.
    Other(String),
}

/// The expansion of one request's units.
///
/// Text that may still become a stop string is held until the next units decide, or until the flush:
///
/// ```
/// use std::sync::Arc;
///
/// use lar_core::Vocabulary;
/// use lar_core::stream::expander::Expander;
/// use lar_core::stream::stop_strings::StopStrings;
/// use lar_core::stream::{Budget, Finish, Piece, Stream};
/// use lar_core::tokens::bytes::TokenBytes;
///
/// # fn main() -> lar_core::Result<()> {
/// // Base ids are bytes; the latent 256 is "ok".
/// let segment = [u32::from(b'o'), u32::from(b'k')];
/// let vocabulary = Arc::new(Vocabulary::new(256, [segment.as_slice()].into_iter().collect())?);
/// let token_bytes = TokenBytes::new((0..=255).collect(), (0..=256).collect())?;
/// let expander = Arc::new(Expander::new(vocabulary, token_bytes)?);
/// let stops = Arc::new(StopStrings::new(&["END"])?);
///
/// let mut stream = Stream::new(Arc::clone(&expander), Arc::clone(&stops), Budget::Unlimited);
/// assert_eq!(stream.push(256)?, Piece::Own(256));
/// assert_eq!(expander.own_text(256), Some("ok"));
/// assert_eq!(stream.push(u32::from(b'E'))?, Piece::Other(String::new()));
/// assert_eq!(stream.push(u32::from(b'!'))?, Piece::Other("E!".into()));
/// assert_eq!(stream.push(u32::from(b'E'))?, Piece::Other(String::new()));
/// assert_eq!(stream.flush(), "E");
///
/// let mut stopped = Stream::new(expander, stops, Budget::Unlimited);
/// for byte in *b"END" {
///     assert_eq!(stopped.push(byte.into())?, Piece::Other(String::new()));
/// }
/// assert_eq!(stopped.finish(), Some(Finish::Stop(0)));
/// # Ok(())
/// # }
/// ```
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
    /// A new stream.
    pub fn new(expander: Arc<Expander>, stops: Arc<StopStrings>, budget: Budget) -> Self {
        let mut stream =
            Stream { expander, stops, budget, held: Vec::new(), units: 0, base_tokens: 0, finish: None };
        stream.finish = stream.is_spent().then_some(Finish::Length);
        stream
    }

    /// The vocabulary and bytes that all streams share.
    pub fn expander(&self) -> &Expander {
        &self.expander
    }

    /// Units pushed so far.
    pub fn units(&self) -> u64 {
        self.units
    }

    /// Base tokens of the pushed units, up to the end of the budget.
    pub fn base_tokens(&self) -> u64 {
        self.base_tokens
    }

    /// The reason why the stream has ended; None while it has not ended.
    pub fn finish(&self) -> Option<Finish> {
        self.finish
    }

    /// Takes one unit; returns the text that is final now.
    ///
    /// # Errors
    /// If the id is neither a base id nor a latent, or the stream has ended; then the stream is unchanged.
    pub fn push(&mut self, unit: u32) -> Result<Piece> {
        if self.finish.is_some() {
            return Err(Error::StreamEnded);
        }
        let Some(bytes) = self.expander.bytes_of(unit) else {
            return Err(self.expander.out_of_range(unit, self.units as usize));
        };
        let length = u64::from(self.expander.vocabulary().length(unit));
        let whole = self.held.is_empty() && self.expander.is_whole(unit) && !self.cuts(length);
        if !whole || !self.stops.pass(bytes) {
            return Ok(Piece::Other(self.push_with_held(unit, length)));
        }
        self.units += 1;
        self.base_tokens += length;
        if self.is_spent() {
            self.finish = Some(Finish::Length);
        }
        Ok(Piece::Own(unit))
    }

    /// Checks that `unit`, at `position` of its batch, is valid; a stream that has ended accepts any.
    pub(crate) fn check(&self, unit: u32, position: usize) -> Result<()> {
        match self.finish.is_some() || unit < self.expander.vocabulary().size() {
            true => Ok(()),
            false => Err(self.expander.out_of_range(unit, position)),
        }
    }

    /// Ends the stream; returns the held text, which is empty if the stream had ended already.
    pub fn flush(&mut self) -> String {
        let mut text = String::new();
        if self.finish.is_none() {
            self.end(Finish::Flushed, &mut text);
        }
        text
    }

    /// Takes a unit of `length` base tokens through the held bytes.
    fn push_with_held(&mut self, unit: u32, length: u64) -> String {
        let taken = match self.budget {
            Budget::BaseTokens(budget) => length.min(budget - self.base_tokens),
            _ => length,
        };
        self.hold(unit, taken, length);
        self.units += 1;
        self.base_tokens += taken;
        let mut text = String::new();
        self.release(&mut text);
        if self.finish.is_none() && self.is_spent() {
            self.end(Finish::Length, &mut text);
        }
        text
    }

    /// Holds the bytes of the first `taken` of the unit's `length` base tokens.
    fn hold(&mut self, unit: u32, taken: u64, length: u64) {
        let Stream { expander, held, .. } = self;
        if taken == length {
            held.extend_from_slice(expander.bytes_of(unit).unwrap_or_default());
            return;
        }
        for &token in
            expander.vocabulary().segment(unit).iter().flat_map(|segment| &segment[..taken as usize])
        {
            held.extend_from_slice(expander.bytes_of(token).unwrap_or_default());
        }
    }

    /// Whether the budget ends inside a unit of `length` base tokens.
    fn cuts(&self, length: u64) -> bool {
        matches!(self.budget, Budget::BaseTokens(budget) if self.base_tokens + length > budget)
    }

    fn is_spent(&self) -> bool {
        match self.budget {
            Budget::Unlimited => false,
            Budget::Units(budget) => self.units >= budget,
            Budget::BaseTokens(budget) => self.base_tokens >= budget,
        }
    }

    /// Appends to `text` the held bytes that are final.
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

/// The number of last bytes that begin an incomplete character.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::batch::StreamBatch;
    use crate::tokens::bytes::TokenBytes;
    use crate::tokens::segments::Segments;
    use crate::vocabulary::Vocabulary;
    use proptest::prelude::*;

    /// Base ids 0 to 255 are bytes, followed by a latent for each segment.
    fn expander(segments: &[&[u8]]) -> Arc<Expander> {
        let mut flat = Segments::default();
        for segment in segments {
            flat.push(&segment.iter().map(|&byte| u32::from(byte)).collect::<Vec<_>>());
        }
        let vocabulary = Arc::new(Vocabulary::new(256, flat).unwrap());
        let token_bytes = TokenBytes::new((0..=255).collect(), (0..=256).collect()).unwrap();
        Arc::new(Expander::new(vocabulary, token_bytes).unwrap())
    }

    fn stream(expander: &Arc<Expander>, stops: &[&str], budget: Budget) -> Stream {
        Stream::new(Arc::clone(expander), Arc::new(StopStrings::new(stops).unwrap()), budget)
    }

    /// All pieces of text until the stream ends, with the flushed text last.
    fn pieces(mut stream: Stream, units: &[u32]) -> (Vec<String>, Option<Finish>) {
        let mut pieces = Vec::new();
        for &unit in units {
            if stream.finish().is_none() {
                pieces.push(match stream.push(unit).unwrap() {
                    Piece::Own(unit) => stream.expander.own_text(unit).unwrap().to_owned(),
                    Piece::Other(text) => text,
                });
            }
        }
        let finish = stream.finish();
        pieces.push(stream.flush());
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
    fn a_units_own_text_differs_from_other_text() {
        let expander = expander(&[b"stop", b"ab"]);
        let mut stream = stream(&expander, &["stops"], Budget::Unlimited);
        assert_eq!(stream.push(257), Ok(Piece::Own(257)));
        assert_eq!(stream.push(256), Ok(Piece::Other(String::new())));
        assert_eq!(stream.push(257), Ok(Piece::Other("stopab".into())));
        assert_eq!(stream.push(257), Ok(Piece::Own(257)));
    }

    #[test]
    fn an_ended_stream_and_a_wrong_id_are_refused() {
        let expander = expander(&[]);
        let mut ended = stream(&expander, &["a"], Budget::Unlimited);
        assert_eq!(ended.push(256), Err(Error::IdOutOfRange { id: 256, position: 0, size: 256 }));
        assert_eq!(ended.push(u32::MAX), Err(Error::IdOutOfRange { id: u32::MAX, position: 0, size: 256 }));
        ended.push(u32::from(b'a')).unwrap();
        assert_eq!(ended.push(0), Err(Error::StreamEnded));
        let mut spent = stream(&expander, &[], Budget::Units(0));
        assert_eq!((spent.finish(), spent.push(0)), (Some(Finish::Length), Err(Error::StreamEnded)));
        assert_eq!(StopStrings::new(&["a", ""]).unwrap_err(), Error::EmptyStop { index: 1 });
    }

    /// The start of the first complete stop string, by its definition.
    fn cut_by_definition(text: &[u8], stops: &[&str]) -> Option<usize> {
        (0..=text.len()).find_map(|end| {
            let complete = stops.iter().filter(|stop| text[..end].ends_with(stop.as_bytes()));
            complete.map(|stop| end - stop.len()).min()
        })
    }

    /// Bytes, and the lengths of chunks of them.
    fn chunked_text() -> impl Strategy<Value = (Vec<u8>, Vec<usize>)> {
        let byte = prop_oneof![6 => 97u8..101, 1 => any::<u8>()];
        // Whole characters of several bytes, so that chunks cut some of them.
        let piece =
            prop_oneof![4 => prop::collection::vec(byte, 0..4), 1 => "[é€😀]".prop_map(String::into_bytes)];
        (
            prop::collection::vec(piece, 0..16).prop_map(|pieces| pieces.concat()),
            prop::collection::vec(1usize..7, 60),
        )
    }

    /// One unit for each chunk: a latent with its bytes, or the byte itself.
    fn units_of(text: &[u8], chunks: &[usize]) -> (Arc<Expander>, Vec<u32>) {
        let mut rest = text;
        let mut cut = Vec::new();
        for &length in chunks.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (chunk, after) = rest.split_at(length.min(rest.len()));
            cut.push(chunk);
            rest = after;
        }
        let mut segments: Vec<&[u8]> = cut.iter().copied().filter(|chunk| chunk.len() > 1).collect();
        segments.sort_unstable();
        segments.dedup();
        let unit = |chunk: &&[u8]| match segments.binary_search(chunk) {
            Ok(index) => 256 + index as u32,
            Err(_) => u32::from(chunk[0]),
        };
        (expander(&segments), cut.iter().map(unit).collect())
    }

    proptest! {
        #[test]
        fn every_chunking_gives_the_whole_text(
            (text, chunks) in chunked_text(),
            stops in prop::collection::vec("[a-d]{1,3}|[a-d]é", 0..3),
        ) {
            let stops: Vec<&str> = stops.iter().map(String::as_str).collect();
            let (expander, units) = units_of(&text, &chunks);
            let (texts, finish) = pieces(stream(&expander, &stops, Budget::Unlimited), &units);
            let stopped_at = cut_by_definition(&text, &stops);
            prop_assert_eq!(texts.concat(), String::from_utf8_lossy(&text[..stopped_at.unwrap_or(text.len())]));
            prop_assert_eq!(finish.is_some(), stopped_at.is_some());
            prop_assert_eq!(expander.text(&units).unwrap(), String::from_utf8_lossy(&text));
        }

        #[test]
        fn a_budget_of_base_tokens_is_exact((text, chunks) in chunked_text(), budget in 1u64..30) {
            let (expander, units) = units_of(&text, &chunks);
            let mut stream = stream(&expander, &[], Budget::BaseTokens(budget));
            let pushed = units.iter().take_while(|&&unit| stream.push(unit).is_ok()).count();
            prop_assert_eq!(stream.base_tokens(), budget.min(text.len() as u64));
            prop_assert_eq!(stream.finish().is_some(), text.len() as u64 >= budget);
            prop_assert_eq!(stream.units(), pushed as u64);
            let (texts, _) = pieces(Stream::new(Arc::clone(&expander), Arc::default(), Budget::BaseTokens(budget)), &units);
            let end = text.len().min(budget as usize);
            prop_assert_eq!(texts.concat(), String::from_utf8_lossy(&text[..end]));
        }

        #[test]
        fn only_open_bytes_are_held((text, chunks) in chunked_text(), stop in "[a-d]{1,3}") {
            let (expander, units) = units_of(&text, &chunks);
            let mut stream = stream(&expander, &[&stop], Budget::Unlimited);
            for unit in units {
                if stream.push(unit).is_err() {
                    break;
                }
                // The held bytes begin a stop string or a character.
                let longest = (stop.len() - 1).max(3);
                prop_assert!(stream.held.len() <= longest);
            }
        }

        #[test]
        fn a_batch_gives_the_text_of_its_streams((text, chunks) in chunked_text(), stop in "[a-d]{1,2}") {
            let (expander, units) = units_of(&text, &chunks);
            let alone = stream(&expander, &[&stop], Budget::Units(9));
            let mut batch = StreamBatch::new(vec![alone.clone(); 2]);
            let mut one = alone;
            for &unit in &units {
                let expected = if one.finish().is_none() { one.push(unit).unwrap() } else { Piece::Other(String::new()) };
                prop_assert_eq!(&batch.push(&[unit, unit]).unwrap(), &vec![expected.clone(), expected]);
            }
            prop_assert_eq!(batch.push(&[u32::MAX, u32::MAX]).is_err(), one.finish().is_none());
            let held = one.flush();
            prop_assert_eq!(batch.flush(), vec![held.clone(), held]);
        }
    }
}
