//! provisional
#[derive(Debug, Default, Clone)]
/// x
pub struct AllowList;
#[derive(Debug, thiserror::Error)]
/// x
#[error("webhookUrl is no http or https address")]
pub struct UrlRefusal;
/// x
pub fn check_url(url: &str, _allow: &AllowList) -> Result<(), UrlRefusal> {
    if url.starts_with("http") { Ok(()) } else { Err(UrlRefusal) }
}
/// x
pub fn host(url: &str) -> Option<String> {
    url.split('/').nth(2).map(str::to_owned)
}
