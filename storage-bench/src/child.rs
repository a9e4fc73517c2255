//! Work that needs a process of its own: one whose memory is counted, or one whose syncs are slow.

use std::process::{Command, Stdio};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::disk::Failure;
use crate::disk::{CrowdWork, FillWork, ResidentWork};

/// What a child is told to do. Its answer is one JSON document on its standard output.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Work {
    Crowd(CrowdWork),
    Fill(FillWork),
    Resident(ResidentWork),
}

impl Work {
    /// Does it in this process.
    pub(crate) async fn run(&self) -> Result<String, Failure> {
        Ok(match self {
            Self::Crowd(work) => serde_json::to_string(&work.run().await?)?,
            Self::Fill(work) => serde_json::to_string(&work.run().await?)?,
            Self::Resident(work) => serde_json::to_string(&work.run().await?)?,
        })
    }

    /// Has it done by this program in a process of its own.
    pub(crate) fn run_in_child<T: DeserializeOwned>(
        &self,
        environment: &[(&str, String)],
    ) -> Result<T, Failure> {
        let ran = Command::new(std::env::current_exe()?)
            .arg("--work")
            .arg(serde_json::to_string(self)?)
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output()?;
        if !ran.status.success() {
            return Err(format!("the process for {self:?} ended with {}", ran.status).into());
        }
        Ok(serde_json::from_slice(&ran.stdout)?)
    }
}
