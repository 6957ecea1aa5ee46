//! Several sources of one tick.

use std::time::Duration;

use super::*;
use crate::gpu::GpuFigures;

fn tick() -> Tick<'static> {
    let now = Moment { at: "2026-09-26T12:00:00Z".parse().unwrap(), monotonic: Duration::ZERO };
    Tick { vm: "gpu-a-01", interval: Interval::from_seconds(10).unwrap(), now }
}

fn scraped(index: Option<u16>, uuid: Option<&str>, figures: GpuFigures) -> ScrapedGpu {
    ScrapedGpu { uuid: uuid.map(str::to_owned), index, figures: GpuFigures { uuid: uuid.map(str::to_owned), ..figures } }
}

fn page(gpus: impl Into<Vec<ScrapedGpu>>) -> Figures {
    Figures { gpus: gpus.into(), machine: ScrapedMachine::default() }
}

fn busy(ratio: f64) -> GpuFigures {
    GpuFigures { utilization_ratio: Some(ratio), ..GpuFigures::default() }
}

fn driven(gpu: u16, uuid: Option<&str>, figures: GpuFigures) -> Reading {
    let figures = GpuFigures { uuid: uuid.map(str::to_owned), ..figures };
    Reading::GpuSample(sample("gpu-a-01", gpu, tick().now, figures).unwrap())
}

fn merged(readings: &mut Vec<Reading>, pages: Vec<Figures>) -> Vec<LeftOut> {
    let mut driver = Indices::new();
    learn_indices(&mut driver, readings);
    merge(tick(), &driver, pages, readings)
}

/// Index, uuid, utilization and power.
type Told<'a> = (u16, Option<&'a str>, Option<f64>, Option<f64>);

/// What readings tell of GPUs.
fn told(readings: &[Reading]) -> Vec<Told<'_>> {
    let mut found = Vec::new();
    for reading in readings {
        if let Reading::GpuSample(gpu) = reading {
            found.push((gpu.gpu, gpu.uuid.as_deref(), gpu.utilization_ratio, gpu.power_watts));
        }
    }
    found
}

#[test]
fn the_driver_wins_and_an_exporter_fills_in() {
    let mut readings = vec![driven(1, Some("GPU-b"), busy(0.5))];
    let exporter = GpuFigures { power_watts: Some(300.0), ..busy(0.9) };
    let gpus = [scraped(Some(1), Some("GPU-b"), exporter), scraped(Some(2), Some("GPU-c"), busy(0.1))];
    assert_eq!(merged(&mut readings, vec![page(gpus)]), []);
    let expected = [(1, Some("GPU-b"), Some(0.5), Some(300.0)), (2, Some("GPU-c"), Some(0.1), None)];
    assert_eq!(told(&readings), expected);
}

#[test]
fn an_exporter_that_counts_otherwise_gives_no_indices() {
    let mut readings = vec![driven(1, Some("GPU-b"), busy(0.5))];
    let exporter = GpuFigures { power_watts: Some(300.0), ..busy(0.9) };
    let gpus = [scraped(Some(0), Some("GPU-b"), exporter), scraped(Some(2), Some("GPU-c"), busy(0.1))];
    assert_eq!(merged(&mut readings, vec![page(gpus)]), [LeftOut::NoIndex("GPU-c".into())]);
    assert_eq!(told(&readings), [(1, Some("GPU-b"), Some(0.5), Some(300.0))], "what is known by its uuid is filled in");
}

#[test]
fn a_gpu_that_the_driver_lost_keeps_its_index() {
    let mut driver = Indices::new();
    learn_indices(&mut driver, &[driven(3, Some("GPU-d"), busy(0.5))]);
    let mut readings = Vec::new();
    assert_eq!(merge(tick(), &driver, vec![page([scraped(Some(0), Some("GPU-d"), busy(0.2))])], &mut readings), []);
    assert_eq!(told(&readings), [(3, Some("GPU-d"), Some(0.2), None)]);
}

#[test]
fn the_index_comes_from_any_page_and_the_first_page_wins() {
    let triton = page([scraped(None, Some("GPU-a"), busy(0.7)), scraped(None, Some("GPU-x"), busy(0.1))]);
    let dcgm = page([scraped(Some(4), Some("GPU-a"), GpuFigures { power_watts: Some(90.0), ..busy(0.8) })]);
    let mut readings = Vec::new();
    let left_out = merged(&mut readings, vec![triton, dcgm]);
    assert_eq!(told(&readings), [(4, Some("GPU-a"), Some(0.7), Some(90.0))]);
    assert_eq!(left_out, [LeftOut::NoIndex("GPU-x".into())]);
}

#[test]
fn two_gpus_never_share_an_index() {
    let mut readings = vec![driven(0, Some("GPU-a"), busy(0.5)), driven(1, None, busy(0.5))];
    let foreign = page([scraped(Some(0), Some("GPU-z"), busy(0.9)), scraped(Some(1), Some("GPU-b"), busy(0.9))]);
    assert_eq!(merged(&mut readings, vec![foreign]), [LeftOut::IndexTaken { index: 0, uuid: "GPU-z".into() }]);
    let expected = [(0, Some("GPU-a"), Some(0.5), None), (1, Some("GPU-b"), Some(0.5), None)];
    assert_eq!(told(&readings), expected, "a driver that tells no uuid is told it");
}

#[test]
fn a_gpu_without_measures_is_no_reading() {
    let mut readings = Vec::new();
    assert_eq!(merged(&mut readings, vec![page([scraped(None, Some("GPU-a"), GpuFigures::default())])]), []);
    assert_eq!(readings, []);
}

#[test]
fn the_machine_has_one_sample_and_its_own_figures_stand() {
    let machine = ScrapedMachine { cpu_ratio: Some(0.25), memory_used_bytes: Some(7), memory_total_bytes: Some(70) };
    let figures = || {
        vec![
            Figures { gpus: Vec::new(), machine },
            Figures { gpus: Vec::new(), machine: ScrapedMachine { cpu_ratio: Some(0.9), ..machine } },
        ]
    };
    let mut own = VmSample::empty("gpu-a-01".into(), tick().now.at, 9.5);
    own.memory_used_bytes = Some(8);
    own.memory_total_bytes = Some(80);
    let mut readings = vec![Reading::VmSample(own.clone())];
    assert_eq!(merged(&mut readings, figures()), []);
    assert_eq!(readings, [Reading::VmSample(VmSample { cpu_ratio: Some(0.25), ..own })]);

    let mut readings = Vec::new();
    merged(&mut readings, figures());
    let [Reading::VmSample(sample)] = readings.as_slice() else { panic!("{readings:?}") };
    assert_eq!((sample.interval_seconds, sample.cpu_ratio, sample.memory_total_bytes), (10.0, Some(0.25), Some(70)));
}

#[test]
fn what_is_known_of_indices_is_bounded() {
    let mut known = Indices::new();
    let readings: Vec<Reading> = (0..300).map(|gpu| driven(gpu, Some(&format!("GPU-{gpu}")), busy(0.5))).collect();
    learn_indices(&mut known, &readings);
    assert_eq!(known.len(), usize::from(GPUS_MAX));
    learn_indices(&mut known, &[driven(9, Some("GPU-0"), busy(0.5))]);
    assert_eq!(known["GPU-0"], 9, "what is known stays up to date");
}
