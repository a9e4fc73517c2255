//! The file of rows: written beside its place and renamed, so that there is always a whole one, the old or the new.

use std::error::Error;
use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use crate::report::Row;

/// A file that rows will go to. Until they do, what was there before stays.
#[derive(Debug)]
pub(crate) struct JsonFile {
    path: PathBuf,
    new: File,
    /// Where it is until it is whole; `None` for what is no file, such as a pipe, which is written as it is.
    new_path: Option<PathBuf>,
}

impl JsonFile {
    /// Begins the new file, so that a path that cannot be written is found before anything is measured.
    pub(crate) fn begin(path: &Path) -> Result<Self, String> {
        let named = path.display();
        let cannot = |why: String| format!("cannot write {named}: {why}");
        // A link stays one.
        let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let new_path = (!path.exists() || path.is_file()).then(|| {
            let mut new_path = path.clone().into_os_string();
            new_path.push(".new");
            PathBuf::from(new_path)
        });
        let new = File::create(new_path.as_ref().unwrap_or(&path));
        let new = new.map_err(|error| cannot(error.to_string()))?;
        Ok(Self {
            path,
            new,
            new_path,
        })
    }

    /// Puts the rows in the place of what was there. Where something could not be measured those are kept that there are, and
    /// the error says so; without any, what was there stays.
    pub(crate) fn end(
        self,
        rows: &[Row],
        measured: Result<(), Box<dyn Error>>,
    ) -> Result<(), Box<dyn Error>> {
        let (path, count) = (self.path.display().to_string(), rows.len());
        if measured.is_err() && rows.is_empty() {
            // A file without a row is no harm beside the failure.
            let _ = self.new_path.map(fs::remove_file);
            return measured;
        }
        let written = self.write(rows);
        let written = written.map_err(|error| format!("cannot write {path}: {error}"));
        let Err(failure) = measured else {
            return Ok(written?);
        };
        Err(match written {
            Ok(()) => {
                format!("{failure}; the {count} rows that were measured are in {path}").into()
            }
            Err(error) => format!("{failure}; {error}").into(),
        })
    }

    fn write(self, rows: &[Row]) -> Result<(), Box<dyn Error>> {
        let mut out = BufWriter::new(self.new);
        serde_json::to_writer_pretty(&mut out, rows)?;
        out.flush()?;
        if let Some(new_path) = self.new_path {
            fs::rename(new_path, self.path)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(driver: &str) -> Row {
        Row {
            driver: driver.to_owned(),
            ..Row::default()
        }
    }

    /// The names in a directory, and what is in its file of rows.
    fn found(directory: &Path) -> (Vec<String>, String) {
        let names = fs::read_dir(directory).unwrap();
        let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let text = fs::read_to_string(directory.join("rows.json")).unwrap();
        (names.collect(), text)
    }

    #[test]
    fn what_was_measured_beside_a_failure_is_kept_and_named() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("rows.json");
        fs::write(&path, "[]").unwrap();
        let json = JsonFile::begin(&path).unwrap();
        assert_eq!(found(scratch.path()).1, "[]", "while it is measured");

        let ended = json.end(&[row("redb")], Err("the disk is gone".into()));

        let told = ended.unwrap_err().to_string();
        let expected = format!(
            "the disk is gone; the 1 rows that were measured are in {}",
            path.display()
        );
        assert_eq!(told, expected);
        let (names, text) = found(scratch.path());
        assert_eq!(names, ["rows.json"]);
        assert!(text.contains("\"redb\""), "{text}");
    }

    #[test]
    fn a_failure_without_a_row_leaves_what_was_there() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("rows.json");
        fs::write(&path, "of yesterday").unwrap();

        let json = JsonFile::begin(&path).unwrap();
        let ended = json.end(&[], Err("no driver opened".into()));

        assert_eq!(ended.unwrap_err().to_string(), "no driver opened");
        let left = (vec!["rows.json".to_owned()], "of yesterday".to_owned());
        assert_eq!(found(scratch.path()), left);
    }

    #[test]
    fn a_path_that_cannot_be_written_is_refused_at_once() {
        let scratch = tempfile::tempdir().unwrap();

        for path in [
            scratch.path().to_owned(),
            scratch.path().join("no/rows.json"),
        ] {
            let told = JsonFile::begin(&path).unwrap_err();
            assert!(told.contains(&path.display().to_string()), "{told}");
        }
    }
}
