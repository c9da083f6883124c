//! Turning names into addresses.

use std::net::IpAddr;

use async_trait::async_trait;

/// Resolves host names; every answer is checked before anything connects to it.
///
/// A host application brings its own for split-horizon names or a caching resolver, tests for scripted answers.
#[async_trait]
pub trait Resolve: Send + Sync + 'static {
    /// Answers with every address of `host`, an ASCII name in lower case.
    ///
    /// # Errors
    ///
    /// When the name has no address or cannot be resolved now; the attempt fails with `http_connect`.
    async fn resolve(&self, host: &str) -> std::io::Result<Vec<IpAddr>>;
}

/// The operating system's resolver.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemResolver;

#[async_trait]
impl Resolve for SystemResolver {
    async fn resolve(&self, host: &str) -> std::io::Result<Vec<IpAddr>> {
        let addresses = tokio::net::lookup_host((host, 0)).await?;
        Ok(addresses.map(|address| address.ip()).collect())
    }
}
