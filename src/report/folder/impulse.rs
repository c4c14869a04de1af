//! Impulse responses: arrays of every layer, and the section in the results.

use super::ResultsFolder;
use crate::Result;
use crate::measure::impulse::{self as measure, ImpulseOptions, Similar};
use crate::report::results::{ChannelRef, Impulse, ImpulseLayer, ImpulseMatch, Skipped};

impl ResultsFolder {
    /// Writes what [`crate::measure::impulse()`] found of a network under `impulse/NAME/`, for every layer:
    /// `response.npy` f32 `[M, H, W]` (`[I, M, H, W]` for a network of several input channels), `ncc.npy` and
    /// `ncc_abs.npy` f64 `[M, M]`, `lag.npy` i32 `[M, M, 2]`. Adds the network to the section `impulse`.
    /// `prefix` comes before the names of layers, and tells those of several networks apart; it may be empty.
    ///
    /// # Errors
    /// As [`crate::io::sink::Output::array`].
    pub fn impulse(
        &self,
        prefix: &str,
        found: &measure::Impulse,
        options: &ImpulseOptions,
    ) -> Result<()> {
        let mut layers = vec![];
        for (r, ncc) in found.responses.iter().zip(&found.within) {
            let name = format!("{prefix}{}", r.name);
            self.responses(&name, r)?;
            let m = r.shape[0];
            let file = |array: &str| format!("impulse/{name}/{array}.npy");
            let lags: Vec<i32> = ncc.lag.iter().flatten().copied().collect();
            self.output.array(&file("ncc"), &[m, m], &ncc.ncc)?;
            self.output.array(&file("ncc_abs"), &[m, m], &ncc.ncc_abs)?;
            self.output.array(&file("lag"), &[m, m, 2], &lags)?;
            layers.push(ImpulseLayer {
                name,
                tap: options.tap.name().into(),
                channels: m as u64,
                ncc_mean: ncc.mean(&r.norms),
                zero_channels: (0..m as u64)
                    .filter(|&c| r.norms[c as usize] == 0.0)
                    .collect(),
            });
        }
        let layer = |at: usize| format!("{prefix}{}", found.responses[at].name);
        let channel = |c: Similar| ChannelRef {
            layer: layer(c.layer),
            channel: c.channel as u64,
        };
        let matches = found.across.iter().map(|m| ImpulseMatch {
            a: channel(m.a),
            b: channel(m.b),
            ncc: m.ncc,
            lag: m.lag.map(i64::from),
        });
        let groups = found.groups.iter();
        let groups = groups.map(|g| g.iter().map(|&c| channel(c)).collect());
        let skipped = found.skipped.iter().map(|&[a, b]| Skipped {
            name: format!("{} and {}", layer(a), layer(b)),
            reason: "too many and too large pairs of channels to correlate across depth".into(),
        });
        let results = &mut self.record().results;
        let section = results.impulse.get_or_insert_with(Impulse::default);
        section.match_threshold = Some(options.threshold);
        section.layers.extend(layers);
        section.matches.extend(matches);
        section.groups.extend(groups);
        results.skipped.extend(skipped);
        Ok(())
    }

    fn responses(&self, name: &str, r: &measure::Response) -> Result<()> {
        let [m, inputs, h, w] = r.shape;
        let file = format!("impulse/{name}/response.npy");
        if inputs == 1 {
            return self.output.array(&file, &[m, h, w], &r.values);
        }
        // By input channel first: what an impulse in that channel gives.
        let map = h * w;
        let by_input: Vec<f32> = (0..inputs * m)
            .flat_map(|i| &r.values[(i % m * inputs + i / m) * map..][..map])
            .copied()
            .collect();
        self.output.array(&file, &[inputs, m, h, w], &by_input)
    }
}
