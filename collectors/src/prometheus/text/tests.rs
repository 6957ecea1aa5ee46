//! The parser against pages of exporters, against broken lines, and against made-up pages.

use proptest::prelude::*;

use super::*;

const DCGM: &[u8] = include_bytes!("../../../tests/fixtures/dcgm.prom");
const TORN: &[u8] = include_bytes!("../../../tests/fixtures/dcgm-torn.prom");
const OPENMETRICS: &[u8] = include_bytes!("../../../tests/fixtures/openmetrics.prom");

fn all(page: &[u8]) -> Page {
    parse(page, |_| true).unwrap()
}

fn sample(name: &str, labels: &[(&str, &str)], value: f64) -> Sample {
    let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Sample { name: name.to_owned(), labels, value }
}

fn rejection(line: &str) -> Option<LineError> {
    let page = all(format!("{line}\n").as_bytes());
    assert_eq!(page.rejected_lines + page.sample_lines, 1, "{line}");
    page.first_rejection.map(|(_, reason)| reason)
}

#[test]
fn keeps_only_what_is_asked_for() {
    let page = parse(DCGM, |name| name == "DCGM_FI_DEV_POWER_USAGE").unwrap();
    let powers: Vec<f64> = page.samples.iter().map(|sample| sample.value).collect();
    assert_eq!(powers, [512.345, 140_737_488_355_330.0]);
    assert_eq!((page.sample_lines, page.rejected_lines, page.has_end), (23, 0, false));
    assert_eq!(page.samples[0].label(&["gpu_uuid", "UUID"]), Some("GPU-5a1d2c3b-0001-4f6e-9b1a-7c2e4d5f6a01"));
    assert_eq!(page.samples[0].label(&["pod"]), None);
}

#[test]
fn reads_openmetrics_with_its_escapes_timestamps_and_exemplars() {
    let page = all(OPENMETRICS);
    assert_eq!((page.first_rejection, page.has_end), (None, true));
    let names: Vec<&str> = page.samples.iter().map(|sample| sample.name.as_str()).collect();
    let expected = ["DCGM_FI_DEV_GPU_UTIL", "requests_total", "requests_created", "latency_seconds_bucket", "latency_seconds_count"];
    assert_eq!(names, expected);
    assert_eq!((page.samples[0].value, page.samples[0].label(&["pod"])), (97.0, Some("a\"b\\c\nd}e")));
    let after_end = all(b"# EOF\n\na 1\n");
    assert_eq!((after_end.samples.len(), after_end.first_rejection), (0, Some((3, LineError::AfterEnd))));
}

#[test]
fn reads_what_the_formats_allow() {
    let page = all(b"\r\n# just a comment\r\na 1\r\n\tb:c \t{ x = \"1\" , y=\"\",} -1.5e-3 1700000000000\r\nd{} +Inf\ne NaN\nf .5\n");
    let [a, b, d, e, f] = page.samples.as_slice() else { panic!("{page:?}") };
    assert_eq!((a, d), (&sample("a", &[], 1.0), &sample("d", &[], f64::INFINITY)));
    assert_eq!(b, &sample("b:c", &[("x", "1"), ("y", "")], -0.0015));
    assert_eq!(b.label(&["y"]), None, "an empty label is none");
    assert!(e.value.is_nan());
    assert_eq!(f.value, 0.5);
    assert_eq!(all(b"# EOF").first_rejection, None, "an end without its line feed ends all the same");
}

#[test]
fn a_broken_line_costs_itself_only() {
    let page = all(b"a 1\nb{x=\"1} 2\n\xff\xfe 3\nc{x=\"\xff\"} 4\n3\nd 5\n");
    let values: Vec<f64> = page.samples.iter().map(|sample| sample.value).collect();
    assert_eq!(values, [1.0, 5.0]);
    assert_eq!((page.rejected_lines, page.first_rejection), (4, Some((2, LineError::Labels))));
    for (line, reason) in [
        ("a", LineError::Name),
        ("a{} ", LineError::Value),
        ("a one", LineError::Value),
        ("a 0x1p3", LineError::Value),
        ("a 1_000", LineError::Value),
        ("a 1 2 3", LineError::Rest),
        ("a 1 soon", LineError::Rest),
        ("a 1 # {x=\"1\"}", LineError::Rest),
        ("1a 1", LineError::Name),
        ("a-b 1", LineError::Name),
        ("{\"a\"} 1", LineError::Name),
        ("a{1x=\"1\"} 1", LineError::Labels),
        ("a{x:y=\"1\"} 1", LineError::Labels),
        ("a{x=1} 1", LineError::Labels),
        ("a{x=\"1\" y=\"2\"} 1", LineError::Labels),
        ("a{,} 1", LineError::Labels),
        ("a{x=\"\\t\"} 1", LineError::Labels),
        ("a{x=\"\\", LineError::Labels),
        ("a{x=\"1\",x=\"2\"} 1", LineError::LabelTwice),
        // dcgm-exporter has written this: https://github.com/NVIDIA/dcgm-exporter/issues/394
        ("DCGM_FI_DEV_VGPU_INSTANCE_IDS{gpu=\"0\"} ERROR - FAILED TO CONVERT TO STRING", LineError::Value),
    ] {
        assert_eq!(rejection(line), Some(reason), "{line}");
    }
}

