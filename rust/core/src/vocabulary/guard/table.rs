//! What all guards of a vocabulary share: the latents' texts, and the units that complete them.

use std::sync::Arc;

use super::id_set::IdSet;
use super::sorted_texts::{SortedTexts, TextRange};
use crate::error::Result;
use crate::tokens::barriers::Barriers;
use crate::tokens::bytes::TokenBytes;
use crate::tokens::checks::check_length;
use crate::vocabulary::Vocabulary;
use crate::vocabulary::found_texts::found_texts;

/// The text of a latent that an engine never finds.
const NONE: u32 = u32::MAX;

/// The texts of a vocabulary's latents in the order of their bytes, and the units in that order.
#[derive(Debug)]
pub struct GuardTable {
    pub(super) vocabulary: Arc<Vocabulary>,
    pub(super) token_bytes: TokenBytes,
    pub(super) barriers: Barriers,
    pub(super) texts: SortedTexts,
    /// The id of the latent that each text is found as.
    latents: Vec<u32>,
    /// The index of each latent's text, or NONE.
    text_of: Vec<u32>,
    /// The base tokens that have bytes and are no barriers, in the order of their bytes.
    tokens: Vec<u32>,
    /// The texts that begin with each byte.
    first: Vec<TextRange>,
    /// For each byte of the texts, laid end to end: the units that begin with the rest of the text from there.
    rests: Vec<Beginning>,
    /// The units that are excluded at every place, ascending.
    pub(super) always: Vec<u32>,
}

/// The units that begin with some bytes.
#[derive(Debug, Clone, Copy)]
struct Beginning {
    tokens: TextRange,
    texts: TextRange,
}

/// A place in the written text, from which on the text is the beginning of a latent's text.
///
/// At the start of a written latent, only longer texts count.
#[derive(Debug, Clone, Copy)]
pub(super) struct OpenStart {
    /// The texts that begin with what is written from there on; not empty.
    texts: TextRange,
    /// Length of what is written from there on, in bytes.
    length: u32,
}

impl GuardTable {
    /// The table of a vocabulary over base tokens of these bytes.
    ///
    /// It takes 17 bytes for each byte of the latents' texts, and a copy of the base tokens' bytes with 12 bytes
    /// for each token: 3 MB for Qwen3's 151,669 base ids and 1,024 latents. It is made in 43 ms then.
    ///
    /// # Errors
    /// If there are not as many base tokens as base ids of the vocabulary.
    pub fn new(vocabulary: Arc<Vocabulary>, token_bytes: TokenBytes, barriers: Barriers) -> Result<Self> {
        check_length("token_bytes", token_bytes.len(), vocabulary.base_size() as usize)?;
        let found = found_texts(&token_bytes, vocabulary.segments());
        let mut text_of = vec![NONE; vocabulary.segments().len()];
        for (text, &(_, latent)) in found.iter().enumerate() {
            text_of[latent as usize] = text as u32;
        }
        let texts = SortedTexts::new(found.iter().map(|(text, _)| text.as_slice()));
        let latents = found.iter().map(|(_, latent)| vocabulary.base_size() + latent).collect();
        let first = (0..=u8::MAX).map(|byte| texts.beginning_with(&[byte])).collect();
        let tokens = sorted_tokens(&token_bytes, &barriers);
        let rests = rests(&texts, &SortedTexts::new(tokens.iter().map(|&token| token_bytes.get(token))));
        let always = Vec::new();
        let mut table = GuardTable {
            vocabulary,
            token_bytes,
            barriers,
            texts,
            latents,
            text_of,
            tokens,
            first,
            rests,
            always,
        };
        table.always = table.always_excluded();
        Ok(table)
    }

