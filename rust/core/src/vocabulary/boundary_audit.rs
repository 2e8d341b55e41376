//! Counts how often a latent's text occurs where its base tokens do not.
//!
//! An engine finds latents in text, before it makes base tokens: leftmost-longest among the bytes between
//! added tokens. The core finds them in base tokens. `" the user"` occurs in `" the username"` as text, but
//! not as tokens. Text also has no speakers: `"\n{"` is found where the header of the agent's turn ends with
//! a newline and the turn begins with a brace, but no unit of the core crosses that border. The audit reads
//! conversations like the engine. For each latent it counts the occurrences, and those that are not exactly
//! the latent's own base tokens of one speaker.
//!
//! In the text of a conversation, a byte that is invalid in UTF-8 replaces each barrier.

use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::tokens::barriers::Barriers;
use crate::tokens::bytes::TokenBytes;
use crate::tokens::checks::check_ids;
use crate::tokens::checks::check_tokens;
use crate::tokens::checks::{check_length, check_offsets};
use crate::tokens::segments::Segments;
use crate::tokens::text_matcher::{REACH, TextMatcher};

/// The byte of a barrier. No latent's text contains it, so no match crosses a barrier.
const BARRIER: u8 = 0xFF;

/// Minimum number of bytes that are read together; few enough for a near cache.
const CHUNK: usize = 1 << 14;

/// For each segment, how often its text occurs, and how often with other tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Occurrences {
    /// Occurrences of each segment's text, as an engine finds them.
    pub found: Vec<u64>,
    /// Occurrences that begin or end inside a token, have other tokens, or have two speakers.
    pub misaligned: Vec<u64>,
}

impl Occurrences {
    fn none(segments: usize) -> Self {
        Occurrences { found: vec![0; segments], misaligned: vec![0; segments] }
    }

    fn plus(mut self, other: &Occurrences) -> Self {
        self.found.iter_mut().zip(&other.found).for_each(|(sum, more)| *sum += more);
        self.misaligned.iter_mut().zip(&other.misaligned).for_each(|(sum, more)| *sum += more);
        self
    }
}

/// A matcher of the latents' texts.
#[derive(Debug, Clone)]
pub struct BoundaryAudit {
    token_bytes: TokenBytes,
    barriers: Barriers,
    segments: Segments,
    texts: TextMatcher,
    /// The segments of each text; mostly one.
    readings: Segments,
}

impl BoundaryAudit {
    /// An audit of `segments`. Texts shorter than two bytes or invalid in UTF-8 are never found.
    ///
    /// # Errors
    /// If a segment contains an id without an entry in `token_bytes`, or there are too many segments.
    pub fn new(token_bytes: TokenBytes, barriers: Barriers, segments: Segments) -> Result<Self> {
        let base_size = token_bytes.size();
        check_tokens(&segments, u32::MAX as usize - 1)?;
        for (segment, tokens) in segments.iter().enumerate() {
            if let Some(&id) = tokens.iter().find(|&&id| id >= base_size) {
                return Err(Error::SegmentToken { segment, id, base_size });
            }
        }
        let text_of = |tokens: &[u32]| -> Vec<u8> {
            tokens.iter().flat_map(|&id| token_bytes.get(id)).copied().collect()
        };
        let mut order: Vec<(Vec<u8>, u32)> = segments.iter().map(text_of).zip(0..).collect();
        order.retain(|(text, _)| text.len() >= 2 && !text.contains(&BARRIER));
        order.sort_unstable();
        let same_text = |left: &(Vec<u8>, u32), right: &(Vec<u8>, u32)| left.0 == right.0;
        let texts = TextMatcher::new(order.chunk_by(same_text).map(|group| group[0].0.as_slice()));
        let mut readings = Segments::default();
        for group in order.chunk_by(same_text) {
            readings.push(&group.iter().map(|&(_, segment)| segment).collect::<Vec<u32>>());
        }
        Ok(BoundaryAudit { token_bytes, barriers, segments, texts, readings })
    }

    /// The counts over the conversations `tokens[offsets[i]..offsets[i + 1]]`, on all threads; `action` is
    /// whether the agent wrote each token.
    ///
    /// # Errors
    /// If the arrays' lengths do not match, or an id is not a base id.
    pub fn count(&self, tokens: &[u32], action: &[bool], offsets: &[usize]) -> Result<Occurrences> {
        check_offsets(offsets, tokens.len())?;
        check_length("action", action.len(), tokens.len())?;
        check_ids(tokens, 0, self.token_bytes.size())?;
        let conversations = offsets.par_windows(2).map(|pair| pair[0]..pair[1]);
        let counted = conversations
            .fold(
                || Reader::new(self),
                |mut reader, conversation| {
                    reader.read(&tokens[conversation.clone()], &action[conversation]);
                    reader
                },
            )
            .map(|reader| reader.counts)
            .reduce(|| Occurrences::none(self.segments.len()), |sum, counts| sum.plus(&counts));
        Ok(counted)
    }

