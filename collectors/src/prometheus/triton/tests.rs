//! Pages of Triton: GPUs by uuid, and zeros that are none.

use super::super::text::parse;
use super::*;

const PAGE: &str = include_str!("../../../tests/fixtures/triton.prom");
const A: &str = "GPU-5a1d2c3b-0001-4f6e-9b1a-7c2e4d5f6a01";
const B: &str = "GPU-5a1d2c3b-0002-4f6e-9b1a-7c2e4d5f6a02";

fn samples(page: &str) -> Vec<Sample> {
    let page = parse(page.as_bytes(), is_read).unwrap();
    assert_eq!(page.first_rejection, None);
    page.samples
}

#[test]
fn gpus_and_the_machine_are_read() {
    let samples = samples(PAGE);
    let gpus = gpus(&samples);
    let read = GpuFigures {
        utilization_ratio: Some(0.91),
        memory_used_bytes: Some(63_380_127_744),
        memory_total_bytes: Some(85_520_809_984),
        power_watts: Some(498.012),
        uuid: Some(A.into()),
        ..GpuFigures::default()
    };
    let not_read = GpuFigures { uuid: Some(B.into()), ..GpuFigures::default() };
    let expected = [(A, read), (B, not_read)].map(|(uuid, figures)| ScrapedGpu { uuid: Some(uuid.into()), index: None, figures });
    assert_eq!(gpus, expected, "the second could not be read, which triton writes as 0");
    let expected =
        ScrapedMachine { cpu_ratio: Some(0.231_25), memory_used_bytes: Some(351_843_721_216), memory_total_bytes: Some(2_164_094_992_384) };
    assert_eq!(machine(&samples), expected);
}

#[test]
fn a_zero_counts_where_the_gpu_was_read() {
    let idle = "nv_gpu_utilization{gpu_uuid=\"GPU-1\"} 0\nnv_gpu_memory_used_bytes{gpu_uuid=\"GPU-1\"} 0\n";
    let figures = |rest: &str| gpus(&samples(&format!("{idle}{rest}"))).pop().unwrap().figures;
    let of = |figures: GpuFigures| (figures.utilization_ratio, figures.memory_used_bytes);
    assert_eq!(of(figures("")), (None, None));
    assert_eq!(of(figures("nv_gpu_power_usage{gpu_uuid=\"GPU-1\"} 70\n")), (Some(0.0), None));
    assert_eq!(of(figures("nv_gpu_memory_total_bytes{gpu_uuid=\"GPU-1\"} 1024\n")), (Some(0.0), Some(0)));
    let machine_of = |page: &str| machine(&samples(page));
    assert!(machine_of("nv_cpu_utilization 0\nnv_cpu_memory_total_bytes 0\nnv_cpu_memory_used_bytes 0\n").is_empty());
    assert_eq!(machine_of("nv_cpu_utilization 0\nnv_cpu_memory_total_bytes 1024\n").cpu_ratio, Some(0.0));
}

#[test]
fn a_part_of_a_gpu_is_no_gpu() {
    assert_eq!(gpus(&samples("nv_gpu_utilization{gpu_uuid=\"MIG-1\"} 0.5\nnv_gpu_utilization 0.5\n")), []);
}
