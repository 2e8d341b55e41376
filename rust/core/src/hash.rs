//! The hashes of this crate.
//!
//! The tables that are read for each token of a text hash by one multiplication, [`of_word`] and [`of_pair`]:
//! more would cost more than the collisions that it spares. [`of_tokens`] mixes a whole string of tokens so
//! well that every bit can be used. All three give the same on every machine. (The index of runs that are
//! being folded uses `rustc_hash`, and no result depends on it.)

/// 2^64 over the golden ratio, made odd (Knuth, The Art of Computer Programming, volume 3, section 6.4).
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// The same for 32 bits, made prime.
const GOLDEN_WORD: u32 = 0x9E37_79B1;

/// The hash of 32 bits by one multiplication. Its upper bits are well mixed, its lower ones are not.
#[inline(always)]
pub(crate) fn of_word(word: u32) -> u32 {
    word.wrapping_mul(GOLDEN_WORD)
}

/// The hash of two words by one multiplication: the upper half of the product, which is the well mixed one.
#[inline(always)]
pub(crate) fn of_pair(words: u64) -> u32 {
    (words.wrapping_mul(GOLDEN) >> 32) as u32
}

/// The hash of a string of tokens, all of whose bits are well mixed.
///
/// Each token goes through one step of SplitMix64 (Steele, Lea and Flood, Fast splittable pseudorandom number
/// generators, 2014), whose finalizer is variant 13 of Stafford's. The sample of a large corpus is drawn by
/// this hash: another one would choose other latents.
pub(crate) fn of_tokens(tokens: &[u32]) -> u64 {
    let step = |hash: u64, token: &u32| {
        let mut hash = (hash ^ u64::from(*token)).wrapping_add(GOLDEN);
        hash = (hash ^ hash >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        hash = (hash ^ hash >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        hash ^ hash >> 31
    };
    tokens.iter().fold(tokens.len() as u64, step)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first numbers of SplitMix64 from the seed 0, as its authors publish them.
    #[test]
    fn a_step_is_that_of_splitmix() {
        assert_eq!(of_tokens(&[]), 0);
        assert_eq!(of_tokens(&[1]), 0xE220_A839_7B1D_CDAF);
    }

    #[test]
    fn a_sample_stays_what_it_was() {
        assert_eq!(of_tokens(&[1, 2, 3]), 0x0107_2DEC_A745_5826);
        assert_ne!(of_tokens(&[1, 2]), of_tokens(&[2, 1]));
    }
}
