//! The cache of encoded texts and their base ids.

use std::hash::Hasher;

use hashbrown::HashTable;
use rustc_hash::FxHasher;

/// Distinct texts, each with the ids that the base tokenizer gives it.
#[derive(Debug, Clone, Default)]
pub(super) struct Windows {
    /// Indices of the texts, by the hash of their bytes.
    table: HashTable<u32>,
    texts: Ragged<u8>,
    ids: Ragged<u32>,
}

impl Windows {
    pub(super) fn len(&self) -> usize {
        self.table.len()
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
