//! Pages of dcgm-exporter, of both generations of names, with MIG and with blanks.

use super::super::text::parse;
use super::*;

const OLD: &str = include_str!("../../../tests/fixtures/dcgm.prom");
const NEW: &str = include_str!("../../../tests/fixtures/dcgm-4.9.prom");
const MIG: &str = include_str!("../../../tests/fixtures/dcgm-mig.prom");
const A: &str = "GPU-5a1d2c3b-0001-4f6e-9b1a-7c2e4d5f6a01";
const B: &str = "GPU-5a1d2c3b-0002-4f6e-9b1a-7c2e4d5f6a02";
const MIB: u64 = 1 << 20;

fn read(page: &str) -> Vec<ScrapedGpu> {
    let page = parse(page.as_bytes(), is_read).unwrap();
    gpus(&page.samples, page.rejected_lines == 0)
}

fn figures(uuid: &str) -> GpuFigures {
    GpuFigures { uuid: Some(uuid.into()), name: Some("NVIDIA H100 80GB HBM3".into()), ..GpuFigures::default() }
}

#[test]
fn names_until_4_6_in_percent_and_mebibytes() {
    let gpus = read(OLD);
    let [a, b] = gpus.as_slice() else { panic!("{gpus:?}") };
    assert_eq!((a.index, a.uuid.as_deref(), b.index, b.uuid.as_deref()), (Some(0), Some(A), Some(1), Some(B)));
    let expected = GpuFigures {
        utilization_ratio: Some(0.912_345),
        memory_used_bytes: Some(60_444 * MIB),
        memory_total_bytes: Some((60_444 + 20_559 + 556) * MIB),
        temperature_celsius: Some(61.0),
        power_watts: Some(512.345),
        ..figures(A)
    };
    assert_eq!(a.figures, expected);
    // Blanks: no power, no activity, and without what is reserved no total.
    let expected =
        GpuFigures { utilization_ratio: Some(0.0), memory_used_bytes: Some(9 * MIB), temperature_celsius: Some(31.0), ..figures(B) };
    assert_eq!(b.figures, expected);
}

#[test]
fn names_since_4_7_in_ratios_and_bytes() {
    let gpus = read(NEW);
    let [a, b] = gpus.as_slice() else { panic!("{gpus:?}") };
    let expected = GpuFigures {
        utilization_ratio: Some(0.97),
        memory_used_bytes: Some(63_380_127_744),
        memory_total_bytes: Some(85_520_809_984),
        temperature_celsius: Some(61.0),
        power_watts: Some(512.345),
        ..figures(A)
    };
    assert_eq!(a.figures, expected);
    assert_eq!((b.index, b.figures.utilization_ratio), (Some(1), Some(0.0125)), "what the engine tells is finer");
    assert_eq!(b.figures.memory_used_bytes, Some(2_147_483_632), "no blank of bytes");
}

#[test]
fn instances_of_one_gpu_come_together() {
    let gpus = read(MIG);
    let [a, b] = gpus.as_slice() else { panic!("{gpus:?}") };
    let expected = GpuFigures {
        utilization_ratio: None,
        memory_used_bytes: Some((18_432 + 14) * MIB),
        memory_total_bytes: None,
        temperature_celsius: Some(55.0),
        power_watts: Some(301.25),
        ..figures(A)
    };
    assert_eq!((a.index, &a.figures), (Some(0), &expected));
    let shared = (b.figures.utilization_ratio, b.figures.memory_used_bytes, b.figures.memory_total_bytes, b.figures.power_watts);
    assert_eq!(shared, (Some(0.88), Some(20_000 * MIB), Some(81_559 * MIB), Some(220.1)), "two pods share it, it is one gpu");
}

