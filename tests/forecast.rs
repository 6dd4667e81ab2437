//! The live forecast beside a channel's traffic.

use tidegate::model::{Demand, FeatureWindow, Online, OverflowModel, WARM_TICKS};

/// Bursts of 24 ticks every 80, and their backlog.
fn demand(tick: usize, backlog: f64) -> Demand {
    let arrivals = if tick % 80 < 24 { 2.5 } else { 0.1 + (tick % 7) as f64 * 0.05 };
    Demand { arrivals, backlog: (backlog + arrivals - 1.0).max(0.0) }
}

#[test]
fn a_forecast_allocates_nothing() {
    let model = OverflowModel::packaged().unwrap();
    let mut online = Online::new(&model, 1);
    let mut window = FeatureWindow::default();
    let mut backlog = 0.0;
    let mut peaks = 0.0;
    let mut tick = |tick| {
        let demand = demand(tick, backlog);
        backlog = demand.backlog;
        window.push(demand);
        let forecast = model.forecast(&window.features());
        peaks += online.correct(forecast).peak_backlog;
        peaks += model.overflow_probability(&forecast, 64.0) + model.top_contributions(&window.features())[0].1;
    };
    (0..2 * WARM_TICKS).for_each(&mut tick);
    let counted = allocation_counter::measure(|| (2 * WARM_TICKS..4 * WARM_TICKS).for_each(&mut tick));
    assert_eq!((counted.count_total, counted.bytes_total), (0, 0));
    assert!(peaks > 0.0);
    assert!(allocation_counter::measure(|| drop(std::hint::black_box(vec![1]))).count_total > 0, "it counts");
}
