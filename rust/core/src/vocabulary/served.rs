//! The ids of a text in an exported tokenizer, computed from its ids in the base tokenizer.
//!
//! An engine finds latents in *text*, leftmost-longest, between added tokens. The text between two latents, a
//! *gap*, is encoded separately by the base tokenizer. A latent may end inside a base token, so the tokens at
//! a gap's edges may differ from those of the whole text:
//!
//! ```text
//! base tokens    ▁the ▁user name ▁is        latent "▁the▁us"
//! units          [▁the▁us] er name ▁is      if "ername" encodes to "er", "name"
//! ```
//!
//! Inside a gap the base tokens are kept. This relies on *joints*: places where the usual tokenizers split
//! any text, independent of the rest ([`Joints`]). From a gap's edge to the next joint, the *window*, the text is
//! encoded again. Windows are short and recur, so each is encoded once and cached. The core has no base
//! tokenizer: [`ServedParse::plan`] collects the new windows, the caller encodes them and passes the ids to
//! [`ServedParse::learn`], and [`ServedParse::units`] completes the plan.

mod joints;
mod plan;
mod reader;
mod windows;

use std::sync::Arc;

use rayon::prelude::*;

pub use joints::Joints;
pub use plan::{Plan, Served};

use crate::error::{Error, Result};
use crate::tokens::barriers::Barriers;
use crate::tokens::bytes::TokenBytes;
use crate::tokens::checks::{check_ids, check_length, check_offsets};
use crate::tokens::segments::Segments;
use crate::tokens::text_matcher::TextMatcher;
use crate::vocabulary::found_texts::found_texts;
use crate::vocabulary::served::reader::Reader;
use crate::vocabulary::served::windows::Windows;

/// Most bytes of cached windows. Where new ones would exceed it, all others are dropped.
const MOST_CACHED: usize = 1 << 27;

/// The parse of text by the latents of a vocabulary; ids as in [`Vocabulary`](super::Vocabulary).
///
/// A clone shares all parts. The cached texts are copied when one of the two learns more while both exist.
///
/// ```
/// use lar_core::Segments;
/// use lar_core::tokens::barriers::Barriers;
/// use lar_core::tokens::bytes::TokenBytes;
/// use lar_core::vocabulary::served::{Joints, ServedParse};
///
/// # fn main() -> lar_core::Result<()> {
/// // The base ids 0 to 3 are "a", "b", "c" and "bc"; the latent 4 is "ab".
/// let token_bytes = TokenBytes::new(b"abcbc".to_vec(), vec![0, 1, 2, 3, 5])?;
/// let segments: Segments = [[0, 1].as_slice()].into_iter().collect();
/// let mut parse = ServedParse::new(token_bytes, Barriers::default(), Joints::default(), &segments)?;
///
/// // The text "abc" as "a", "bc": the latent ends inside "bc", and leaves the text "c" to be encoded.
/// let plan = parse.plan(&[0, 3], &[true, true], &[0, 2])?;
/// assert_eq!(parse.missing(&plan)?, ["c"]);
/// parse.learn(&["c"], &[[2].as_slice()].into_iter().collect())?;
/// assert_eq!(parse.units(&plan)?.units, [4, 2]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct ServedParse {
    token_bytes: Arc<TokenBytes>,
    barriers: Arc<Barriers>,
    joints: Joints,
    texts: Arc<TextMatcher>,
    /// The id of each text's latent, and its number of bytes.
    latents: Arc<[(u32, usize)]>,
    /// Shared with parses of other segments until one of them learns more.
    windows: Arc<Windows>,
    /// [`MOST_CACHED`], and fewer in tests.
    most_cached: usize,
}

/// Texts with the ids that the base tokenizer gives them, see [`ServedParse::encoded`].
#[derive(Debug)]
pub struct Encoded {
    windows: Windows,
    token_bytes: Arc<TokenBytes>,
}

impl ServedParse {
    /// The parse for a vocabulary of these segments.
    ///
    /// A segment whose text is not UTF-8 is never found. Of several with the same text, the first is found.
    ///
    /// # Errors
    /// If a segment holds an id that has no entry in `token_bytes`.
    pub fn new(
        token_bytes: TokenBytes,
        barriers: Barriers,
        joints: Joints,
        segments: &Segments,
    ) -> Result<Self> {
        let empty = ServedParse {
            token_bytes: Arc::new(token_bytes),
            barriers: Arc::new(barriers),
            joints,
            texts: Arc::new(TextMatcher::new([])),
            latents: Arc::default(),
            windows: Arc::default(),
            most_cached: MOST_CACHED,
        };
        empty.with_segments(segments)
    }

