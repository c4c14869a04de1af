//! Ablation: the orders that were ablated as arrays, and the section in the results.

use super::ResultsFolder;
use crate::Result;
use crate::measure::ablate as measure;
use crate::report::results::{AblatedLayer, Ablation, AblationCurve, AblationPoint, finite};

impl ResultsFolder {
    /// Writes what [`crate::measure::ablate()`] found: `ablate/calibration.npy` i64 `[N]`, and for every layer and ranking
    /// `ablate/LAYER/RANKING.npy` i64 `[C]`, or `[R, C]` for the R random rankings. Adds the section `ablation`.
    ///
    /// # Errors
    /// As [`crate::io::sink::Output::array`].
    pub fn ablation(&self, found: &measure::Ablation, dropped: measure::Dropped) -> Result<()> {
        let stored: Vec<i64> = found.calibration.iter().map(|&i| i as i64).collect();
        self.output
            .array("ablate/calibration.npy", &[stored.len()], &stored)?;
        for layer in &found.layers {
            for curve in &layer.curves {
                let order: Vec<i64> = curve.orders.iter().flatten().map(|&c| c as i64).collect();
                let shape = match curve.orders.len() {
                    1 => vec![layer.channels],
                    several => vec![several, layer.channels],
                };
                let file = format!("ablate/{}/{}.npy", layer.name, curve.ranking);
                self.output.array(&file, &shape, &order)?;
            }
        }
        let layers = found.layers.iter().map(|layer| AblatedLayer {
            name: layer.name.clone(),
            channels: layer.channels as u64,
            curves: curves(&layer.curves),
        });
        self.record().results.ablation = Some(Ablation {
            dropped: dropped.name().into(),
            samples: found.samples as u64,
            calibration_samples: found.calibration.len() as u64,
            accuracy: finite(found.accuracy),
            standard_error: finite(found.standard_error),
            layers: layers.collect(),
            together: found.together.as_deref().map(curves),
        });
        Ok(())
    }
}

fn curves(curves: &[measure::Curve]) -> Vec<AblationCurve> {
    let point = |p: &measure::Point| AblationPoint {
        share: p.share,
        kept: p.kept as u64,
        accuracy: finite(p.accuracy),
        standard_error: finite(p.standard_error),
        change: finite(p.change),
        change_error: finite(p.change_error),
        accuracies: p.accuracies.clone(),
    };
    (curves.iter())
        .map(|curve| AblationCurve {
            ranking: curve.ranking.name().into(),
            points: curve.points.iter().map(point).collect(),
        })
        .collect()
}
