//! The checker of what is stored.

use async_trait::async_trait;

use crate::error::Result;

/// Checks the stored state against itself; see [`Capability::Verify`](crate::Capability::Verify).
#[async_trait]
pub trait Verify: Send + Sync {
    /// Compares bodies, indexes, counters and checksums; each finding is one line that names the place.
    ///
    /// An empty list is a sound store. Changes nothing.
    ///
    /// ```
    /// use storage_api::{Result, Verify, async_trait};
    ///
    /// struct Sound;
    ///
    /// #[async_trait]
    /// impl Verify for Sound {
    ///     async fn verify(&self) -> Result<Vec<String>> {
    ///         Ok(Vec::new())
    ///     }
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<()> {
    /// assert!(Sound.verify().await?.is_empty());
    /// # Ok(()) }
    /// ```
    async fn verify(&self) -> Result<Vec<String>>;
}
