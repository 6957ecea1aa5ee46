//! `vllm:*`, of which nothing has a place in a sample.
//!
//! vLLM tells about its engine, not about the machine: requests that run and wait, tokens, latencies, the cache of keys and
//! values. Samples of machines and GPUs have no such figure, and none is made of another:
//! - `vllm:gpu_cache_usage_perc`, now `vllm:kv_cache_usage_perc`, is the part of the cache's blocks that is taken. It is
//!   neither memory in use, since the cache is allocated at start, nor how busy the GPU is.
//! - The counters (`vllm:request_success_total`, `vllm:generation_tokens_total` and so on) would need a rate over the
//!   interval; what ran comes as `execution` events, exact and by combination, and counting it twice would be worse than not
//!   at all.
//! - `vllm:lora_requests_info` says **nothing about what is loaded**. Its value is the time at which it was written, older
//!   label sets stay on the page beside the newest, and its labels list, joined by commas, the adapters that have requests
//!   running or waiting at that moment: an adapter without requests is absent from it although it lies in GPU memory, and one
//!   that waits is in it although it was not loaded yet. Residency is never derived from it.
//!
//! All that is done here is to tell such a page from one that is empty, for the log.

/// What all names begin with; who passes them on may have replaced the colon, which some do not take.
const PREFIXES: [&str; 2] = ["vllm:", "vllm_"];

/// Whether this is a name of vLLM's, of whichever version.
pub(super) fn is_of_vllm(name: &str) -> bool {
    PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::super::text::parse;
    use super::*;
    use crate::prometheus::{Figures, read};

    const V0: &[u8] = include_bytes!("../../tests/fixtures/vllm-v0.prom");
    const V1: &[u8] = include_bytes!("../../tests/fixtures/vllm-v1.prom");

    #[test]
    fn pages_of_both_engines_are_understood_and_nothing_is_made_of_them() {
        for page in [V0, V1] {
            let text = parse(page, is_of_vllm).unwrap();
            assert_eq!((text.first_rejection, text.rejected_lines), (None, 0));
            assert!(text.samples.len() > 10 && text.samples.iter().any(|sample| sample.name == "vllm:lora_requests_info"));
            let read = read(page, false).unwrap();
            assert_eq!(read.figures, Figures::default());
            assert!(read.is_of_vllm);
        }
    }
}
