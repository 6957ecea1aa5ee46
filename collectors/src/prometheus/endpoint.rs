//! An address that is scraped.
//!
//! Invariant: it is http or https; what it may hold of secrets is not written into the log.

use std::fmt;
use std::str::FromStr;

use reqwest::Url;

/// So many addresses at most are scraped.
pub const ENDPOINTS_MAX: usize = 16;

/// Why a text is no address that could be scraped.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// It is no address.
    #[error("not an address such as http://127.0.0.1:9400/metrics")]
    Malformed,
    /// It is one of something else.
    #[error("only http and https can be scraped, not {0}")]
    Scheme(String),
}

/// The address of a page in a text format of Prometheus.
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoint(Url);

impl Endpoint {
    pub(super) fn url(&self) -> &Url {
        &self.0
    }
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        let mut url = Url::parse(text.trim()).map_err(|_| EndpointError::Malformed)?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(EndpointError::Scheme(url.scheme().to_owned()));
        }
        url.set_fragment(None);
        Ok(Self(url))
    }
}

/// Without name, password and query.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.0.scheme(), self.0.host_str().unwrap_or_default())?;
        self.0.port().iter().try_for_each(|port| write!(f, ":{port}"))?;
        f.write_str(self.0.path())
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Endpoint({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_http_or_https_and_keeps_its_secrets() {
        let shown = |text: &str| text.parse::<Endpoint>().map(|endpoint| endpoint.to_string());
        assert_eq!(shown("http://127.0.0.1:9400/metrics").unwrap(), "http://127.0.0.1:9400/metrics");
        assert_eq!(shown(" https://u:secret@gpu-a-01/m?token=secret#x ").unwrap(), "https://gpu-a-01/m");
        assert_eq!(shown("http://[::1]:8002").unwrap(), "http://[::1]:8002/");
        assert_eq!(shown("localhost:8000/metrics"), Err(EndpointError::Scheme("localhost".into())));
        assert_eq!(shown("file:///etc/passwd"), Err(EndpointError::Scheme("file".into())));
        for text in ["", "metrics", "http://", "127.0.0.1:9400"] {
            assert_eq!(shown(text), Err(EndpointError::Malformed), "{text}");
        }
        let debug = format!("{:?}", "http://u:secret@h/?secret".parse::<Endpoint>().unwrap());
        assert_eq!(debug, "Endpoint(http://h/)");
    }
}
