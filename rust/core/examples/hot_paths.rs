//! One hot path over a file of ids, again and again: for a profiler or an instruction counter.
//!
//! ```text
//! valgrind --tool=callgrind target/release/examples/hot_paths encode ids.u32 segments.u32 151669 1
//! ```
use lar_core::{Segments, Vocabulary};
use std::time::Instant;
fn read(path: &str) -> Vec<u32> {
    std::fs::read(path).unwrap().chunks_exact(4).map(|b| u32::from_le_bytes(b.try_into().unwrap())).collect()
}
fn main() {
    let a: Vec<String> = std::env::args().collect();
    let ids = read(&a[2]);
    let flat = read(&a[3]);
    let mut segments = Segments::default();
    let mut rest = &flat[..];
    while let Some((&n, tail)) = rest.split_first() {
        segments.push(&tail[..n as usize]);
        rest = &tail[n as usize..];
    }
    let v = Vocabulary::new(a[4].parse().unwrap(), segments).unwrap();
    let n: usize = a[5].parse().unwrap();
    let units = v.encode(&ids).unwrap();
    let action: Vec<bool> = (0..ids.len()).map(|i| i / 60 % 5 == 0).collect();
    let mut buffer = vec![1u32; ids.len()];
    let mut times = Vec::new();
    for _ in 0..n {
        let t = Instant::now();
        match a[1].as_str() {
            "encode" => {
                std::hint::black_box(v.encode(&ids).unwrap());
            }
            "expand" => {
                std::hint::black_box(v.expand(&units).unwrap());
            }
            "expand_into" => {
                v.expand_into(&units, &mut buffer).unwrap();
            }
            "expanded_length" => {
                std::hint::black_box(v.expanded_length(&units).unwrap());
            }
            "encode_into" => {
                v.encode_into(&ids, &mut buffer).unwrap();
            }
            _ => {
                std::hint::black_box(v.align(&ids, &action, &[0, ids.len()]).unwrap());
            }
        }
        times.push(t.elapsed().as_secs_f64());
    }
    times.sort_by(f64::total_cmp);
    eprintln!(
        "{} {} tokens {} units: median {:.0} M/s best {:.0} M/s",
        a[1],
        ids.len(),
        units.len(),
        ids.len() as f64 / times[n / 2] / 1e6,
        ids.len() as f64 / times[0] / 1e6
    );
}