#[test]
fn the_whole_gpu_stands_before_its_instances() {
    let whole = format!(
        "DCGM_FI_DEV_GPU_UTIL{{gpu=\"0\",UUID=\"{A}\"}} 0\nDCGM_FI_PROF_GR_ENGINE_ACTIVE{{gpu=\"0\",UUID=\"{A}\"}} 0.43\n\
         DCGM_FI_DEV_FB_USED{{gpu=\"0\",UUID=\"{A}\"}} 20000\nDCGM_FI_DEV_FB_TOTAL{{gpu=\"0\",UUID=\"{A}\"}} 81559\n"
    );
    let gpus = read(&format!("{MIG}{whole}"));
    let told = (gpus[0].figures.utilization_ratio, gpus[0].figures.memory_used_bytes, gpus[0].figures.memory_total_bytes);
    assert_eq!(told, (Some(0.43), Some(20_000 * MIB), Some(81_559 * MIB)));

    // Without the engine nothing tells how busy it is: with MIG the other one reads 0.
    let gpus = read(&format!("{MIG}{}", whole.lines().next().unwrap().to_owned() + "\n"));
    assert_eq!(gpus[0].figures.utilization_ratio, None);
    let with_mode = |mode: u8| read(&format!("DCGM_FI_DEV_MIG_MODE{{gpu=\"0\"}} {mode}\nDCGM_FI_DEV_GPU_UTIL{{gpu=\"0\"}} 0\n"));
    assert_eq!([1, 0].map(|mode| with_mode(mode)[0].figures.utilization_ratio), [None, Some(0.0)], "instances need not be shown");
}

#[test]
fn instances_that_are_not_all_known_have_no_sum() {
    let blank = MIG.replace("} 14\n", "} 9223372036854775794\n");
    assert_eq!(read(&blank)[0].figures.memory_used_bytes, None, "one of them is blank");
    let broken = MIG.replace("} 14\n", "} 1four\n");
    assert_eq!(read(&broken)[0].figures.memory_used_bytes, None, "one of them is not understood");
    assert_eq!(read(&broken)[1].figures.memory_used_bytes, Some(20_000 * MIB));
}

#[test]
fn an_instance_may_be_known_by_its_own_uuid() {
    let page = "DCGM_FI_DEV_FB_USED{gpu=\"3\",UUID=\"MIG-a\"} 5\nDCGM_FI_DEV_FB_USED{gpu=\"3\",UUID=\"MIG-b\"} 7\nDCGM_FI_DEV_GPU_UTIL{gpu=\"3\",UUID=\"MIG-a\"} 0\n";
    let figures = GpuFigures { memory_used_bytes: Some(12 * MIB), ..GpuFigures::default() };
    assert_eq!(read(page), [ScrapedGpu { uuid: None, index: Some(3), figures }]);
}

#[test]
fn the_order_of_lines_does_not_matter() {
    for page in [OLD, NEW, MIG] {
        let backwards: String = page.lines().rev().flat_map(|line| [line, "\n"]).collect();
        assert_eq!(read(&backwards), read(page));
    }
}

#[test]
fn what_names_no_gpu_or_too_many_is_left_out() {
    assert_eq!(read("DCGM_FI_DEV_GPU_UTIL 5\nDCGM_FI_DEV_GPU_UTIL{gpu=\"256\"} 5\nDCGM_FI_DEV_GPU_UTIL{gpu=\"one\"} 5\n"), []);
    let lines: String = (0..300).map(|index| format!("DCGM_FI_DEV_GPU_UTIL{{UUID=\"GPU-{index:03}\"}} 5\n")).collect();
    assert_eq!(read(&lines).len(), usize::from(GPUS_MAX));
    let nothing = "DCGM_FI_DEV_FB_USED{gpu=\"0\"} 0\nDCGM_FI_DEV_FB_TOTAL{gpu=\"0\"} 0\n";
    assert_eq!((read(nothing)[0].figures.memory_used_bytes, read(nothing)[0].figures.memory_total_bytes), (None, None));
    let loud = format!("DCGM_FI_DEV_GPU_UTIL{{gpu=\"0\",UUID=\"{}\",modelName=\"a\\nb\"}} 5\n", "x".repeat(201));
    let expected = GpuFigures { utilization_ratio: Some(0.05), ..GpuFigures::default() };
    assert_eq!(read(&loud)[0].figures, expected, "names that the wire would refuse are none");
}