#[test]
fn limits_hold() {
    let label = |bytes: usize| format!("a{{x=\"{}\"}} 1", "y".repeat(bytes));
    assert_eq!(rejection(&label(LABEL_BYTES_MAX)), None);
    assert_eq!(rejection(&label(LABEL_BYTES_MAX + 1)), Some(LineError::LabelTooLong));
    let escaped = format!("a{{x=\"{}\"}} 1", "\\n".repeat(LABEL_BYTES_MAX + 1));
    assert_eq!(rejection(&escaped), Some(LineError::LabelTooLong));
    let labels = |count: usize| format!("a{{{}}} 1", (0..count).map(|index| format!("x{index}=\"\",")).collect::<String>());
    assert_eq!(rejection(&labels(LABELS_MAX)), None);
    assert_eq!(rejection(&labels(LABELS_MAX + 1)), Some(LineError::TooManyLabels));
    let long = format!("a{}1", " ".repeat(LINE_BYTES_MAX));
    assert_eq!(rejection(&long), Some(LineError::TooLong));
    assert!(parse("a 1\n".repeat(LINES_MAX).as_bytes(), |_| false).is_ok());
    assert_eq!(parse("a 1\n".repeat(LINES_MAX + 1).as_bytes(), |_| false), Err(TooManyLines));
}

#[test]
fn a_torn_page_gives_its_whole_lines() {
    let page = all(TORN);
    assert_eq!(page.first_rejection.map(|(_, reason)| reason), Some(LineError::Torn));
    assert_eq!(page.rejected_lines, 1);
    assert!(page.samples.iter().all(|sample| sample.name != "DCGM_FI_DEV_FB_USED"), "604 is no part of 60444");
}

/// Names, values of labels with everything that needs an escape, and numbers.
fn samples() -> impl Strategy<Value = Vec<Sample>> {
    let text = proptest::collection::vec(prop_oneof![Just('\\'), Just('"'), Just('\n'), Just('}'), Just(','), any::<char>()], 0..12);
    let labels = proptest::collection::btree_map("[a-zA-Z_][a-zA-Z0-9_]{0,8}", text, 0..4);
    let sample = ("[a-zA-Z_:][a-zA-Z0-9_:]{0,12}", labels, any::<f64>().prop_filter("not equal to itself", |value| !value.is_nan()));
    proptest::collection::vec(sample, 0..8).prop_map(|samples| {
        let owned = |(name, labels, value): (String, std::collections::BTreeMap<String, Vec<char>>, f64)| Sample {
            name,
            labels: labels.into_iter().map(|(name, value)| (name, value.into_iter().collect())).collect(),
            value,
        };
        samples.into_iter().map(owned).collect()
    })
}

fn written(samples: &[Sample], newline: &str) -> String {
    let mut page = String::new();
    for sample in samples {
        let escape = |value: &str| value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        let labels: Vec<String> = sample.labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escape(value))).collect();
        page.push_str(&format!("# TYPE {} gauge{newline}{}{{{}}} {:e}{newline}", sample.name, sample.name, labels.join(","), sample.value));
    }
    page
}

proptest! {
    #[test]
    fn what_was_written_is_read(samples in samples(), is_crlf in any::<bool>()) {
        let page = all(written(&samples, if is_crlf { "\r\n" } else { "\n" }).as_bytes());
        prop_assert_eq!(page.first_rejection, None);
        prop_assert_eq!(page.samples, samples);
    }

    #[test]
    fn a_page_that_is_cut_anywhere_says_nothing_new(samples in samples(), at in any::<prop::sample::Index>()) {
        let whole = written(&samples, "\n");
        let cut = all(&whole.as_bytes()[..at.index(whole.len() + 1)]);
        prop_assert!(samples.starts_with(&cut.samples), "{:?}", cut);
        prop_assert!(cut.rejected_lines <= 1);
    }

    #[test]
    fn nothing_breaks_the_parser_or_its_neighbours(noise in proptest::collection::vec(any::<u8>(), 0..200)) {
        let noise: Vec<u8> = noise.into_iter().filter(|byte| *byte != b'\n').collect();
        let page = all(&[b"before 1\n", noise.as_slice(), b"\nafter 2\n"].concat());
        prop_assert_eq!(&page.samples[0], &sample("before", &[], 1.0));
        prop_assert_eq!(page.samples.last().unwrap(), &sample("after", &[], 2.0));
    }

    #[test]
    fn near_misses_do_not_break_the_parser(line in "[ab:1_]{0,3}\\{?[ab=\",\\\\n ]{0,12}\\}?[ 0-9.eE+#{}-]{0,12}") {
        let page = all(format!("{line}\n").as_bytes());
        prop_assert!(page.samples.len() + page.rejected_lines <= 1);
    }
}
