//! Excludes the next units after which an engine would find other latents in the text than were written.
//!
//! An engine finds latents in *text*: leftmost-longest, between added tokens. So the written latents
//! are right exactly if that search finds them, and no others, at their places. A model that samples may
//! break this by writing a latent's text as base tokens, or partly so; then it reads a history that is unlike
//! its training data. The guard watches the *starts*, the places where a latent's text may begin: each byte of
//! a base token, also an inner one, and the first byte of a written latent, where a longer text may begin. A
//! start is *open* while what is written from there on is the beginning of such a text. A unit *overtakes* an
//! open start by completing the text, and is therefore excluded:
//!
//! ```text
//! latents     "the us" = A   "the user" = B   "er na" = C
//! written     A                a longer text may follow A: "er" is missing       excluded   "er", "ers", C
//! then        A "e"            "r" is missing; and "e" begins C: "r na"          excluded   "r", "ra"
//! then        A "e" "."        no start is open                                  excluded   nothing
//! ```
//!
//! A base token that contains the whole text of a latent is always excluded, and so is a latent that an engine
//! never finds. A barrier, an added token, closes all starts.
//!
//! Texts that begin with the same bytes are adjacent in the order of bytes. So an open start is a range of that
//! order, which the next byte narrows; no trie is needed. The units that begin with the rest of a text are a
//! range too, which the table has for each byte of each text.
//!
//! A right latent stays right until a start is overtaken, so it is enough to look one step ahead: without
//! excluded units, the latents are right after every step. Barriers are never excluded, nor is any unit of a
//! [served](super::served) parse.
//!
//! The base tokens between latents may still be others than the base tokenizer's, as of any model that samples.

mod id_set;
mod sorted_texts;
mod table;

use std::sync::Arc;

pub use table::GuardTable;

use crate::error::{Error, Result};
use crate::vocabulary::guard::id_set::IdSet;
use crate::vocabulary::guard::table::OpenStart;

/// The open starts of one request.
///
/// The guard accepts excluded units too. An overtaken start is dropped; the others are tracked independently,
/// and [`excluded`] then contains the units that would overtake one more.
///
/// ```
/// use std::sync::Arc;
///
/// use lar_core::Vocabulary;
/// use lar_core::tokens::barriers::Barriers;
/// use lar_core::tokens::bytes::TokenBytes;
/// use lar_core::vocabulary::guard::{CanonicalGuard, GuardTable};
///
/// # fn main() -> lar_core::Result<()> {
/// // The base ids 0, 1 and 2 are "a", "b" and "c"; the latent 3 is "ab".
/// let token_bytes = TokenBytes::new(b"abc".to_vec(), vec![0, 1, 2, 3])?;
/// let vocabulary = Arc::new(Vocabulary::new(3, [[0, 1].as_slice()].into_iter().collect())?);
/// let table = GuardTable::new(vocabulary, token_bytes, Barriers::default())?;
///
/// let mut guard = CanonicalGuard::new(Arc::new(table));
/// guard.push(0)?;
/// assert_eq!(guard.excluded(), [1]); // After "a", a "b" would complete the text of the latent.
/// guard.push(2)?;
/// assert!(guard.excluded().is_empty());
/// assert_eq!(guard.overtaken(), 0);
/// # Ok(())
/// # }
/// ```
///
/// [`excluded`]: CanonicalGuard::excluded
#[derive(Debug, Clone)]
pub struct CanonicalGuard {
    table: Arc<GuardTable>,
    /// The open starts, the earliest first; fewer than the bytes of the longest text.
    open: Vec<OpenStart>,
    units: usize,
    overtaken: usize,
}

impl CanonicalGuard {
    /// A guard of a text that begins now, as the parse begins with each speaker's turn.
    pub fn new(table: Arc<GuardTable>) -> Self {
        CanonicalGuard { table, open: Vec::new(), units: 0, overtaken: 0 }
    }

    /// Takes the next unit, excluded or not.
    ///
    /// # Errors
    /// If the id is neither a base id nor a latent; then the guard is unchanged.
    pub fn push(&mut self, unit: u32) -> Result<()> {
        let table = Arc::clone(&self.table);
        let size = table.vocabulary.size();
        if unit >= size {
            return Err(Error::IdOutOfRange { id: unit, position: self.units, size });
        }
        self.units += 1;
        match table.vocabulary.segment(unit) {
            None => self.write_token(unit),
            Some(segment) => match table.text_of(unit) {
                Some(text) => self.overtaken += table.write_latent(&mut self.open, text),
                None => {
                    self.overtaken += 1;
                    segment.iter().for_each(|&token| self.write_token(token));
                }
            },
        }
        Ok(())
    }

