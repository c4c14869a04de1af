//! Greedy facility location and its optimum, by the definition (docs/definitions.md#representatives).

/// The similarity of two channels in units of 2^-40, from `S [C, C]`; no value is 0.
fn units(s: &[Vec<f64>], c: usize, a: usize) -> u128 {
    let one = 1u128 << 40;
    match s[c][a] {
        _ if c == a => one,
        v if v.is_nan() => 0,
        v => ((v * one as f64).round().max(0.0) as u128).min(one),
    }
}

/// `sum_c max_{a in kept} S(c, a)` over live channels, in units of 2^-40.
pub fn value(s: &[Vec<f64>], dead: &[bool], kept: &[usize]) -> u128 {
    let live = (0..s.len()).filter(|&c| !dead[c]);
    live.map(|c| kept.iter().map(|&a| units(s, c, a)).max().unwrap_or(0))
        .sum()
}

/// The ranking: live channels by greedy steps, ties to the lower index, then dead ones.
pub fn order(s: &[Vec<f64>], dead: &[bool]) -> Vec<usize> {
    let mut kept: Vec<usize> = Vec::new();
    loop {
        let mut best: Option<(u128, usize)> = None;
        for c in (0..s.len()).filter(|c| !dead[*c] && !kept.contains(c)) {
            let with = [kept.as_slice(), &[c]].concat();
            let value = value(s, dead, &with);
            if best.is_none_or(|(most, _)| value > most) {
                best = Some((value, c));
            }
        }
        match best {
            Some((_, c)) => kept.push(c),
            None => break,
        }
    }
    kept.extend((0..s.len()).filter(|&c| dead[c]));
    kept
}

/// The largest value of any `m` live channels.
pub fn optimum(s: &[Vec<f64>], dead: &[bool], m: usize) -> u128 {
    let live: Vec<usize> = (0..s.len()).filter(|&c| !dead[c]).collect();
    let sets = (0u32..1 << live.len()).filter(|bits| bits.count_ones() as usize == m);
    let chosen = |bits: u32| -> Vec<usize> {
        let members = live.iter().enumerate();
        members
            .filter(|(i, _)| bits >> i & 1 == 1)
            .map(|(_, &c)| c)
            .collect()
    };
    sets.map(|bits| value(s, dead, &chosen(bits)))
        .max()
        .unwrap_or(0)
}

/// The most similar of `kept` to `c`, of equally similar ones the first.
pub fn representative(s: &[Vec<f64>], c: usize, kept: &[usize]) -> Option<usize> {
    let most = kept.iter().map(|&a| units(s, c, a)).max()?;
    kept.iter().copied().find(|&a| units(s, c, a) == most)
}