    fn count_text(&self, text: usize, byte: usize, cursor: &mut TokenCursor<'_>, counts: &mut Occurrences) {
        cursor.move_to(byte);
        for &segment in self.readings.get(text) {
            let own = cursor.begins(byte, self.segments.get(segment as usize));
            counts.found[segment as usize] += 1;
            counts.misaligned[segment as usize] += u64::from(!own);
        }
    }
}

/// Reads conversations in chunks that end at barriers.
struct Reader<'a> {
    audit: &'a BoundaryAudit,
    counts: Occurrences,
    /// The text of the chunk.
    text: Vec<u8>,
    /// The start of each token in the chunk's text.
    starts: Vec<usize>,
}

impl<'a> Reader<'a> {
    fn new(audit: &'a BoundaryAudit) -> Self {
        let counts = Occurrences::none(audit.segments.len());
        Reader { audit, counts, text: Vec::new(), starts: Vec::new() }
    }

    fn read(&mut self, conversation: &[u32], action: &[bool]) {
        let mut first = 0;
        for (position, &token) in conversation.iter().enumerate() {
            self.starts.push(self.text.len());
            if !self.audit.barriers.contains(token) {
                self.text.extend_from_slice(self.audit.token_bytes.get(token));
                continue;
            }
            self.text.push(BARRIER);
            if self.text.len() >= CHUNK {
                self.count_chunk(&conversation[first..=position], &action[first..=position]);
                first = position + 1;
            }
        }
        self.count_chunk(&conversation[first..], &action[first..]);
    }

    /// Counts the matches of the chunk with these tokens and speakers, and begins a new chunk.
    fn count_chunk(&mut self, tokens: &[u32], action: &[bool]) {
        let length = self.text.len();
        self.text.resize(length + REACH, BARRIER);
        let mut cursor = TokenCursor { tokens, action, starts: &self.starts, next: 0 };
        let (audit, counts) = (self.audit, &mut self.counts);
        audit
            .texts
            .for_each_match(&self.text, |start, text| audit.count_text(text, start, &mut cursor, counts));
        self.text.clear();
        self.starts.clear();
    }
}

/// The tokens of a chunk, with a cursor that follows the matches in its text.
struct TokenCursor<'a> {
    tokens: &'a [u32],
    action: &'a [bool],
    starts: &'a [usize],
    /// The first token that does not begin before the byte of the last move.
    next: usize,
}

