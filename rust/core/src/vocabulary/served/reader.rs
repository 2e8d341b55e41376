//! One conversation read as an engine reads it: its text, the latents in it, and the gaps between them.

use super::ServedParse;
use super::plan::{Part, WindowPlace};
use super::windows::Windows;
use crate::tokens::text_matcher::REACH;

/// The byte between two stretches. It is in no latent's text, so no latent is found across it.
const BORDER: u8 = 0xFF;

/// The fewest bytes of a chunk: few enough to stay in a near cache.
const CHUNK: usize = 1 << 14;

/// Reads conversations, a chunk of whole stretches at a time.
///
/// A stretch is one speaker's text between two barriers, which the base tokenizer encoded separately.
pub(super) struct Reader<'a> {
    parse: &'a ServedParse,
    windows: &'a Windows,
    part: Part,
    /// The text of the chunk.
    text: Vec<u8>,
    /// Where each token of the chunk begins in it.
    starts: Vec<usize>,
    stretches: Vec<Stretch>,
}

/// The end of a stretch.
#[derive(Debug, Clone, Copy)]
struct Stretch {
    /// The byte of its border.
    end: usize,
    /// The token after its last one.
    last: usize,
    /// Whether that token is a barrier, and thus the border.
    barrier: bool,
}

impl<'a> Reader<'a> {
    pub(super) fn new(parse: &'a ServedParse, windows: &'a Windows) -> Self {
        let (text, starts, stretches) = (Vec::new(), Vec::new(), Vec::new());
        Reader { parse, windows, part: Part::default(), text, starts, stretches }
    }

    /// The units of a conversation whose first token has the position `position`.
    pub(super) fn read(&mut self, tokens: &[u32], action: &[bool], position: usize) -> Part {
        let mut first = 0;
        for (index, &token) in tokens.iter().enumerate() {
            if index > first && action[index] != action[index - 1] && !self.at_border() {
                self.end_stretch(index - first, false);
            }
            if self.at_border() && self.text.len() >= CHUNK {
                self.read_chunk(&tokens[first..index], position + first);
                first = index;
            }
            self.starts.push(self.text.len());
            if self.parse.barriers.contains(token) {
                self.end_stretch(index - first, true);
            } else {
                self.text.extend_from_slice(self.parse.token_bytes.get(token));
            }
        }
        self.end_stretch(tokens.len() - first, false);
        self.read_chunk(&tokens[first..], position + first);
        std::mem::take(&mut self.part)
    }

    /// Whether the text ends with a border. The last byte does not tell: a token may end with the same one.
    fn at_border(&self) -> bool {
        self.stretches.last().is_some_and(|stretch| stretch.end + 1 == self.text.len())
    }

    fn end_stretch(&mut self, last: usize, barrier: bool) {
        self.stretches.push(Stretch { end: self.text.len(), last, barrier });
        self.text.push(BORDER);
    }

    fn read_chunk(&mut self, tokens: &[u32], position: usize) {
        self.text.resize(self.text.len() + REACH, BORDER);
        let mut gaps = Gaps {
            parse: self.parse,
            windows: self.windows,
            part: &mut self.part,
            text: &self.text,
            starts: &self.starts,
            tokens,
            position: position as i64,
            at: 0,
            is_parted: true,
            next: 0,
        };
        let mut stretches = self.stretches.iter();
        let mut stretch = stretches.next();
        self.parse.texts.for_each_match(&self.text, |start, text| {
            while let Some(ended) = stretch.take_if(|ended| ended.end <= start) {
                gaps.end_stretch(ended);
                stretch = stretches.next();
            }
            gaps.latent(start, text);
        });
        stretch.into_iter().chain(stretches).for_each(|ended| gaps.end_stretch(ended));
        self.text.clear();
        self.starts.clear();
        self.stretches.clear();
    }
}

