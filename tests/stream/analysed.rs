//! Blocks that are analysed ahead: what the plan keeps free for it, and who has which block when.

use super::{Counting, Linear, blocks, counting};
use chanscope::control::Control;
use chanscope::stream::plan::{Costs, GraphJob, plan_graph};
use chanscope::stream::run::{Analyse, Layout, Read, read_blocks};
use chanscope::tensor::{ValueType, Values};
use chanscope::{Error, Result};
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

/// The same, and blocks are analysed ahead.
struct Analysed(Linear);

impl Costs for Analysed {
    fn points_bytes(&self, groups: usize, rows: usize, dim: usize, values: ValueType) -> u64 {
        self.0.points_bytes(groups, rows, dim, values)
    }
    fn graph_bytes(&self, groups: usize, queries: usize, k: usize, dim: usize) -> u64 {
        self.0.graph_bytes(groups, queries, k, dim)
    }
    fn analysis_bytes(&self, groups: usize, rows: usize, _: usize) -> Option<u64> {
        Some(24 * (groups * rows) as u64)
    }
    fn max_block_bytes(&self) -> u64 {
        self.0.max_block
    }
    fn shares_host_memory(&self) -> bool {
        self.0.shares
    }
}

proptest! {
    /// A plan with room for an analysis holds to the cap with it, and has as many blocks as without or more. Where there is no
    /// room for it, the plan is the one without.
    #[test]
    fn plans_have_room_for_an_analysis_or_none(
        spaces in 1usize..300, samples in 2usize..200_000, dim in 1usize..4000, k in 1usize..200,
        memory in 20u32..36, shares: bool, half: bool, drawn: bool,
    ) {
        let values = if half { ValueType::F16 } else { ValueType::F32 };
        let queries = if drawn { samples.div_ceil(9) } else { samples };
        let job = GraphJob { spaces, samples, dim, k, queries, drawn, values };
        let costs = || Linear { max_block: 1 << 31, shares };
        let memory = 1u64 << memory;
        let (plain, with) = (costs(), Analysed(costs()));
        match (plan_graph(&job, &plain, memory), plan_graph(&job, &with, memory)) {
            (Ok(without), Ok(plan)) => {
                prop_assert!(!without.ahead);
                prop_assert!(plan.bytes(&job, &with) <= memory / 4 * 3);
                match plan.ahead {
                    true => {
                        prop_assert!(plan.groups < spaces || plan.points < samples, "one block");
                        let extra = plan.bytes(&job, &with) - plan.bytes(&job, &plain);
                        prop_assert!(extra <= 24 * (plan.groups * plan.points) as u64);
                        prop_assert!(plan.groups <= without.groups);
                    }
                    false => prop_assert_eq!(plan, without),
                }
            }
            (Err(a), Err(b)) => prop_assert_eq!(a, b),
            (a, b) => prop_assert!(false, "{a:?} {b:?}"),
        }
    }
}

/// Two buffers hold all blocks, also while one is analysed. The memory of a block is read into again as soon as it is given
/// back, which need not be after the work on it.
#[test]
fn analysed_blocks_come_in_order_in_two_buffers() {
    let layer = counting(usize::MAX);
    let sum = |values: Values<'_>| values.wide().iter().map(|&v| f64::from(v)).sum::<f64>();
    // Every third block cannot be analysed.
    let analyse = |read: &Read, values: Values<'_>| {
        (!read.rows.start.is_multiple_of(3)).then(|| (read.clone(), sum(values)))
    };
    for (analysed, early) in [(true, true), (true, false), (false, true), (false, false)] {
        let (mut seen, mut buffers) = (Vec::new(), BTreeSet::new());
        read_blocks(
            &layer,
            &[4, 0, 2],
            Layout::ChannelMajor,
            blocks(),
            analysed.then_some(&analyse as Analyse<'_, (Read, f64)>),
            &Control::default(),
            |read, block, analysis| {
                let Values::F32(values) = block.values() else {
                    panic!("the layer has f32");
                };
                buffers.insert(values.as_ptr() as usize);
                let first = [4, 0, 2][read.channels.start];
                assert_eq!(values[0], layer.value(read.rows.start, first, 0));
                let expected = analyse(read, block.values());
                assert_eq!(analysis, expected.filter(|_| analysed));
                seen.push(read.clone());
                if early {
                    drop(block);
                    std::thread::sleep(std::time::Duration::from_millis(2));
                }
                Ok(())
            },
        )
        .unwrap();
        assert_eq!(seen, blocks().collect::<Vec<_>>());
        assert!(buffers.len() <= 2, "{buffers:?}");
    }
}

/// The second block is analysed while the first is worked on: that work waits for it.
#[test]
fn a_block_is_analysed_while_the_last_one_is_worked_on() {
    let layer = counting(usize::MAX);
    let (tx, rx) = std::sync::mpsc::channel();
    let tx = Mutex::new(tx);
    let analyse = |read: &Read, _: Values<'_>| tx.lock().unwrap().send(read.clone()).ok();
    let mut reads = blocks();
    read_blocks(
        &layer,
        &[0, 1, 2],
        Layout::ChannelMajor,
        blocks(),
        Some(&analyse),
        &Control::default(),
        |read, _block, _| {
            if *read == blocks().next().unwrap() {
                for _ in 0..2 {
                    let analysed = rx.recv_timeout(std::time::Duration::from_secs(60));
                    assert_eq!(analysed.unwrap(), reads.next().unwrap());
                }
            }
            Ok(())
        },
    )
    .unwrap();
}

/// Errors come in the order of the blocks, and whoever ends first ends the others.
#[test]
fn errors_beside_an_analysis_are_those_without() {
    let analyse = |_: &Read, _: Values<'_>| Some(());
    for analyse in [None, Some(&analyse as Analyse<'_, ()>)] {
        let run = |layer: &Counting, control: &Control<'_>, work: &dyn Fn() -> Result<()>| {
            let mut worked = 0;
            let found = read_blocks(
                layer,
                &[0, 1, 2],
                Layout::ChannelMajor,
                blocks(),
                analyse,
                control,
                |_, block, _| {
                    drop(block);
                    worked += 1;
                    work()
                },
            );
            (found.unwrap_err(), worked)
        };
        let idle = Control::default();
        for fail_at in 0..8 {
            let (error, worked) = run(&counting(fail_at), &idle, &|| Ok(()));
            assert!(error.to_string().contains("fails here"));
            assert_eq!(worked, fail_at);
        }
        let (error, worked) = run(&counting(3), &idle, &|| Err(Error::network("work")));
        assert_eq!((error, worked), (Error::network("work"), 1));
        let stop = AtomicBool::new(false);
        let control = Control::default().with_cancel(&stop);
        let layer = counting(usize::MAX);
        let cancel = || {
            stop.store(true, Ordering::SeqCst);
            Ok(())
        };
        let (error, worked) = run(&layer, &control, &cancel);
        assert_eq!((error, worked), (Error::Cancelled, 1));
        assert!(layer.reads.load(Ordering::SeqCst) <= 4);
    }
}
