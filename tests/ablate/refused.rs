//! Options and inputs that ablation refuses, and what it says.

use super::network::{images, layer};
use super::{N, Setting, given, options};
use chanscope::cpu::Cpu;
use chanscope::device::Device;
use chanscope::measure::ablate::Criterion;
use chanscope::measure::{AblateInput, AblateOptions, Context, ablate};
use chanscope::model::layers::Tap;

#[test]
fn what_does_not_fit_is_refused() {
    let setting = Setting::new(10);
    let fail = |options: &AblateOptions| setting.run(options, 1 << 30, 1).unwrap_err().to_string();
    for share in [0.0, -0.5, 1.01, f64::NAN, f64::INFINITY] {
        let text = fail(&options().with_keep(vec![0.5, share]));
        assert_eq!(
            text,
            format!("keep is {share}, expected shares above 0 and at most 1")
        );
    }
    assert!(fail(&options().with_keep(vec![])).contains("keep is nothing"));
    let little = fail(&options().with_calibration(Some(25)));
    assert_eq!(
        little,
        "calibration is 25 samples, expected more than the 25 neighbours of the ranking jaccard, and at most 68, so that 2 of \
         the 70 samples are left to measure accuracy on"
    );
    let l1 = options().with_rankings(vec![Criterion::L1]);
    assert!(fail(&l1.clone().with_calibration(Some(1))).contains("expected at least 2 samples"));
    assert!(
        fail(&l1.clone().with_calibration(Some(69)))
            .contains("expected at least 2 samples, and at most 68")
    );
    assert!(
        setting
            .run(&l1.clone().with_calibration(Some(68)), 1 << 30, 1)
            .is_ok()
    );
    assert!(fail(&options().with_k(0)).contains("k is 0, expected 1 to"));
    assert!(fail(&l1.clone().with_rankings(vec![])).contains("rankings is none"));
    let twice = l1.clone().with_rankings(vec![Criterion::L1, Criterion::L1]);
    assert!(fail(&twice).contains("'l1' twice"));

    let device = Device::Cpu(Cpu::new(1).unwrap());
    let ctx = Context::new(&device);
    let graph = setting.network.graph();
    let (shape, _) = images(N, 0);
    let data = layer(shape, &setting.data);
    let (layers, _) = graph.layers_at(Tap::Activation);
    let input = AblateInput::new(&graph, &data, &setting.labels, &layers);
    let refused = |input: &AblateInput<'_>, options: &AblateOptions| {
        ablate(&ctx, input, options).unwrap_err().to_string()
    };
    let mut wrong = setting.labels.clone();
    wrong[7] = 3;
    let other = AblateInput::new(&graph, &data, &wrong, &layers);
    assert_eq!(
        refused(&other, &l1),
        "labels[7] is 3, expected one of the network's 3 classes"
    );
    let short = AblateInput::new(&graph, &data, &wrong[..60], &layers);
    assert_eq!(refused(&short, &l1), "labels has 60 elements, expected 70");
    let none = AblateInput::new(&graph, &data, &setting.labels, &[]);
    assert!(refused(&none, &l1).contains("layers is none"));

    let by = l1.with_rankings(vec![Criterion::Given]);
    assert_eq!(
        refused(&input, &by),
        "ranking is none, expected one of layer 'conv1' too"
    );
    let change = |order: Vec<i64>| {
        let mut given = given();
        given[2].order = order;
        refused(&input.with_given(&given), &by)
    };
    assert_eq!(change(vec![0, 1, 2]), "ranking has 3 elements, expected 5");
    assert!(change(vec![0, 1, 2, 1, 4]).contains("ranking[3] is 1 a second time"));
    assert!(
        change(vec![0, 1, 2, 3, 5])
            .contains("ranking[4] is 5, expected a channel of layer 'conv3' below 5")
    );
    assert!(change(vec![-1, 1, 2, 3, 4]).contains("ranking[0] is -1"));
    let mut others = given();
    others[0].layer = "conv9".into();
    assert_eq!(
        refused(&input.with_given(&others), &by),
        "ranking is rankings of conv9, conv2, conv3, expected one of layer 'conv1' too"
    );
}
