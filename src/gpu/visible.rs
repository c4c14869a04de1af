//! The cards that a scheduler assigned to this process. Ray and Slurm name them in `CUDA_VISIBLE_DEVICES`, which Vulkan
//! does not know; so the cards that it lists are found here by their PCI addresses.

use std::collections::BTreeMap;
use std::path::Path;

/// Vendor of the cards that the variable is about.
const NVIDIA: u32 = 0x10de;

/// Whether this process may take an adapter by itself. One that is named by the user is taken in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visibility {
    /// The variable is not set, or not about this adapter.
    Open,
    /// The variable names this card.
    Assigned,
    /// The variable names other cards.
    Hidden,
    /// The variable is set, and it cannot be told which card this is.
    Unknown,
}

/// What `CUDA_VISIBLE_DEVICES` says, with the NVIDIA driver's cards.
pub(super) struct Visible {
    /// The names in the variable, up to the first that is no card's; `None` where it is not set.
    wanted: Option<Vec<String>>,
    /// Identifiers (`GPU-...`) by PCI address, in the order of the addresses.
    cards: BTreeMap<String, String>,
}

impl Visible {
    /// As the environment of this process has it.
    pub(super) fn here() -> Self {
        let variable = std::env::var("CUDA_VISIBLE_DEVICES").ok();
        let cards = match variable {
            Some(_) => driver_cards(Path::new("/proc/driver/nvidia/gpus")),
            None => BTreeMap::new(),
        };
        Self::new(variable.as_deref(), cards)
    }

    fn new(variable: Option<&str>, cards: BTreeMap<String, String>) -> Self {
        // As CUDA reads it: names after one that is invalid, such as -1, do not count.
        let names = |text: &str| -> Vec<String> {
            let names = text.split(',').map(str::trim);
            let valid = names.take_while(|n| is_index(n) || n.starts_with("GPU-"));
            valid.map(String::from).collect()
        };
        Self {
            wanted: variable.map(names),
            cards,
        }
    }

    /// Of an adapter of this vendor at this PCI address (as in `0000:01:00.0`; empty where it is not known). `all` are
    /// the addresses of all NVIDIA adapters: an index counts them in their order.
    pub(super) fn of(&self, vendor: u32, address: &str, all: &[String]) -> Visibility {
        let Some(wanted) = self.wanted.as_ref().filter(|_| vendor == NVIDIA) else {
            return Visibility::Open;
        };
        if wanted.is_empty() {
            return Visibility::Hidden;
        }
        if address.is_empty() {
            return Visibility::Unknown;
        }
        let own = canonical(address);
        let mut known: Vec<String> = all.iter().map(|a| canonical(a)).collect();
        known.extend(self.cards.keys().map(|a| canonical(a)));
        known.sort_unstable();
        known.dedup();
        let identifier = self.cards.iter().find(|(a, _)| canonical(a) == own);
        let mut unknown = false;
        for name in wanted {
            match name.parse::<usize>() {
                Ok(index) if known.get(index) == Some(&own) => return Visibility::Assigned,
                Ok(_) => {}
                // CUDA takes any beginning that is one card's.
                Err(_) => match identifier {
                    Some((_, own)) if own.starts_with(name.as_str()) => {
                        return Visibility::Assigned;
                    }
                    Some(_) => {}
                    None => unknown = true,
                },
            }
        }
        match unknown {
            true => Visibility::Unknown,
            false => Visibility::Hidden,
        }
    }
}

/// Whether an adapter is one whose address an index may count.
pub(super) const fn is_counted(vendor: u32) -> bool {
    vendor == NVIDIA
}

fn is_index(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_digit())
}

/// `domain:bus:device.function` in lower case with four digits of the domain, of which drivers write four or eight.
fn canonical(address: &str) -> String {
    let lower = address.to_ascii_lowercase();
    match lower.split_once(':') {
        Some((domain, rest)) => {
            let domain = u32::from_str_radix(domain, 16).unwrap_or(0);
            format!("{domain:04x}:{rest}")
        }
        None => lower,
    }
}

/// The identifiers of the cards that NVIDIA's driver knows, by PCI address: a folder a card, with a file of lines such
/// as `GPU UUID:  GPU-...`.
fn driver_cards(folder: &Path) -> BTreeMap<String, String> {
    let mut cards = BTreeMap::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let text = std::fs::read_to_string(entry.path().join("information")).unwrap_or_default();
        let mut lines = text.lines().filter_map(|l| l.split_once(':'));
        let found = lines.find(|(name, _)| name.trim() == "GPU UUID");
        let identifier = found.map_or("", |(_, value)| value.trim());
        let address = entry.file_name().to_string_lossy().into_owned();
        cards.insert(address, identifier.to_string());
    }
    cards
}

#[cfg(test)]
mod tests {
    use super::Visibility::{Assigned, Hidden, Open, Unknown};
    use super::*;

    const FIRST: &str = "0000:17:00.0";
    const SECOND: &str = "0000:65:00.0";

    fn both(variable: Option<&str>) -> [Visibility; 2] {
        let cards = [(FIRST, "GPU-1a2b"), (SECOND, "GPU-1a9c")];
        let cards = cards.map(|(a, b)| (a.to_string(), b.to_string())).into();
        let visible = Visible::new(variable, cards);
        let all = [SECOND.to_string(), FIRST.to_string()];
        [FIRST, SECOND].map(|address| visible.of(NVIDIA, address, &all))
    }

    #[test]
    fn cards_are_found_by_index_and_identifier() {
        assert_eq!(both(None), [Open, Open]);
        assert_eq!(both(Some("0,1")), [Assigned, Assigned]);
        assert_eq!(both(Some("1")), [Hidden, Assigned]);
        assert_eq!(both(Some("GPU-1a2b")), [Assigned, Hidden]);
        assert_eq!(both(Some("GPU-1a9")), [Hidden, Assigned]);
        for none in ["", "-1", "NoDevFiles", "-1,0"] {
            assert_eq!(both(Some(none)), [Hidden, Hidden], "{none}");
        }
        assert_eq!(both(Some("0,-1,1")), [Assigned, Hidden]);
        assert_eq!(both(Some("7")), [Hidden, Hidden]);
    }

    #[test]
    fn what_cannot_be_told_is_said() {
        let visible = Visible::new(Some("GPU-1a2b"), BTreeMap::new());
        let all = [FIRST.to_string()];
        assert_eq!(visible.of(NVIDIA, FIRST, &all), Unknown);
        assert_eq!(visible.of(NVIDIA, "", &all), Unknown);
        assert_eq!(visible.of(0x1002, FIRST, &all), Open);
        let index = Visible::new(Some("0"), BTreeMap::new());
        assert_eq!(index.of(NVIDIA, "00000000:17:00.0", &all), Assigned);
    }
}