impl TokenCursor<'_> {
    fn move_to(&mut self, byte: usize) {
        let before = |&&start: &&usize| start < byte;
        self.next += self.starts[self.next..].iter().take_while(before).count();
    }

    /// Whether the tokens of `segment` begin at `byte`, the byte of the last move, and have one speaker.
    fn begins(&self, byte: usize, segment: &[u32]) -> bool {
        // Several tokens begin at one byte if some of them have no bytes.
        let here = self.starts[self.next..].iter().take_while(|&&start| start == byte).count();
        (self.next..self.next + here).any(|first| {
            self.tokens[first..].starts_with(segment) && self.has_one_speaker(first, segment.len())
        })
    }

    /// Whether `length` tokens from `first` have one speaker.
    fn has_one_speaker(&self, first: usize, length: usize) -> bool {
        let action = &self.action[first..first + length];
        action.iter().all(|&agent| agent == action[0])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Ids 0 to 7; id 6 has no bytes, and id 7 is a barrier.
    const TOKENS: [&str; 8] = ["a", "b", "ab", "ba", "aab", "é", "", "<b>"];

    fn token_bytes() -> TokenBytes {
        let offsets = (0..=TOKENS.len()).map(|end| TOKENS[..end].concat().len()).collect();
        TokenBytes::new(TOKENS.concat().into_bytes(), offsets).unwrap()
    }

    fn audit(segments: &[Vec<u32>]) -> BoundaryAudit {
        let segments = segments.iter().map(Vec::as_slice).collect();
        BoundaryAudit::new(token_bytes(), Barriers::new(&[7]), segments).unwrap()
    }

    fn text_of(tokens: &[u32]) -> String {
        tokens.iter().map(|&token| TOKENS[token as usize]).collect()
    }

    /// The audit by its definition: each stretch between barriers, byte by byte.
    fn count_by_definition(segments: &[Vec<u32>], conversation: &[(u32, bool)]) -> Occurrences {
        let mut counts = Occurrences::none(segments.len());
        for spoken in conversation.split(|&(token, _)| token == 7) {
            let (stretch, action): (Vec<u32>, Vec<bool>) = spoken.iter().copied().unzip();
            let text = text_of(&stretch).into_bytes();
            let mut at = 0;
            while at < text.len() {
                let matching = segments.iter().map(|segment| text_of(segment).into_bytes());
                let longest = matching.filter(|own| own.len() >= 2 && text[at..].starts_with(own));
                let Some(longest) = longest.max_by_key(Vec::len) else {
                    at += 1;
                    continue;
                };
                for (index, segment) in segments.iter().enumerate() {
                    if text_of(segment).as_bytes() == longest {
                        let starts_here = |first: usize| text_of(&stretch[..first]).len() == at;
                        let own = |first: usize| {
                            starts_here(first)
                                && stretch[first..].starts_with(segment)
                                && action[first..first + segment.len()].windows(2).all(|two| two[0] == two[1])
                        };
                        counts.found[index] += 1;
                        counts.misaligned[index] += u64::from(!(0..stretch.len()).any(own));
                    }
                }
                at += longest.len();
            }
        }
        counts
    }

    #[test]
    fn a_text_within_a_word_is_misaligned() {
        // "ab" + "a" also occurs in "a" + "ba", which has other tokens.
        let counts = audit(&[vec![2, 0]]).count(&[2, 0, 7, 0, 3, 7, 4, 0], &[true; 8], &[0, 3, 8]).unwrap();
        assert_eq!(counts, Occurrences { found: vec![3], misaligned: vec![2] });
    }

    #[test]
    fn no_text_is_found_over_a_barrier_or_a_conversations_end() {
        let counts = audit(&[vec![0, 1]]).count(&[0, 7, 1, 0, 1], &[true; 5], &[0, 4, 5]).unwrap();
        assert_eq!(counts.found, [0]);
    }

    #[test]
    fn a_text_over_the_border_of_a_turn_is_misaligned() {
        let counts = audit(&[vec![0, 1]]).count(&[0, 1, 0, 1], &[true, true, false, true], &[0, 4]).unwrap();
        assert_eq!(counts, Occurrences { found: vec![2], misaligned: vec![1] });
    }

    #[test]
    fn wrong_arguments_are_named() {
        let segments = [&[1u32, 8][..]].into_iter().collect();
        let error = BoundaryAudit::new(token_bytes(), Barriers::new(&[]), segments).unwrap_err();
        assert_eq!(error, Error::SegmentToken { segment: 0, id: 8, base_size: 8 });
        let error = audit(&[]).count(&[1, 9], &[true; 2], &[0, 2]).unwrap_err();
        assert_eq!(error, Error::IdOutOfRange { id: 9, position: 1, size: 8 });
        assert!(audit(&[]).count(&[1], &[true], &[0, 2]).is_err());
        assert!(audit(&[]).count(&[1], &[], &[0, 1]).is_err());
        assert!(TokenBytes::new(vec![1], vec![0]).is_err());
    }

    proptest! {
        #[test]
        fn the_audit_is_its_definition(
            segments in prop::collection::btree_set(prop::collection::vec(0u32..7, 2..5), 0..20),
            conversations in prop::collection::vec(
                prop::collection::vec((0u32..8, prop::bool::weighted(0.8)), 0..120), 0..4
            ),
        ) {
            let segments: Vec<Vec<u32>> = segments.into_iter().collect();
            let offsets: Vec<usize> =
                (0..=conversations.len()).map(|end| conversations[..end].concat().len()).collect();
            let (tokens, action): (Vec<u32>, Vec<bool>) = conversations.concat().into_iter().unzip();
            let counts = audit(&segments).count(&tokens, &action, &offsets).unwrap();
            let expected = conversations.iter().map(|spoken| count_by_definition(&segments, spoken));
            let none = Occurrences::none(segments.len());
            prop_assert_eq!(counts, expected.fold(none, |sum, counts| sum.plus(&counts)));
        }

        #[test]
        fn a_text_longer_than_a_chunk_is_read_as_one(
            at in 0usize..4 * CHUNK, barrier in prop::option::of(0usize..4 * CHUNK)
        ) {
            let mut tokens = vec![5; 4 * CHUNK];
            tokens.splice(at..at, [0, 1]);
            if let Some(barrier) = barrier {
                tokens.insert(barrier, 7);
            }
            let counts = audit(&[vec![0, 1]]).count(&tokens, &vec![true; tokens.len()], &[0, tokens.len()]).unwrap();
            let torn = barrier == Some(at + 1);
            prop_assert_eq!(counts, Occurrences { found: vec![u64::from(!torn)], misaligned: vec![0] });
        }
    }
}
