//! The report as files in a directory.

use std::path::Path;

use super::Report;
use crate::proofs::Proofs;

impl Report {
    /// Writes `matrix.md`, `proof.md`, `report.json` and `junit.xml` into a directory, which is made if it is not there.
    ///
    /// Files of these names are replaced, others stay.
    pub fn write_files(&self, directory: &Path) -> std::io::Result<()> {
        std::fs::create_dir_all(directory)?;
        let json = serde_json::to_string_pretty(self)? + "\n";
        let files = [
            ("matrix.md", self.to_markdown()),
            ("proof.md", self.to_proof(&Proofs::of_this_suite())),
            ("report.json", json),
            ("junit.xml", self.to_junit()),
        ];
        for (name, text) in files {
            let path = directory.join(name);
            std::fs::write(&path, text).map_err(|error| {
                std::io::Error::other(format!("cannot write {}: {error}", path.display()))
            })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::record::Verdict;
    use crate::report::tests::report_of;

    #[test]
    fn a_report_is_four_files() {
        let scratch = tempfile::tempdir().unwrap();
        let directory = scratch.path().join("a").join("report");

        report_of(&[("area::passes", Verdict::Pass, None)])
            .write_files(&directory)
            .unwrap();

        for (name, part) in [
            ("matrix.md", "| **verdict** |"),
            ("proof.md", "area::passes"),
            ("report.json", "\"id\": \"area::passes\""),
            ("junit.xml", "<testcase name=\"area::passes\""),
        ] {
            let text = std::fs::read_to_string(directory.join(name)).unwrap();
            assert!(text.contains(part), "{name}: {text}");
        }
    }
}
