//! Mutated inputs: seeds with some bytes changed, or with some values of the JSON in them.

use super::LONGEST;
use serde_json::Value;
use std::path::PathBuf;

/// A small generator (xorshift); the same inputs on every machine.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }

    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }
}

/// Bytes that parsers get wrong: ends of ranges, and what text formats are made of.
const BYTES: &[u8] = &[
    0, 1, 0x7f, 0x80, 0xff, b'{', b'}', b'[', b']', b'"', b'\\', b',', b':', b'-', b'\n', b'(',
    b')', b'\'',
];
/// The same in several bytes.
const TOKENS: &[&[u8]] = &[
    b"18446744073709551615",
    b"-9223372036854775808",
    b"9007199254740993",
    b"1e308",
    b"1e999",
    b"-0",
    b"null",
    b"NaN",
    b"true",
    b"\\u0000",
    b"\\ud800",
    b"../../x",
    b"</script>",
    b"\x1b[2J",
    b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
    b"\xff\xff\xff\x7f",
    b"\x00\x00\x00\x80",
    b"(4294967296, 4294967296)",
    b"True",
    b"|O",
];

/// The file of a seed, and its bytes.
pub type Seed = (PathBuf, Vec<u8>);

/// One to eight changes to a seed.
pub fn mutate(random: &mut Random, seeds: &[Seed]) -> Vec<u8> {
    let mut bytes = random.pick(seeds).1.clone();
    for _ in 0..1 + random.below(8) {
        let at = random.below(bytes.len() + 1);
        let part = at..(at + 1 + random.below(16)).min(bytes.len());
        match random.below(9) {
            0 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            1 if at < bytes.len() => bytes[at] = *random.pick(BYTES),
            2 if at < bytes.len() => bytes[at] = random.next() as u8,
            3 => drop(bytes.drain(part)),
            4 => drop(bytes.splice(part, random.pick(TOKENS).iter().copied())),
            5 => drop(bytes.splice(at..at, random.pick(TOKENS).iter().copied())),
            6 => bytes.truncate(at),
            7 => {
                // A number becomes another one.
                let digit = |b: &u8| b.is_ascii_digit();
                if let Some(from) = bytes[at..].iter().position(digit).map(|i| at + i) {
                    let len = bytes[from..].iter().take_while(|b| digit(b)).count();
                    let value = match random.below(3) {
                        0 => random.next(),
                        1 => random.below(20) as u64,
                        _ => 1 << random.below(64),
                    };
                    bytes.splice(from..from + len, value.to_string().into_bytes());
                }
            }
            _ => {
                // A piece of another seed, or of this one once more.
                let other = &random.pick(seeds).1;
                let from = random.below(other.len());
                let to = (from + 1 + random.below(64)).min(other.len());
                bytes.splice(part, other[from..to].iter().copied());
            }
        }
        bytes.truncate(LONGEST);
    }
    bytes
}

/// One to four changed values of the JSON at the beginning of a seed, or of that behind its first zero byte.
pub fn mutate_json(random: &mut Random, seeds: &[Seed]) -> Vec<u8> {
    let bytes = &random.pick(seeds).1;
    let mut parts: Vec<Vec<u8>> = bytes.splitn(2, |&b| b == 0).map(<[u8]>::to_vec).collect();
    let at = random.below(parts.len());
    let Ok(mut value) = serde_json::from_slice::<Value>(&parts[at]) else {
        return mutate(random, seeds);
    };
    for _ in 0..1 + random.below(4) {
        change(random, &mut value);
    }
    parts[at] = value.to_string().into_bytes();
    let mut bytes = parts.join(&0);
    bytes.truncate(LONGEST);
    bytes
}

/// Changes a value, or one inside it.
fn change(random: &mut Random, value: &mut Value) {
    let inside = match value {
        Value::Array(list) => list.len(),
        Value::Object(map) => map.len(),
        _ => 0,
    };
    if inside > 0 && random.below(8) > 0 {
        let at = random.below(inside);
        match value {
            Value::Array(list) => return change(random, &mut list[at]),
            Value::Object(map) => {
                if let Some(inner) = map.values_mut().nth(at) {
                    return change(random, inner);
                }
            }
            _ => {}
        }
    }
    match value {
        Value::Array(list) if random.below(4) > 0 => match random.below(4) {
            0 if !list.is_empty() => drop(list.remove(random.below(list.len()))),
            1 if !list.is_empty() => list.truncate(random.below(list.len())),
            2 if !list.is_empty() => {
                let again = list[random.below(list.len())].clone();
                let times = 1 + random.below(20);
                list.extend(std::iter::repeat_n(again, times));
            }
            _ => {
                let to = random.below(list.len() + 1);
                list.insert(to, any(random));
            }
        },
        Value::Object(map) if !map.is_empty() && random.below(4) > 0 => {
            let keys: Vec<String> = map.keys().cloned().collect();
            let (key, other) = (random.pick(&keys).clone(), random.pick(&keys).clone());
            match random.below(3) {
                0 => drop(map.remove(&key)),
                1 => {
                    let moved = map.remove(&key).unwrap_or_default();
                    map.insert(format!("{key}x"), moved);
                }
                _ => {
                    let copied = map.get(&other).cloned().unwrap_or_default();
                    map.insert(key, copied);
                }
            }
        }
        Value::Number(number) if random.below(2) == 0 => {
            let (n, by) = (number.as_f64().unwrap_or(0.0), random.below(3) as f64 - 1.0);
            *value = match n.fract() == 0.0 && n.abs() < 9e15 {
                true => Value::from((n + by) as i64),
                false => Value::from(n * by),
            };
        }
        _ => *value = any(random),
    }
}

/// A value that whoever reads it may not expect.
fn any(random: &mut Random) -> Value {
    match random.below(10) {
        0 => Value::Null,
        1 => Value::Bool(random.below(2) == 0),
        2 => Value::from(-(random.below(3) as i64)),
        3 => Value::from(random.next()),
        4 => Value::from(1u64 << random.below(64)),
        5 => Value::from(*random.pick(&[0.5, 1e308, -1e308, 5e-324, 9_007_199_254_740_993.0])),
        6 => Value::from("x".repeat(random.below(300))),
        7 => {
            let token = random.pick(TOKENS);
            Value::from(String::from_utf8_lossy(token).into_owned())
        }
        8 => Value::from(vec![random.below(5); random.below(6)]),
        _ => Value::Object(serde_json::Map::new()),
    }
}
