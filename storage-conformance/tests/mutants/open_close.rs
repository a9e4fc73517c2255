//! Wrong about opening and closing.

use std::sync::atomic::{AtomicBool, Ordering};

use storage_api::Result;

use crate::mutant::{Mutant, wrong};

pub(crate) fn mutants() -> Vec<Mutant> {
    vec![
        Mutant::new(
            "second_close_hangs",
            "A second close waits for an answer that went to the first.",
            SecondCloseHangs::wrap,
            &["open_close::closing_again_is_ok"],
        )
        .hanging(),
    ]
}

wrong! { SecondCloseHangs { is_closed: AtomicBool } StorageBackend [close] {
    async fn close(&self) -> Result<()> {
        if self.at.fired.fire_if(self.is_closed.swap(true, Ordering::Relaxed)) {
            std::future::pending::<()>().await;
        }
        self.inner.close().await
    }
}}