    /// Base tokens in which an engine finds a latent, and latents that it never finds.
    fn always_excluded(&self) -> Vec<u32> {
        let contains_text = |&token: &u32| self.write(&mut Vec::new(), self.token_bytes.get(token)) > 0;
        let mut ids = IdSet::new(self.vocabulary.size());
        ids.extend(&self.tokens.iter().copied().filter(contains_text).collect::<Vec<_>>());
        let latents = self.vocabulary.base_size()..self.vocabulary.size();
        ids.extend(&latents.filter(|&latent| self.text_of(latent).is_none()).collect::<Vec<_>>());
        ids.to_vec()
    }

    /// The vocabulary.
    pub fn vocabulary(&self) -> &Vocabulary {
        &self.vocabulary
    }

    /// The index of a latent's text; None if an engine never finds the latent.
    pub(super) fn text_of(&self, latent: u32) -> Option<u32> {
        let text = self.text_of[(latent - self.vocabulary.base_size()) as usize];
        (text != NONE).then_some(text)
    }

    /// Writes bytes at each of which a text may begin; returns the number of overtaken starts.
    pub(super) fn write(&self, open: &mut Vec<OpenStart>, bytes: &[u8]) -> usize {
        let mut overtaken = 0;
        for &byte in bytes {
            overtaken += self.follow(open, byte);
            let texts = self.first[usize::from(byte)];
            open.extend((!texts.is_empty()).then_some(OpenStart { texts, length: 1 }));
        }
        overtaken
    }

    /// Writes the text of a found latent; returns the number of overtaken starts.
    pub(super) fn write_latent(&self, open: &mut Vec<OpenStart>, text: u32) -> usize {
        let bytes = self.texts.get(text);
        let overtaken = bytes.iter().map(|&byte| self.follow(open, byte)).sum();
        let texts = self.rests[self.texts.start(text)].texts;
        // The first of these is the latent's own.
        if texts.indices().len() > 1 {
            open.push(OpenStart { texts, length: bytes.len() as u32 });
        }
        overtaken
    }

    /// Takes the next byte: drops starts that are open no more, and returns the number of overtaken ones.
    #[inline]
    fn follow(&self, open: &mut Vec<OpenStart>, byte: u8) -> usize {
        let mut overtaken = 0;
        open.retain_mut(|start| {
            start.texts = self.texts.narrow(start.texts, start.length, byte);
            start.length += 1;
            if start.texts.is_empty() {
                return false;
            }
            let is_complete = self.texts.get(start.texts.begin).len() == start.length as usize;
            overtaken += usize::from(is_complete);
            !is_complete
        });
        overtaken
    }

    /// Adds the units that would overtake `open`.
    pub(super) fn exclude(&self, open: OpenStart, ids: &mut IdSet) {
        let mut text = open.texts.begin;
        // A written latent is shorter than the texts that would overtake it.
        text += u32::from(self.texts.get(text).len() == open.length as usize);
        while text < open.texts.end {
            let start = self.texts.start(text);
            let completing = self.rests[start + open.length as usize];
            ids.extend(&self.tokens[completing.tokens.indices()]);
            ids.extend(&self.latents[completing.texts.indices()]);
            // A unit that completes a text which begins with this one completes this one too.
            text = self.rests[start].texts.end;
        }
    }
}

/// The base tokens that have bytes and are no barriers, in the order of their bytes.
fn sorted_tokens(token_bytes: &TokenBytes, barriers: &Barriers) -> Vec<u32> {
    let is_written = |&token: &u32| !barriers.contains(token) && !token_bytes.get(token).is_empty();
    let mut tokens: Vec<u32> = (0..token_bytes.size()).filter(is_written).collect();
    tokens.sort_unstable_by_key(|&token| token_bytes.get(token));
    tokens
}

/// For each byte of the texts, laid end to end: the units that begin with the rest of the text from there.
fn rests(texts: &SortedTexts, tokens: &SortedTexts) -> Vec<Beginning> {
    let rests =
        (0..texts.len()).map(|text| texts.get(text)).flat_map(|text| (0..text.len()).map(|at| &text[at..]));
    let beginning =
        |rest| Beginning { tokens: tokens.beginning_with(rest), texts: texts.beginning_with(rest) };
    rests.map(beginning).collect()
}
