//! Numbers by chance, the same ones for the same seed.

#[derive(Clone)]
pub struct Chance(u64);

impl Chance {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// SplitMix64: every seed is as good as any other.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// One of 0 to `end` - 1.
    pub fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() >> 16).unwrap() % end.max(1)
    }

    pub fn percent(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }
}

/// FLOCKQ_SEED, or another one each time.
pub fn seed() -> u64 {
    let given = std::env::var("FLOCKQ_SEED").ok();
    given
        .and_then(|text| text.parse().ok())
        .unwrap_or_else(|| rustix::time::clock_gettime(rustix::time::ClockId::Monotonic).tv_nsec)
        .unsigned_abs()
}
