//! Which channels answer alike: within each layer, across depth, in groups.

use super::ncc::{Match, Ncc, Ready, Similar, across, ready, within};
use super::{ImpulseOptions, Response};
use crate::control::{Control, Step};
use crate::device::on_backend;
use crate::measure::Context;
use crate::ops::net::NetOps;
use crate::{Error, Result};

/// Responses of a network's layers, and which of their channels are alike.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Impulse {
    /// Responses, one entry per layer, in running order.
    pub responses: Vec<Response>,
    /// NCC matrices, one per layer.
    pub within: Vec<Ncc>,
    /// Channels alike at different depth: highest NCC first, then by layers and channels.
    pub across: Vec<Match>,
    /// Channels joined by an NCC of at least the threshold, within layers or across: largest groups
    /// first, channels by layer.
    pub groups: Vec<Vec<Similar>>,
    /// Pairs of layers that were too much to compare.
    pub skipped: Vec<[usize; 2]>,
}

/// Operations spent on comparing layers of different depth, in units of pairs times pixels times the
/// logarithm of the size: the cheapest pairs of layers come first. Less than a minute on two cores.
const CROSS_DEPTH_BUDGET: u64 = 200_000_000_000;

/// What a pair takes beside its correlations, in these units. It matters for maps of a few pixels.
const PER_PAIR: u64 = 64;

/// Correlates all channels of each layer, and of layers at different depth.
///
/// # Errors
/// [`Error::Argument`] where the threshold is not above 0 and at most 1; device errors;
/// [`Error::Cancelled`].
pub fn compare(
    ctx: &Context<'_>,
    responses: Vec<Response>,
    options: &ImpulseOptions,
) -> Result<Impulse> {
    if !(options.threshold > 0.0 && options.threshold <= 1.0) {
        let expected = "a number above 0 and at most 1";
        return Err(Error::argument("threshold", options.threshold, expected));
    }
    let control = ctx.control();
    ctx.run(|| {
        on_backend!(ctx.device(), |backend| compare_on(
            backend, responses, options, control
        ))
    })
}

fn compare_on<B: NetOps>(
    backend: &B,
    responses: Vec<Response>,
    options: &ImpulseOptions,
    control: &Control<'_>,
) -> Result<Impulse> {
    let ready: Vec<Ready> = responses
        .iter()
        .map(|r| ready(r, options.centred))
        .collect();
    let (pairs, skipped) = affordable(&ready);
    let total = (ready.len() + pairs.len()) as u64;
    let step = |done: usize| {
        control.report(Step {
            stage: "correlate responses",
            done: done as u64,
            total,
            unit: "layer pairs",
        });
        control.check()
    };
    let mut findings = Impulse {
        skipped,
        ..Impulse::default()
    };
    for r in &ready {
        step(findings.within.len())?;
        findings.within.push(within(backend, r)?);
    }
    for (done, &[a, b]) in pairs.iter().enumerate() {
        step(ready.len() + done)?;
        let found = across(backend, (&ready[a], &ready[b]), [a, b], options.threshold)?;
        findings.across.extend(found);
    }
    findings.across.sort_by(|x, y| {
        let place = |m: &Match| (m.a, m.b);
        y.ncc.total_cmp(&x.ncc).then(place(x).cmp(&place(y)))
    });
    findings.groups = groups(&findings, options.threshold);
    findings.responses = responses;
    Ok(findings)
}

/// Pairs of layers within the budget, in order, and those beyond it.
fn affordable(ready: &[Ready]) -> (Vec<[usize; 2]>, Vec<[usize; 2]>) {
    let cost = |&[a, b]: &[usize; 2]| {
        let (a, b) = (ready[a].shape, ready[b].shape);
        let size = ((a[2] + b[2]) as u64) * (a[3] + b[3]) as u64;
        (a[0] * b[0]) as u64 * (size * u64::from(size.ilog2() + 1) + PER_PAIR)
    };
    let mut pairs: Vec<[usize; 2]> = (0..ready.len())
        .flat_map(|b| (0..b).map(move |a| [a, b]))
        .collect();
    pairs.sort_by_key(|p| (cost(p), *p));
    let mut spent = 0u64;
    let fits = pairs.iter().take_while(|p| {
        spent = spent.saturating_add(cost(p));
        spent <= CROSS_DEPTH_BUDGET
    });
    let count = fits.count();
    let mut skipped = pairs.split_off(count);
    pairs.sort_unstable();
    skipped.sort_unstable();
    (pairs, skipped)
}

/// Connected components of "alike".
fn groups(findings: &Impulse, threshold: f64) -> Vec<Vec<Similar>> {
    let mut all: Vec<Similar> = vec![];
    let mut first = vec![];
    for (layer, ncc) in findings.within.iter().enumerate() {
        first.push(all.len());
        all.extend((0..ncc.channels).map(|channel| Similar { layer, channel }));
    }
    let mut parent: Vec<usize> = (0..all.len()).collect();
    let mut join = |a: usize, b: usize| {
        let (a, b) = (root(&mut parent, a), root(&mut parent, b));
        parent[a.max(b)] = a.min(b);
    };
    for (layer, ncc) in findings.within.iter().enumerate() {
        let c = ncc.channels;
        for (at, _) in (ncc.ncc.iter().enumerate()).filter(|(_, v)| **v >= threshold) {
            join(first[layer] + at / c, first[layer] + at % c);
        }
    }
    for m in &findings.across {
        join(
            first[m.a.layer] + m.a.channel,
            first[m.b.layer] + m.b.channel,
        );
    }
    let mut groups: Vec<Vec<Similar>> = vec![vec![]; all.len()];
    for (i, &channel) in all.iter().enumerate() {
        groups[root(&mut parent, i)].push(channel);
    }
    groups.retain(|g| g.len() > 1);
    groups.sort_by_key(|g| (std::cmp::Reverse(g.len()), g[0]));
    groups
}

fn root(parent: &mut [usize], mut i: usize) -> usize {
    while parent[i] != i {
        parent[i] = parent[parent[i]];
        i = parent[i];
    }
    i
}