/// Reads a chunk from latent to latent.
struct Gaps<'a> {
    parse: &'a ServedParse,
    windows: &'a Windows,
    part: &'a mut Part,
    text: &'a [u8],
    starts: &'a [usize],
    tokens: &'a [u32],
    /// The base position of the chunk's first token.
    position: i64,
    /// The byte up to which units have been appended.
    at: usize,
    /// Whether the base tokenizer split the text at that byte.
    is_parted: bool,
    /// The first token that begins at `at` or after it.
    next: usize,
}

impl<'a> Gaps<'a> {
    fn latent(&mut self, start: usize, text: usize) {
        self.gap(start, self.parse.joints.at(self.text, start, usize::MAX));
        let (latent, length) = self.parse.latents[text];
        let place = self.place(start + length);
        self.part.units.push(latent, place.position, place.cut == 0);
        self.move_to(start + length);
        self.is_parted = self.parse.joints.at(self.text, self.at, usize::MAX);
    }

    fn end_stretch(&mut self, stretch: &Stretch) {
        self.gap(stretch.end, true);
        // A barrier, and the tokens without bytes before it, which are in no gap.
        let next = stretch.last + usize::from(stretch.barrier);
        self.keep(self.next, next);
        self.at = stretch.end + 1;
        self.next = next;
        self.is_parted = true;
    }

    /// Appends the units before the byte `end`; `end_is_parted`: whether the base tokenizer split the text there.
    fn gap(&mut self, end: usize, end_is_parted: bool) {
        if self.at == end {
            return;
        }
        if let Some((first, last)) = self.kept(end, end_is_parted) {
            self.window(self.starts[first]);
            self.keep(first, last);
            self.at = self.starts.get(last).map_or(end, |&start| start.min(end));
            self.next = last;
        }
        self.window(end);
    }

    /// The tokens of the gap that are kept: from its first joint to its last, or from edge to edge.
    fn kept(&self, end: usize, end_is_parted: bool) -> Option<(usize, usize)> {
        let after = self.next + self.starts[self.next..].iter().take_while(|&&start| start < end).count();
        let is_joint = |&token: &usize| {
            let start = self.starts[token];
            start > self.at && self.parse.joints.at(self.text, start, end)
        };
        let begins_parted = self.is_parted && self.starts.get(self.next) == Some(&self.at);
        let first = if begins_parted { Some(self.next) } else { (self.next..after).find(is_joint) }?;
        // A token may reach over a joint if it is not the tokenizer's: one that a model has sampled, say.
        let ends_whole = self.text[end] == BORDER || self.starts.get(after) == Some(&end);
        if end_is_parted && ends_whole {
            return Some((first, after));
        }
        Some((first, (first..after).rev().find(is_joint).unwrap_or(first)))
    }

    /// Appends base tokens as they are.
    fn keep(&mut self, first: usize, last: usize) {
        for token in first..last {
            self.part.units.push(self.tokens[token], self.position + token as i64, true);
        }
    }

    /// Appends the ids of the text up to `end`, encoded separately.
    fn window(&mut self, end: usize) {
        if self.at >= end {
            return;
        }
        let (text, place) = (&self.text[self.at..end], self.place(end));
        match self.windows.get(text) {
            Some(ids) => self.part.units.push_window(ids, &place, &self.parse.token_bytes),
            None => self.part.push_hole(text, &place),
        }
        self.move_to(end);
    }

    fn move_to(&mut self, byte: usize) {
        self.at = byte;
        self.next += self.starts[self.next..].iter().take_while(|&&start| start < byte).count();
    }

    /// The tokens that overlap the bytes from `at` to `end`.
    fn place(&self, end: usize) -> WindowPlace<'a> {
        // If several begin there, all but the last have no bytes.
        let begun = self.starts[self.next..].iter().take_while(|&&start| start == self.at).count();
        let first = (self.next + begun).saturating_sub(1);
        let tokens = self.starts[first..].iter().take_while(|&&start| start < end).count();
        WindowPlace {
            tokens: &self.tokens[first..first + tokens],
            position: self.position + first as i64,
            cut: self.at - self.starts[first],
        }
    }
}