    /// The parse for other segments, with the cached texts of this one. They are not copied, unless either
    /// parse learns more while both exist.
    ///
    /// # Errors
    /// As of [`ServedParse::new`].
    pub fn with_segments(&self, segments: &Segments) -> Result<Self> {
        let token_bytes = &self.token_bytes;
        let base_size = token_bytes.size();
        for (segment, tokens) in segments.iter().enumerate() {
            if let Some(&id) = tokens.iter().find(|&&id| id >= base_size) {
                return Err(Error::SegmentToken { segment, id, base_size });
            }
        }
        let found = found_texts(token_bytes, segments);
        let texts = TextMatcher::new(found.iter().map(|(text, _)| text.as_slice()));
        let latents = found.iter().map(|(text, latent)| (base_size + latent, text.len())).collect();
        Ok(ServedParse {
            token_bytes: Arc::clone(token_bytes),
            barriers: Arc::clone(&self.barriers),
            joints: self.joints,
            texts: Arc::new(texts),
            latents,
            windows: Arc::clone(&self.windows),
            most_cached: self.most_cached,
        })
    }

    /// Reads the conversations `tokens[offsets[i]..offsets[i + 1]]`, on all threads.
    ///
    /// A unit never crosses from the agent's tokens (`action`) to another speaker's or back. The units have the text
    /// of the tokens, also of tokens that are not the base tokenizer's, of which some are kept then.
    ///
    /// # Errors
    /// If the arrays do not fit together, or an id is no base id.
    pub fn plan(&self, tokens: &[u32], action: &[bool], offsets: &[usize]) -> Result<Plan> {
        check_offsets(offsets, tokens.len())?;
        check_length("action", action.len(), tokens.len())?;
        check_ids(tokens, 0, self.token_bytes.size())?;
        let read = |reader: &mut Reader<'_>, range: &[usize]| {
            let conversation = range[0]..range[1];
            reader.read(&tokens[conversation.clone()], &action[conversation], range[0])
        };
        let parts = offsets.par_windows(2).map_init(|| Reader::new(self, &self.windows), read).collect();
        Ok(Plan { parts, latents: Arc::clone(&self.latents) })
    }

    /// The distinct texts whose base ids a plan lacks, in alphabetical order.
    ///
    /// If the cache has no room for those that are new, it will be emptied for them. Then all texts that the
    /// plan lacks are among them, also those that were learnt since it was made.
    ///
    /// # Errors
    /// If the plan is of another parse; if a text is not UTF-8: then the tokens are not those of a text.
    pub fn missing<'a>(&self, plan: &'a Plan) -> Result<Vec<&'a str>> {
        self.check_plan(plan)?;
        let mut texts: Vec<&[u8]> = plan.parts.iter().flat_map(|part| part.missing()).collect();
        texts.sort_unstable();
        texts.dedup();
        let is_new = |text: &&[u8]| self.windows.get(text).is_none();
        let new = texts.iter().copied().filter(is_new).map(Windows::bytes_of).sum::<usize>();
        if self.windows.bytes() + new <= self.most_cached {
            texts.retain(is_new);
        }
        texts.into_iter().map(|text| str::from_utf8(text).map_err(|_| not_text(text))).collect()
    }

    /// Caches the base ids of `texts`, as the base tokenizer encodes each after an added token.
    ///
    /// # Errors
    /// As of [`ServedParse::encoded`]. Nothing is cached then.
    pub fn learn(&mut self, texts: &[&str], ids: &Segments) -> Result<()> {
        let encoded = self.encoded(texts, ids)?;
        self.cache(encoded)
    }

    /// Checks the base ids of `texts` for [`ServedParse::cache`]: the part of [`ServedParse::learn`] that takes
    /// long, and that others may use the parse beside.
    ///
    /// # Errors
    /// If there are not as many lists as texts, an id is no base id, or the ids of a text are not those of
    /// its bytes.
    pub fn encoded(&self, texts: &[&str], ids: &Segments) -> Result<Encoded> {
        check_length("ids of texts", ids.len(), texts.len())?;
        check_ids(ids.tokens(), 0, self.token_bytes.size())?;
        let mut windows = Windows::default();
        for (text, ids) in texts.iter().zip(ids.iter()) {
            if !ids.iter().flat_map(|&id| self.token_bytes.get(id)).eq(text.as_bytes()) {
                return Err(Error::OtherText { text: (*text).into() });
            }
            windows.insert(text.as_bytes(), ids);
        }
        Ok(Encoded { windows, token_bytes: Arc::clone(&self.token_bytes) })
    }

    /// Caches encoded texts.
    ///
    /// # Errors
    /// If they were encoded for the parse of another tokenizer.
    pub fn cache(&mut self, encoded: Encoded) -> Result<()> {
        if !Arc::ptr_eq(&self.token_bytes, &encoded.token_bytes) {
            return Err(Error::OtherParse);
        }
        let mut new = encoded.windows;
        let has_room = self.windows.bytes() + new.bytes() <= self.most_cached;
        if has_room && new.bytes() <= self.windows.bytes() {
            Arc::make_mut(&mut self.windows).extend(&new);
        } else {
            if has_room {
                new.extend(&self.windows);
            }
            self.windows = Arc::new(new);
        }
        Ok(())
    }

    /// The units of the conversations that were read.
    ///
    /// # Errors
    /// If the plan is of another parse; if a missing text of it has not been added by `learn`, or was dropped
    /// since then.
    pub fn units(&self, plan: &Plan) -> Result<Served> {
        self.check_plan(plan)?;
        let mut served = Served::default();
        for part in &plan.parts {
            part.fill_into(&mut served, &self.token_bytes, |text| self.windows.get(text))
                .map_err(|text| Error::NotLearnt { text: String::from_utf8_lossy(text).into() })?;
        }
        Ok(served)
    }

    /// Checks that a plan was made by this parse, or by a clone of it.
    fn check_plan(&self, plan: &Plan) -> Result<()> {
        if Arc::ptr_eq(&self.latents, &plan.latents) { Ok(()) } else { Err(Error::OtherParse) }
    }
}

