//! The hashes of this crate.
//!
//! The tables that are read for each token of a text hash by one multiplication, [`of_word`] and [`of_pair`]:
//! more would cost more than the collisions that it spares. [`of_run`] mixes a whole string of tokens so well
//! that every bit can be used. All three give the same on every machine.

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
/// Four tokens are mixed by one multiplication to 128 bits whose halves are joined, as in wyhash (Wang Yi,
/// 2019), and two chains of them run beside each other. The samples of a large corpus are drawn by this hash:
/// another one would choose other latents.
pub(crate) fn of_run(tokens: &[u32]) -> u64 {
    let (blocks, rest) = tokens.as_chunks::<8>();
    let (mut left, mut right) = (GOLDEN, GOLDEN ^ tokens.len() as u64);
    for &[a, b, c, d, e, f, g, h] in blocks {
        left = multiply(two(a, b) ^ left, two(c, d) ^ KEYS[0]);
        right = multiply(two(e, f) ^ right, two(g, h) ^ KEYS[1]);
    }
    let (pairs, last) = rest.as_chunks::<2>();
    let rest = pairs.iter().fold(left, |hash, &[a, b]| multiply(two(a, b) ^ hash, KEYS[1]));
    let last = last.iter().fold(rest, |hash, &token| multiply(u64::from(token) ^ hash, KEYS[0]));
    multiply(last ^ KEYS[1], right ^ KEYS[0])
}

/// Two numbers with about as many ones as zeros: the first of SplitMix64 from the seed 0.
const KEYS: [u64; 2] = [0xE220_A839_7B1D_CDAF, 0x6E78_9E6A_A1B9_65F4];

#[inline(always)]
fn two(first: u32, second: u32) -> u64 {
    u64::from(first) | u64::from(second) << 32
}

/// Both halves of the product, joined.
#[inline(always)]
fn multiply(left: u64, right: u64) -> u64 {
    let product = u128::from(left) * u128::from(right);
    product as u64 ^ (product >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_that_differ_in_one_token_or_in_length_have_different_hashes() {
        let mut hashes = std::collections::BTreeSet::new();
        for length in 0..40 {
            let run = vec![0; length];
            assert!(hashes.insert(of_run(&run)), "{length} zeros");
            for (place, token) in
                (0..length).flat_map(|place| [1, 2, 151_645, u32::MAX].map(|token| (place, token)))
            {
                let mut other = run.clone();
                other[place] = token;
                assert!(hashes.insert(of_run(&other)), "{other:?}");
            }
        }
    }

    /// The index of a table takes the lowest bits, and its tags the highest.
    #[test]
    fn every_bit_of_the_hash_of_a_run_is_used() {
        for shift in [0, 24, 48, 57] {
            let places: std::collections::BTreeSet<u64> =
                (0..1000u32).map(|token| of_run(&[7, token]) >> shift & 0x7F).collect();
            assert_eq!(places.len(), 128, "at {shift}");
        }
    }

    #[test]
    fn a_sample_stays_what_it_was() {
        assert_eq!(of_run(&[1, 2, 3]), 0x2F93_AA9D_2A28_112A);
        assert_eq!(of_run(&(0..20).collect::<Vec<u32>>()), 0xA15B_B76B_C9EB_8AB9);
        assert_ne!(of_run(&[1, 2]), of_run(&[2, 1]));
    }
}