    fn write_token(&mut self, token: u32) {
        if self.table.barriers.contains(token) {
            self.open.clear();
        } else {
            self.overtaken += self.table.write(&mut self.open, self.table.token_bytes.get(token));
        }
    }

    /// The excluded next units, base tokens and latents, in ascending order.
    ///
    /// These are exactly the units after which [`overtaken`] would be greater. There are many if a text lacks
    /// only a space, with which a third of the base tokens begin. The time is that of the ids, and of a bit for
    /// each unit of the vocabulary.
    ///
    /// [`overtaken`]: CanonicalGuard::overtaken
    pub fn excluded(&self) -> Vec<u32> {
        if self.open.is_empty() {
            return self.table.always.clone();
        }
        let mut ids = IdSet::new(self.table.vocabulary.size());
        ids.extend(&self.table.always);
        for &open in &self.open {
            self.table.exclude(open, &mut ids);
        }
        ids.to_vec()
    }

    /// Number of units pushed so far.
    pub fn units(&self) -> usize {
        self.units
    }

    /// Number of starts that were overtaken, and of pushed latents that an engine never finds.
    ///
    /// It is 0 exactly if an engine finds the written latents, and no others, at their places.
    pub fn overtaken(&self) -> usize {
        self.overtaken
    }

    /// Resets the guard for a new text.
    pub fn reset(&mut self) {
        self.open.clear();
        self.units = 0;
        self.overtaken = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokens::barriers::Barriers;
    use crate::tokens::bytes::TokenBytes;
    use crate::tokens::segments::Segments;
    use crate::vocabulary::Vocabulary;
    use crate::vocabulary::served::{Joints, ServedParse};
    use proptest::prelude::*;

    /// A barrier, a token without bytes, tokens inside others, and the halves of a character.
    const TOKENS: [&[u8]; 15] = [
        b"<b>",
        b"",
        b"a",
        b"b",
        b"c",
        b" ",
        b"<",
        b"ab",
        b"bc",
        b"abc",
        b" a",
        b"caab",
        b"\xC3",
        b"\xA9",
        "é".as_bytes(),
    ];
    const BASE_SIZE: u32 = TOKENS.len() as u32;
    const BARRIER: u32 = 0;

    fn token_bytes() -> TokenBytes {
        let offsets = (0..=TOKENS.len()).map(|end| TOKENS[..end].concat().len()).collect();
        TokenBytes::new(TOKENS.concat(), offsets).unwrap()
    }

    fn bytes_of(tokens: &[u32]) -> Vec<u8> {
        tokens.iter().flat_map(|&token| TOKENS[token as usize]).copied().collect()
    }

    /// The longest token from the left.
    fn tokens_of(text: &[u8]) -> Vec<u32> {
        let (mut ids, mut rest) = (Vec::new(), text);
        while !rest.is_empty() {
            let fitting = (2..BASE_SIZE).filter(|&id| rest.starts_with(TOKENS[id as usize]));
            let id = fitting.max_by_key(|&id| TOKENS[id as usize].len()).unwrap();
            ids.push(id);
            rest = &rest[TOKENS[id as usize].len()..];
        }
        ids
    }

    fn vocabulary(segments: &[Vec<u32>]) -> Arc<Vocabulary> {
        Arc::new(
            Vocabulary::new(BASE_SIZE, segments.iter().map(Vec::as_slice).collect::<Segments>()).unwrap(),
        )
    }

    fn of_texts(texts: &[&str]) -> Arc<Vocabulary> {
        vocabulary(&texts.iter().map(|text| tokens_of(text.as_bytes())).collect::<Vec<_>>())
    }

    fn guard(vocabulary: &Arc<Vocabulary>) -> CanonicalGuard {
        let table =
            GuardTable::new(Arc::clone(vocabulary), token_bytes(), Barriers::new(&[BARRIER]).unwrap());
        CanonicalGuard::new(Arc::new(table.unwrap()))
    }

    fn id_of(token: &str) -> u32 {
        TOKENS.iter().position(|&bytes| bytes == token.as_bytes()).unwrap() as u32
    }

    /// Whether an engine finds the latent: no other one of the same text comes first.
    fn is_found(vocabulary: &Vocabulary, latent: u32) -> bool {
        let text = |latent| bytes_of(vocabulary.segment(latent).unwrap());
        let own = text(latent);
        own.len() >= 2
            && str::from_utf8(&own).is_ok()
            && (BASE_SIZE..latent).all(|earlier| text(earlier) != own)
    }

    fn found(vocabulary: &Vocabulary) -> Vec<(u32, Vec<u8>)> {
        let ids = (BASE_SIZE..vocabulary.size()).filter(|&latent| is_found(vocabulary, latent));
        ids.map(|latent| (latent, bytes_of(vocabulary.segment(latent).unwrap()))).collect()
    }

    /// What was written between two barriers.
    #[derive(Default)]
    struct Written {
        text: Vec<u8>,
        /// The starts, and how many bytes a written latent has there.
        starts: Vec<(usize, usize)>,
        /// The found latents that were written, with the place of the first byte.
        latents: Vec<(usize, u32)>,
    }

    fn written(vocabulary: &Vocabulary, units: &[u32]) -> Vec<Written> {
        let mut stretches = vec![Written::default()];
        for &unit in units {
            let last = stretches.last_mut().unwrap();
            let (start, own) = (last.text.len(), [unit]);
            let bytes = bytes_of(vocabulary.segment(unit).unwrap_or(&own));
            match unit {
                BARRIER => stretches.push(Written::default()),
                latent if latent >= BASE_SIZE && is_found(vocabulary, latent) => {
                    last.starts.push((start, bytes.len()));
                    last.latents.push((start, latent));
                    last.text.extend(bytes);
                }
                _ => {
                    last.starts.extend((start..start + bytes.len()).map(|start| (start, 0)));
                    last.text.extend(bytes);
                }
            }
        }
        stretches
    }

    /// The starts from which on a longer text of a latent was written, and the latents that are never found.
    fn overtaken_by_definition(vocabulary: &Vocabulary, units: &[u32]) -> usize {
        let texts = found(vocabulary);
        let count = |written: Written| {
            let is_overtaken = |&(start, length): &(usize, usize)| {
                texts.iter().any(|(_, text)| text.len() > length && written.text[start..].starts_with(text))
            };
            written.starts.iter().filter(|start| is_overtaken(start)).count()
        };
        let starts: usize = written(vocabulary, units).into_iter().map(count).sum();
        starts + units.iter().filter(|&&unit| unit >= BASE_SIZE && !is_found(vocabulary, unit)).count()
    }

    fn excluded_by_definition(vocabulary: &Vocabulary, units: &[u32]) -> Vec<u32> {
        let now = overtaken_by_definition(vocabulary, units);
        let then = |unit| overtaken_by_definition(vocabulary, &[units, &[unit]].concat());
        (0..vocabulary.size()).filter(|&unit| then(unit) > now).collect()
    }

    /// Whether the leftmost-longest search in the text finds exactly the written latents.
    fn is_read_as_written(vocabulary: &Vocabulary, units: &[u32]) -> bool {
        let texts = found(vocabulary);
        let is_right = |written: Written| {
            let (mut latents, mut at) = (Vec::new(), 0);
            while at < written.text.len() {
                let fitting = texts.iter().filter(|(_, text)| written.text[at..].starts_with(text));
                let longest = fitting.max_by_key(|(_, text)| text.len());
                latents.extend(longest.map(|&(latent, _)| (at, latent)));
                at += longest.map_or(1, |(_, text)| text.len());
            }
            latents == written.latents
        };
        written(vocabulary, units).into_iter().all(is_right)
            && units.iter().all(|&unit| unit < BASE_SIZE || is_found(vocabulary, unit))
    }

    #[test]
    fn a_partly_written_latent_is_excluded() {
        // The latents are 15 to 17; none of the tokens "bc" and "abc" contains one.
        let vocabulary = of_texts(&[" aa", " aab", "b a"]);
        let mut guard = guard(&vocabulary);
        let [b, space, bc] = ["b", " ", "bc"].map(id_of);
        let steps: [(u32, &[u32]); 4] = [
            (15, &[b, bc, 17]),
            (id_of("c"), &[]),
            (b, &[id_of(" a"), 15, 16]),
            (space, &[id_of("a"), id_of("ab"), id_of("abc")]),
        ];
        for (unit, excluded) in steps {
            guard.push(unit).unwrap();
            assert_eq!(guard.excluded(), excluded, "after {unit}");
        }
        guard.push(BARRIER).unwrap();
        assert_eq!((guard.excluded(), guard.overtaken()), (vec![], 0));
    }

    #[test]
    fn what_an_engine_reads_otherwise_is_always_excluded() {
        // "caab" contains "aa"; half a character is no text; "a" + "" is too short; "a" + "a" comes second.
        let [a, empty, half] = [2, 1, 12];
        let vocabulary = vocabulary(&[vec![a, empty, a], vec![half, a], vec![a, empty], vec![a, a]]);
        let mut guard = guard(&vocabulary);
        let always = vec![id_of("caab"), 16, 17, 18];
        assert_eq!(guard.excluded(), always);
        for (overtaken, &unit) in always.iter().enumerate() {
            guard.push(BARRIER).unwrap();
            guard.push(unit).unwrap();
            // "aa" of the last one is read as latent 15.
            assert_eq!(guard.overtaken(), overtaken + 1 + usize::from(unit == 18));
        }
        guard.reset();
        assert_eq!((guard.excluded(), guard.overtaken(), guard.units()), (always, 0, 0));
    }

    #[test]
    fn a_wrong_unit_is_named_and_changes_nothing() {
        let mut guard = guard(&of_texts(&["a a"]));
        guard.push(id_of("a")).unwrap();
        let excluded = guard.excluded();
        for id in [BASE_SIZE + 1, u32::MAX] {
            assert_eq!(guard.push(id), Err(Error::IdOutOfRange { id, position: 1, size: BASE_SIZE + 1 }));
        }
        assert_eq!((guard.excluded(), guard.units()), (excluded, 1));
    }

    #[test]
    fn base_tokens_that_are_not_the_vocabularys_are_refused() {
        let few = TokenBytes::new(vec![], vec![0]).unwrap();
        let error = GuardTable::new(of_texts(&[]), few, Barriers::default()).unwrap_err();
        assert_eq!(error, Error::Length { what: "token_bytes", found: 0, expected: TOKENS.len() });
    }

    #[test]
    fn a_vocabulary_without_latents_excludes_nothing() {
        let mut guard = guard(&of_texts(&[]));
        guard.push(3).unwrap();
        assert_eq!((guard.excluded(), guard.overtaken()), (vec![], 0));
    }

    prop_compose! {
        fn distinct_segments()(
            segments in prop::collection::hash_set(prop::collection::vec(1..BASE_SIZE, 2..5), 0..20)
        ) -> Vec<Vec<u32>> {
            segments.into_iter().collect()
        }
    }

    fn choices(most: usize) -> impl Strategy<Value = Vec<prop::sample::Index>> {
        prop::collection::vec(any::<prop::sample::Index>(), 0..most)
    }

    proptest! {
        #[test]
        fn what_is_excluded_is_what_would_overtake(segments in distinct_segments(), choices in choices(12)) {
            let vocabulary = vocabulary(&segments);
            let ids: Vec<u32> = (0..vocabulary.size()).collect();
            let mut guard = guard(&vocabulary);
            let mut units = Vec::new();
            for choice in choices {
                units.push(*choice.get(&ids));
                guard.push(units[units.len() - 1]).unwrap();
                prop_assert_eq!(guard.overtaken(), overtaken_by_definition(&vocabulary, &units));
                prop_assert_eq!(guard.overtaken() == 0, is_read_as_written(&vocabulary, &units));
                prop_assert_eq!(guard.excluded(), excluded_by_definition(&vocabulary, &units));
            }
        }

        #[test]
        fn units_that_were_not_excluded_are_read_as_written(
            segments in distinct_segments(),
            choices in choices(60),
        ) {
            let vocabulary = vocabulary(&segments);
            let mut guard = guard(&vocabulary);
            let mut units = Vec::new();
            for choice in choices {
                let excluded = guard.excluded();
                let allowed: Vec<u32> = (0..vocabulary.size()).filter(|unit| !excluded.contains(unit)).collect();
                prop_assert!(allowed.contains(&BARRIER));
                units.push(*choice.get(&allowed));
                guard.push(units[units.len() - 1]).unwrap();
                prop_assert!(is_read_as_written(&vocabulary, &units));
            }
        }

        #[test]
        fn units_that_an_engine_reads_are_never_excluded(
            segments in distinct_segments(),
            pieces in prop::collection::vec(
                prop::sample::select(vec!["a", "b", "c", " ", "<", "é", "ab", "<b>"]), 0..40),
        ) {
            let vocabulary = vocabulary(&segments);
            let (barriers, segments) = (Barriers::new(&[BARRIER]).unwrap(), vocabulary.segments());
            let mut parse = ServedParse::new(token_bytes(), barriers, Joints::default(), segments).unwrap();
            let stretches: Vec<Vec<u32>> = pieces.concat().split("<b>").map(|text| tokens_of(text.as_bytes())).collect();
            let tokens = stretches.join(&BARRIER);
            let plan = parse.plan(&tokens, &vec![true; tokens.len()], &[0, tokens.len()]).unwrap();
            let missing: Vec<String> = parse.missing(&plan).unwrap().into_iter().map(String::from).collect();
            let ids: Vec<Vec<u32>> = missing.iter().map(|text| tokens_of(text.as_bytes())).collect();
            let texts: Vec<&str> = missing.iter().map(String::as_str).collect();
            parse.learn(&texts, &ids.iter().map(Vec::as_slice).collect()).unwrap();
            let mut guard = guard(&vocabulary);
            for unit in parse.units(&plan).unwrap().units {
                prop_assert!(!guard.excluded().contains(&unit));
                guard.push(unit).unwrap();
            }
            prop_assert_eq!(guard.overtaken(), 0);
        }
    }
}
