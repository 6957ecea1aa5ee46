//! Names of receivers become addresses here, and are held against the rules.
//!
//! Invariant: a connection goes to no address that was not looked at; a name with one forbidden address among several has none at
//! all, so that nobody wins by having us try again. Must not know: what is sent.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use plimsoll_domain::watch::webhook_url::{AllowList, is_forbidden};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// Asks for the addresses of a name.
pub trait Resolver: Send + Sync + 'static {
    /// Every address of a name.
    fn addresses(&self, name: String) -> BoxFuture<'static, std::io::Result<Vec<IpAddr>>>;
}

/// Asks the system.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemResolver;

impl Resolver for SystemResolver {
    fn addresses(&self, name: String) -> BoxFuture<'static, std::io::Result<Vec<IpAddr>>> {
        async move { Ok(tokio::net::lookup_host((name, 0)).await?.map(|address| address.ip()).collect()) }.boxed()
    }
}

/// A name that leads to where notices may not go.
#[derive(Debug, thiserror::Error)]
#[error("{name} has the address {address}, which notices may not go to (webhook.allow)")]
pub struct ForbiddenAddress {
    name: String,
    address: IpAddr,
}

/// Passes on the addresses of a name when all of them may be reached.
pub struct CheckedResolver {
    resolver: Arc<dyn Resolver>,
    allow: Arc<AllowList>,
}

impl CheckedResolver {
    /// Asks this resolver.
    #[must_use]
    pub fn new(resolver: Arc<dyn Resolver>, allow: Arc<AllowList>) -> Self {
        Self { resolver, allow }
    }
}

impl Resolve for CheckedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let name = name.as_str().to_owned();
        let (asked, allow) = (self.resolver.addresses(name.clone()), Arc::clone(&self.allow));
        async move {
            let addresses = asked.await?;
            if let Some(address) = addresses.iter().copied().find(|address| is_forbidden(*address, &allow)) {
                return Err(ForbiddenAddress { name, address }.into());
            }
            // The port of the URL takes the place of 0.
            let addresses: Addrs = Box::new(addresses.into_iter().map(|address| SocketAddr::new(address, 0)));
            Ok(addresses)
        }
        .boxed()
    }
}
