//! The cache of encoded texts and their base ids.

use std::hash::Hasher;

use hashbrown::HashTable;
use rustc_hash::FxHasher;

/// Bytes of a text's entries in the tables: two ends, and its index with a byte of its hash.
const AROUND_A_TEXT: usize = 24;
/// Bytes of one byte of a text: the byte, and an id, for none has fewer bytes than one.
const A_BYTE: usize = 1 + size_of::<u32>();

/// Distinct texts, each with the ids that the base tokenizer gives it.
#[derive(Debug, Clone, Default)]
pub(super) struct Windows {
    /// Indices of the texts, by the hash of their bytes.
    table: HashTable<u32>,
    texts: Ragged<u8>,
    ids: Ragged<u32>,
}

impl Windows {
    /// Bytes of the texts with their ids and entries, at most.
    pub(super) fn bytes(&self) -> usize {
        self.table.len() * AROUND_A_TEXT + self.texts.items.len() * A_BYTE
    }

    /// What a text adds to [`Windows::bytes`].
    pub(super) fn bytes_of(text: &[u8]) -> usize {
        AROUND_A_TEXT + text.len() * A_BYTE
    }

    pub(super) fn get(&self, text: &[u8]) -> Option<&[u32]> {
        let index = self.table.find(hash(text), |&index| self.texts.get(index) == text)?;
        Some(self.ids.get(*index))
    }

    /// Adds a text, unless it is already cached.
    pub(super) fn insert(&mut self, text: &[u8], ids: &[u32]) {
        if self.get(text).is_none() {
            self.texts.push(text);
            self.ids.push(ids);
            let texts = &self.texts;
            self.table.insert_unique(hash(text), texts.len() - 1, |&index| hash(texts.get(index)));
        }
    }

    /// Adds the texts of `other`.
    pub(super) fn extend(&mut self, other: &Windows) {
        (0..other.texts.len()).for_each(|index| self.insert(other.texts.get(index), other.ids.get(index)));
    }
}

fn hash(text: &[u8]) -> u64 {
    let mut hasher = FxHasher::default();
    hasher.write(text);
    hasher.finish()
}

/// Lists laid end to end.
#[derive(Debug, Clone)]
struct Ragged<T> {
    items: Vec<T>,
    ends: Vec<usize>,
}

impl<T> Default for Ragged<T> {
    fn default() -> Self {
        Ragged { items: Vec::new(), ends: Vec::new() }
    }
}

impl<T: Copy> Ragged<T> {
    fn len(&self) -> u32 {
        self.ends.len() as u32
    }

    fn get(&self, index: u32) -> &[T] {
        let index = index as usize;
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.items[start..self.ends[index]]
    }

    fn push(&mut self, list: &[T]) {
        self.items.extend_from_slice(list);
        self.ends.push(self.items.len());
    }
}