fn not_text(text: &[u8]) -> Error {
    Error::OtherText { text: String::from_utf8_lossy(text).into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A barrier, and pieces of the texts below; among them one token that ends inside another's text. The
    /// last two, which cross a joint, are in no pre-token.
    const TOKENS: [&str; 19] = [
        "<b>", "a", "b", "1", " ", "\n", ".", "ab", " a", " ab", " b", "..", ".a", "aab", "é", " é", "\n\n",
        "a.", "\nb",
    ];

    fn token_bytes() -> TokenBytes {
        let offsets = (0..=TOKENS.len()).map(|end| TOKENS[..end].concat().len()).collect();
        TokenBytes::new(TOKENS.concat().into_bytes(), offsets).unwrap()
    }

    /// A pre-token: an optional space or a full stop and letters, a digit, full stops, white space.
    fn pre_token(text: &str) -> usize {
        let letters = |text: &str| text.chars().take_while(|c| c.is_alphabetic()).map(char::len_utf8).sum();
        let spaces = text.len() - text.trim_start_matches([' ', '\n']).len();
        let opened = text.strip_prefix([' ', '.']).map_or(0, letters);
        let stops = text.len() - text.trim_start_matches('.').len();
        match (letters(text), opened, text.as_bytes()[0]) {
            (0, 0, b'1') => 1,
            (0, 0, b'.') => stops,
            (0, 0, _) if text[..spaces].ends_with(' ') && spaces > 1 && spaces < text.len() => spaces - 1,
            (0, 0, _) => spaces,
            (0, opened, _) => 1 + opened,
            (letters, ..) => letters,
        }
    }

    /// The toy base tokenizer: pre-tokens, and in each the longest token from the left.
    fn tokens_of(text: &str) -> Vec<u32> {
        let (mut ids, mut rest) = (Vec::new(), text);
        while !rest.is_empty() {
            let (mut piece, after) = rest.split_at(pre_token(rest));
            while !piece.is_empty() {
                let fitting = (1..TOKENS.len()).filter(|&id| piece.starts_with(TOKENS[id]));
                let id = fitting.max_by_key(|&id| TOKENS[id].len()).unwrap();
                ids.push(id as u32);
                piece = &piece[TOKENS[id].len()..];
            }
            rest = after;
        }
        ids
    }

    /// The ids of an exported tokenizer, by definition: the leftmost-longest latents, and the rest encoded.
    fn served_by_definition(latents: &[String], text: &str) -> Vec<u32> {
        let (mut ids, mut gap, mut at) = (Vec::new(), 0, 0);
        while at < text.len() {
            let fitting = (0..latents.len())
                .filter(|&latent| text.is_char_boundary(at) && text[at..].starts_with(&latents[latent]));
            let Some(latent) = fitting.max_by_key(|&latent| latents[latent].len()) else {
                at += 1;
                continue;
            };
            ids.extend(tokens_of(&text[gap..at]));
            ids.push((TOKENS.len() + latent) as u32);
            at += latents[latent].len();
            gap = at;
        }
        ids.extend(tokens_of(&text[gap..]));
        ids
    }

    /// The text of one speaker, up to a barrier or to another speaker's text.
    #[derive(Debug, Clone)]
    struct Stretch {
        text: String,
        agent: bool,
        barrier: bool,
    }

    fn texts(length: std::ops::Range<usize>) -> impl Strategy<Value = String> {
        prop::collection::vec(prop::sample::select(vec!["a", "b", "1", " ", "\n", ".", "é", " ab"]), length)
            .prop_map(|pieces| pieces.concat())
    }

    fn stretches() -> impl Strategy<Value = Vec<Stretch>> {
        let stretch = (texts(0..30), any::<bool>(), any::<bool>());
        prop::collection::vec(stretch, 0..6).prop_map(|stretches| {
            stretches.into_iter().fold(Vec::<Stretch>::new(), |mut done, (text, agent, barrier)| {
                match done.last_mut() {
                    // One speaker's texts without a barrier between are one text.
                    Some(last) if !last.barrier && last.agent == agent => last.text.push_str(&text),
                    _ if text.is_empty() && !barrier => {}
                    _ => done.push(Stretch { text, agent, barrier }),
                }
                done
            })
        })
    }

    /// The stretches as one conversation: base tokens, action, and the units by definition.
    fn conversation(latents: &[String], stretches: &[Stretch]) -> (Vec<u32>, Vec<bool>, Vec<u32>) {
        let (mut tokens, mut action, mut units) = (Vec::new(), Vec::new(), Vec::new());
        for stretch in stretches {
            tokens.extend(tokens_of(&stretch.text));
            units.extend(served_by_definition(latents, &stretch.text));
            if stretch.barrier {
                tokens.push(0);
                units.push(0);
            }
            action.resize(tokens.len(), stretch.agent);
        }
        (tokens, action, units)
    }

    fn served(parse: &mut ServedParse, tokens: &[u32], action: &[bool], offsets: &[usize]) -> Served {
        let plan = parse.plan(tokens, action, offsets).unwrap();
        let missing: Vec<String> = parse.missing(&plan).unwrap().into_iter().map(String::from).collect();
        let ids: Vec<Vec<u32>> = missing.iter().map(|text| tokens_of(text)).collect();
        let texts: Vec<&str> = missing.iter().map(String::as_str).collect();
        parse.learn(&texts, &ids.iter().map(Vec::as_slice).collect()).unwrap();
        parse.units(&plan).unwrap()
    }

    fn new_parse(latents: &[String], joints: Joints) -> ServedParse {
        let segments: Vec<Vec<u32>> = latents.iter().map(|text| tokens_of(text)).collect();
        let segments = segments.iter().map(Vec::as_slice).collect();
        ServedParse::new(token_bytes(), Barriers::new(&[0]).unwrap(), joints, &segments).unwrap()
    }

    fn text_of(latents: &[String], units: &[u32]) -> String {
        let text = |&unit: &u32| {
            (unit as usize)
                .checked_sub(TOKENS.len())
                .map_or_else(|| TOKENS[unit as usize], |latent| &latents[latent])
        };
        units.iter().map(text).collect()
    }

    /// The first byte of each unit lies in the token that `starts` names, and is its first if the unit `begins`
    /// there.
    fn assert_aligned(latents: &[String], served: &Served, tokens: &[u32]) {
        let ends: Vec<usize> = (1..=tokens.len()).map(|end| text_of(latents, &tokens[..end]).len()).collect();
        let mut at = 0;
        for (index, &unit) in served.units.iter().enumerate() {
            let token = ends.partition_point(|&end| end <= at);
            assert_eq!(served.starts[index], token as i64);
            assert_eq!(served.begins[index], at == token.checked_sub(1).map_or(0, |before| ends[before]));
            at += text_of(latents, &[unit]).len();
        }
    }

    const ALL: Joints = Joints { space: true, newline: true, punctuation: true };

    proptest! {
        #[test]
        fn the_toy_tokenizer_parts_texts_at_joints(before in texts(0..8), after in texts(0..8)) {
            let text = before.clone() + &after;
            if ALL.at(text.as_bytes(), before.len(), text.len()) {
                prop_assert_eq!(tokens_of(&text), [tokens_of(&before), tokens_of(&after)].concat());
            }
        }

        #[test]
        fn units_are_what_the_exported_tokenizer_gives(
            latents in prop::collection::btree_set(texts(2..6), 0..12),
            conversations in prop::collection::vec(stretches(), 0..4),
            joints in (any::<bool>(), any::<bool>(), any::<bool>()),
        ) {
            let latents: Vec<String> = latents.into_iter().filter(|text| tokens_of(text).len() >= 2).collect();
            let joints = Joints { space: joints.0, newline: joints.1, punctuation: joints.2 };
            let mut parse = new_parse(&latents, joints);
            let (mut tokens, mut action, mut expected, mut offsets) = (vec![], vec![], vec![], vec![0]);
            for stretches in &conversations {
                let (more, agent, units) = conversation(&latents, stretches);
                tokens.extend(more);
                action.extend(agent);
                expected.extend(units);
                offsets.push(tokens.len());
            }
            let served = served(&mut parse, &tokens, &action, &offsets);
            prop_assert_eq!(&served.units, &expected);
            let plan = parse.plan(&tokens, &action, &offsets).unwrap();
            prop_assert_eq!(parse.missing(&plan).unwrap().len(), 0);

            assert_aligned(&latents, &served, &tokens);
        }

        /// As those are that a model samples.
        #[test]
        fn units_have_the_text_of_base_tokens_that_are_not_the_tokenizers(
            latents in prop::collection::btree_set(texts(2..6), 0..12),
            conversation in prop::collection::vec((0..TOKENS.len() as u32, any::<bool>()), 0..40),
            joints in (any::<bool>(), any::<bool>(), any::<bool>()),
        ) {
            let latents: Vec<String> = latents.into_iter().filter(|text| tokens_of(text).len() >= 2).collect();
            let joints = Joints { space: joints.0, newline: joints.1, punctuation: joints.2 };
            let (tokens, action): (Vec<u32>, Vec<bool>) = conversation.into_iter().unzip();
            let served = served(&mut new_parse(&latents, joints), &tokens, &action, &[0, tokens.len()]);
            prop_assert_eq!(text_of(&latents, &served.units), text_of(&latents, &tokens));
            assert_aligned(&latents, &served, &tokens);
        }
    }

    /// The ids 0 to 4 are "a", "b", "c", a byte that is in no UTF-8, and a barrier; the latent 5 is "cc".
    fn parse_with_a_broken_byte() -> ServedParse {
        let bytes = TokenBytes::new(b"abc\xFF".to_vec(), vec![0, 1, 2, 3, 4, 4]).unwrap();
        let segments = [[2, 2].as_slice()].into_iter().collect();
        ServedParse::new(bytes, Barriers::new(&[4]).unwrap(), Joints::default(), &segments).unwrap()
    }

    #[test]
    fn a_token_that_ends_like_a_border_is_none() {
        let mut parse = parse_with_a_broken_byte();
        let mut units = |tokens: &[u32], action: &[bool]| {
            let plan = parse.plan(tokens, action, &[0, tokens.len()]).unwrap();
            let missing: Vec<String> = parse.missing(&plan).unwrap().into_iter().map(String::from).collect();
            let ids: Vec<Vec<u32>> = missing
                .iter()
                .map(|text| text.bytes().map(|byte| u32::from(byte - b'a')).collect())
                .collect();
            let texts: Vec<&str> = missing.iter().map(String::as_str).collect();
            parse.learn(&texts, &ids.iter().map(Vec::as_slice).collect()).unwrap();
            parse.units(&plan).unwrap().units
        };
        // Longer than a chunk, which ends at a border only.
        let long = [vec![0; 1 << 14], vec![3, 0, 4, 3]].concat();
        assert!(units(&long, &vec![true; long.len()]) == long);
        // Where the speaker changes after it, the text is encoded from there on.
        assert_eq!(units(&[0, 3, 1, 2, 2], &[true, true, false, false, false]), [0, 3, 1, 5]);
    }

    #[test]
    fn a_full_cache_drops_no_window_that_a_plan_needs() {
        let latents = [String::from("..")];
        let room = ["a", "b", "1"].iter().map(|text| Windows::bytes_of(text.as_bytes())).sum();
        let mut parse = ServedParse { most_cached: room, ..new_parse(&latents, Joints::default()) };
        let plan_of = |parse: &ServedParse, texts: &[&str]| {
            let tokens = tokens_of(&texts.join(".."));
            parse.plan(&tokens, &vec![true; tokens.len()], &[0, tokens.len()]).unwrap()
        };
        let learn = |parse: &mut ServedParse, plan: &Plan| {
            let missing = parse.missing(plan).unwrap();
            let ids: Vec<Vec<u32>> = missing.iter().map(|text| tokens_of(text)).collect();
            parse.learn(&missing, &ids.iter().map(Vec::as_slice).collect()).unwrap();
        };
        let (first, second) = (plan_of(&parse, &["a", "b", "1"]), plan_of(&parse, &["1", "ab", "é"]));
        learn(&mut parse, &first);
        assert_eq!(parse.windows.bytes(), room);
        learn(&mut parse, &second);
        assert_eq!(parse.units(&second).unwrap().units.len(), 5);
        assert_eq!(parse.units(&first), Err(Error::NotLearnt { text: "a".into() }));
    }

    #[test]
    fn a_plan_is_completed_by_the_parse_that_has_read_it() {
        let parse = new_parse(&["ab".into()], Joints::default());
        let plan = parse.plan(&[1, 2], &[true, true], &[0, 2]).unwrap();
        assert!(parse.clone().units(&plan).is_ok());
        let other = parse.with_segments(&[[2, 1].as_slice()].into_iter().collect()).unwrap();
        assert_eq!(other.units(&plan), Err(Error::OtherParse));
        assert_eq!(other.missing(&plan), Err(Error::OtherParse));
    }

    #[test]
    fn texts_are_cached_by_parses_of_the_tokenizer_they_were_encoded_for() {
        let parse = new_parse(&["ab".into()], Joints::default());
        let encoded = || parse.encoded(&["a"], &[[1].as_slice()].into_iter().collect()).unwrap();
        assert!(parse.with_segments(&Segments::default()).unwrap().cache(encoded()).is_ok());
        assert_eq!(new_parse(&[], Joints::default()).cache(encoded()), Err(Error::OtherParse));
    }

    proptest! {
        /// Whichever are more, the texts that were cached or those that are new.
        #[test]
        fn what_is_learnt_in_parts_is_known(parts in prop::collection::vec(prop::collection::vec("[ab1]{1,3}", 0..6), 0..5)) {
            let mut parse = new_parse(&[], Joints::default());
            for part in &parts {
                let (ids, texts): (Vec<_>, Vec<_>) = part.iter().map(|text| (tokens_of(text), text.as_str())).unzip();
                parse.learn(&texts, &ids.iter().map(Vec::as_slice).collect()).unwrap();
            }
            for text in parts.iter().flatten() {
                let found = parse.windows.get(text.as_bytes()).map(<[u32]>::to_vec);
                prop_assert_eq!(found, Some(tokens_of(text)));
            }
        }
    }

    #[test]
    fn what_is_not_learnt_or_of_other_bytes_is_named() {
        let latents = [String::from("a.")];
        let mut parse = new_parse(&latents, Joints::default());
        let tokens = tokens_of("aa.ab");
        let plan = parse.plan(&tokens, &vec![true; tokens.len()], &[0, tokens.len()]).unwrap();
        assert_eq!(parse.missing(&plan), Ok(vec!["a", "ab"]));
        assert_eq!(parse.units(&plan), Err(Error::NotLearnt { text: "a".into() }));
        let ids: Segments = [[1].as_slice(), &[2]].into_iter().collect();
        assert_eq!(parse.learn(&["a", "ab"], &ids), Err(Error::OtherText { text: "ab".into() }));
        assert_eq!(parse.missing(&plan), Ok(vec!["a", "ab"]));
    }
}
