//! Whole pages, and what is said about endpoints.

use super::*;

#[test]
fn a_page_may_hold_several_exporters() {
    let page = [include_str!("../../tests/fixtures/dcgm.prom"), include_str!("../../tests/fixtures/triton.prom")].concat();
    let read = read(page.as_bytes(), false).unwrap();
    assert_eq!((read.figures.gpus.len(), read.rejected_lines, read.is_of_vllm), (4, 0, false));
    assert!(!read.figures.machine.is_empty());
}

#[test]
fn what_is_no_page_is_refused_and_an_empty_one_is_not() {
    assert!(matches!(read(b"<html>\n<body>Not here</body>\n</html>\n", false), Err(ScrapeError::NotAPage)));
    assert!(matches!(read(b"\x1f\x8b\x08\x00\n", false), Err(ScrapeError::NotAPage)));
    for empty in [b"" as &[u8], b"# HELP a b\n"] {
        assert_eq!(read(empty, false).unwrap().figures, Figures::default());
    }
    let long = "a 1\n".repeat(text::LINES_MAX + 1);
    assert!(matches!(read(long.as_bytes(), false), Err(ScrapeError::TooManyLines)));
}

#[test]
fn openmetrics_must_end() {
    let page = include_bytes!("../../tests/fixtures/openmetrics.prom");
    assert_eq!(read(page, true).unwrap().figures.gpus[0].figures.utilization_ratio, Some(0.97));
    let cut = page.strip_suffix(b"# EOF\n").unwrap();
    assert!(matches!(read(cut, true), Err(ScrapeError::Torn)));
    assert!(read(cut, false).is_ok());
}

#[test]
fn endpoints_are_counted() {
    rustls::crypto::ring::default_provider().install_default().ok();
    let endpoints = |count| vec!["http://127.0.0.1:9/metrics".parse::<Endpoint>().unwrap(); count];
    let interval = Interval::from_seconds(10).unwrap();
    assert!(PrometheusCollector::new("here".into(), interval, endpoints(ENDPOINTS_MAX)).is_ok());
    let error = PrometheusCollector::new("here".into(), interval, endpoints(ENDPOINTS_MAX + 1)).unwrap_err();
    assert_eq!(error.to_string(), "at most 16 endpoints are scraped, not 17");
}
